"""Every option of every command: repeated, it is either taken each time, or refused."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.commanded import Run
from planet_async.cli.app import app
from planet_async.cli.options import ALIASES
from planet_async.services import filters
from planet_async.simulator import Simulator

RequestFile = Callable[..., Path]


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command and group, with the words that call it."""
    yield path, command
    for name, inside in getattr(command, "commands", {}).items():
        yield from commands(inside, *path, name)


def find_options() -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    for path, command in commands(typer.main.get_command(app)):
        for parameter in command.get_params(typer.Context(command)):
            if parameter.param_type_name == "option":
                yield path, command, parameter


@pytest.fixture(scope="module")
def options() -> list[tuple[tuple[str, ...], Any, Any]]:
    return [*find_options()]


def test_the_walk_finds_the_options(options: list[tuple[tuple[str, ...], Any, Any]]) -> None:
    """The other tests are about something."""
    names = {each[2].opts[0] for each in options}
    assert {"--base-url", "--state", "--to", "--format", "--storage-port", "--filter"} <= names
    assert len(options) > 100


def test_a_repeated_option_is_never_dropped(options: list[tuple[tuple[str, ...], Any, Any]]) -> None:
    """Both values are taken, or it is wrong usage; the last one never wins without a word."""
    for path, command, option in options:
        check_repeated(" ".join(path), command, option)


def check_repeated(path: str, command: Any, option: Any) -> None:
    one, two = ([], []) if option.is_flag or option.count else (["1"], ["2"])
    args = [option.opts[0], *one, (option.secondary_opts or option.opts)[-1], *two]
    if option.multiple or option.count:
        values, _, _ = command.make_parser(typer.Context(command)).parse_args(args)
        assert values[option.name] == (["1", "2"] if option.multiple else 2), f"{path} {args}"
        return
    with pytest.raises(typer.BadParameter, match="passed more than once"):
        command.make_context(path, args)


def test_a_repeated_option_is_wrong_usage(run: Run) -> None:
    """It ends with exit code 2 and the name of the option."""
    ran = run("orders", "list", "--limit", "1", "--limit", "2")
    assert ran.code == 2
    assert "--limit is passed more than once" in " ".join(ran.err.split())


@pytest.mark.usefixtures("base_url")
def test_repeated_filters_are_all_sent(run: Run, request_file: RequestFile) -> None:
    """`--source-type` twice lists both; `--sort-by` twice sorts by both."""
    mosaic = request_file("mosaic", products=[{"mosaic_name": "m1", "quad_ids": ["1-2"]}])
    run("orders", "create", request_file("farm"), mosaic)
    sort = ("--sort-by", "source_type", "--sort-by", "name DESC")
    both = run("orders", "list", "--source-type", "scenes", "--source-type", "basemaps", *sort[2:])
    assert [order["name"] for order in both.json_lines] == ["mosaic", "farm"]


@pytest.mark.parametrize(
    ("declared", "path", "named"),
    [
        (filters.OrderFilters, ("orders", "list"), {}),
        (filters.SubscriptionFilters, ("subscriptions", "list"), {}),
        (filters.ResultFilters, ("subscriptions", "results"), {}),
        (filters.ReportFilters, ("reports", "list"), {}),
        (filters.TaskingFilters, ("tasking", "list"), None),
        (filters.CaptureFilters, ("tasking", "captures"), None),
        (filters.CollectionFilters, ("features", "collections", "list"), {}),
        (filters.DestinationFilters, ("destinations", "list"), {}),
        (filters.MosaicFilters, ("basemaps", "list"), {"name__is": "name"}),
        (filters.MosaicFilters, ("basemaps", "series", "list"), {"name__is": "name"}),
        (filters.SeriesMosaicFilters, ("basemaps", "series", "mosaics"), {}),
        (filters.ProductFilters, ("quota", "products"), {}),
        (filters.QuotaFilters, ("quota", "list"), None),
        (filters.QuotaFilters, ("quota", "jobs"), None),
    ],
)
def test_every_filter_of_a_list_is_an_option(
    declared: type,
    path: tuple[str, ...],
    named: dict[str, str] | None,
    options: list[tuple[tuple[str, ...], Any, Any]],
) -> None:
    """By its own name or that of `named`, or where the API has dozens, by `--filter NAME=VALUE`."""
    names = {option.opts[0] for words, _, option in options if words == path}
    wanted = declared.__annotations__ if named is not None else ["filter"]
    for name in wanted:
        option = f"--{(named or {}).get(name, name).replace('__', '-').replace('_', '-')}"
        assert ALIASES.get(option, (option,))[0] in names


@pytest.mark.usefixtures("base_url")
def test_filters_by_name(run: Run, simulator: Simulator) -> None:
    """`--filter` takes texts, times and geometries; what is no filter, or a wrong one, is wrong usage."""
    for value in ("pl_number=PL-1", "start_time__gte=2026-01-01T00:00:00Z", "status__in=PENDING,FULFILLED"):
        assert run("tasking", "list", "--filter", value).code == 0
    point = 'geometry__intersects={"type": "Point", "coordinates": [18, -33]}'
    assert run("tasking", "list", "--filter", point).code == 0
    requests = dict(simulator.requests)
    for value in ("pl_number", "pl_number=", "geometry__intersects={", "start_time__gte=soon", "limit=3"):
        ran = run("tasking", "list", "--filter", value)
        assert ran.code == 2, value
        assert ran.err
    twice = run("tasking", "list", "--filter", "pl_number=a", "--filter", "pl_number=b")
    assert twice.code == 2
    assert simulator.requests == requests


@pytest.mark.no_cover
def test_help_names_values_in_plain_words(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No type of Python, such as <list[str]>, and no name that is cut off, at 80 columns too."""
    monkeypatch.setenv("COLUMNS", "80")
    for path, command in commands(typer.main.get_command(app)):
        text = run(*path, "--help").out
        assert " ".join(("Usage: planet-async", *path)) in text
        assert not re.search(r"<[a-z]|\w…|\bNone\b", text), path
        for parameter in command.params:
            assert parameter.param_type_name != "option" or parameter.is_flag or parameter.metavar is not None


@pytest.mark.usefixtures("base_url")
def test_the_names_of_the_api_are_understood(run: Run) -> None:
    """Also with =, and everywhere but behind --."""
    for args in (("--status=queued",), ("--created-on", "7d"), ("--sort-by=name DESC", "--json")):
        assert run("orders", "list", *args).code == 0
    assert run("orders", "list", "--", "--json").code == 2
