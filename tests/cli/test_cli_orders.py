"""`planet-async orders`, against the simulator over HTTP: what a user types, and what comes back."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.commanded import Run
from planet_async.simulator import Fault, Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve

if TYPE_CHECKING:
    from s3 import S3

UNKNOWN = "4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11"
RequestFile = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("base_url")


def test_create_prints_each_order(run: Run, request_file: RequestFile, simulator: Simulator) -> None:
    """`create` places every file's order and prints each as the API gave it, one JSON object a line."""
    ran = run("orders", "create", request_file("one"), request_file("two"))
    assert (ran.code, ran.err) == (0, "")
    assert {order["name"]: order["id"] for order in ran.json_lines} == {
        order.name: order.id for order in simulator.orders.values()
    }


def test_create_from_standard_input(run: Run, request_file: RequestFile, simulator: Simulator) -> None:
    """A file called ``-`` is standard input."""
    ran = run("orders", "create", "-", stdin=request_file("piped").read_text())
    assert ran.json["name"] == "piped"
    assert [order.name for order in simulator.orders.values()] == ["piped"]


def test_create_on_a_terminal(on_terminal: Run, request_file: RequestFile) -> None:
    """A person gets a line for each order; nothing in its name steers the terminal."""
    ran = on_terminal("orders", "create", request_file("farm", name="farm \x1b]0;owned\x07 [red]7"))
    assert "queued" in ran.out or "success" in ran.out
    assert "]0;owned" in ran.out
    assert "\x1b]0" not in ran.out
    assert "[red]7" in ran.out


def test_one_refused_order_stops_no_other(run: Run, request_file: RequestFile) -> None:
    """An order that the API refuses is one line with its file; the others are placed; exit code 1."""
    bad = request_file("bad", source_type="moon")
    ran = run("orders", "create", bad, request_file("good"))
    assert ran.code == 1
    assert [order["name"] for order in ran.json_lines] == ["good"]
    assert ran.err.count("\n") == 1
    assert ran.err.startswith(f"planet-async: {bad}: orders.create: 400 ")
    assert "Bad source type 'moon'" in ran.err


def test_get(run: Run, on_terminal: Run, request_file: RequestFile) -> None:
    """`get` gives the whole order as JSON; a person sees its files, but not the links that fetch them."""
    order_id = run("orders", "create", request_file(tools=[{"file_format": {"format": "COG"}}])).json["id"]
    order = run("orders", "get", order_id).json
    assert order["id"] == order_id
    assert all(result["location"] for result in order["_links"]["results"])
    seen = on_terminal("orders", "get", order_id)
    assert seen.code == 0
    for shown in (order_id, "success", "1 x PSScene, visual", "file_format", "manifest.json"):
        assert shown in seen.out
    assert "token=" not in seen.out
    indented = on_terminal("orders", "get", order_id, "--json")
    assert indented.json["id"] == order_id
    assert indented.out.startswith('{\n  "')


def test_get_a_basemap(run: Run, on_terminal: Run, request_file: RequestFile) -> None:
    """A person sees which mosaic was ordered, and how much of it."""
    quads = request_file(
        "quads", products=[{"mosaic_name": "global_monthly_2024_01_mosaic", "quad_ids": ["1-2"]}]
    )
    area = request_file(
        "area", products=[{"mosaic_name": "m1", "geometry": {"type": "Point", "coordinates": [18, -33]}}]
    )
    ids = {order["name"]: order["id"] for order in run("orders", "create", quads, area).json_lines}
    assert "global_monthly_2024_01_mosaic, 1 quads" in on_terminal("orders", "get", ids["quads"]).out
    assert "m1, by geometry" in on_terminal("orders", "get", ids["area"]).out


def test_list(run: Run, on_terminal: Run, request_file: RequestFile) -> None:
    """`list` prints one JSON object a line across pages, at most as many as asked; a person gets a table."""
    files = [request_file(f"field-{number}") for number in range(5)]
    ids = {order["id"] for order in run("orders", "create", *files, request_file("waits")).json_lines}
    assert {order["id"] for order in run("orders", "list", "--page-size", 2).json_lines} == ids
    assert len(run("orders", "list", "--page-size", 2, "--limit", 3).json_lines) == 3
    seen = on_terminal("orders", "list")
    assert all(order_id in seen.out for order_id in ids)
    assert "created (UTC)" in seen.out
    assert "no orders" in on_terminal("orders", "list", "--name", "nobody").out


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--state", "queued"], ["waits"]),
        (["--state", "queued", "--state", "success"], ["farm", "mosaic", "waits"]),
        (["--name", "farm"], ["farm"]),
        (["--name-contains", "ar"], ["farm"]),
        (["--source-type", "basemaps"], ["mosaic"]),
        (["--created-on", "../2020-01-01T00:00:00Z"], []),
        (["--last-modified", "2020-01-01T00:00:00Z/.."], ["farm", "mosaic", "waits"]),
        (["--hosting"], []),
        (["--no-hosting"], ["farm", "mosaic", "waits"]),
        (["--destination-ref", "pl:destinations/mine"], []),
        (["--user-id", "all"], ["farm", "mosaic", "waits"]),
    ],
)
def test_list_filters(options: list[str], names: list[str], run: Run, request_file: RequestFile) -> None:
    """Every filter of the API is an option."""
    mosaic = request_file("mosaic", products=[{"mosaic_name": "m1", "quad_ids": ["1-2"]}])
    run("orders", "create", request_file("farm"), mosaic, request_file("waits"))
    ran = run("orders", "list", "--sort-by", "name", *options)
    assert ran.err == ""
    assert [order["name"] for order in ran.json_lines] == names


def test_wait(run: Run, on_terminal: Run, request_file: RequestFile) -> None:
    """`wait` prints what became of each order; exit code 1 and the API's reason where one failed."""
    good, bad = (run("orders", "create", request_file(name)).json["id"] for name in ("good", "fails"))
    ran = run("orders", "wait", good)
    assert (ran.code, ran.json["state"], ran.err) == (0, "success", "")
    ran = run("orders", "wait", good, bad)
    assert ran.code == 1
    outcomes = {outcome["id"]: outcome for outcome in ran.json_lines}
    assert (outcomes[good]["state"], outcomes[bad]["state"]) == ("success", "failed")
    assert outcomes[bad]["error_hints"] == ["no clear pixel"]
    assert ran.err == f"planet-async: order {bad} is failed: no clear pixel\n"
    seen = on_terminal("orders", "wait", good, bad)
    assert "no clear pixel" in seen.err
    assert "Waiting for orders" in seen.err
    assert good in seen.out


def test_wait_that_takes_too_long(run: Run, request_file: RequestFile) -> None:
    """An order that is not finished in time, and one that is not there, are errors of their own; code 1."""
    order_id = run("orders", "create", request_file("waits")).json["id"]
    ran = run("orders", "wait", order_id, UNKNOWN, "--timeout", "0.3")
    assert ran.code == 1
    errors = {outcome["id"]: outcome["error"] for outcome in ran.json_lines}
    assert "was not finished after 0.3 s" in errors[order_id]
    assert "404" in errors[UNKNOWN]
    assert ran.err.count("planet-async: ") == 2


def test_the_files_of_an_order_are_shown_whole(
    piped: Run, on_terminal: Run, request_file: RequestFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below what is known of the order: no name is cut off, where a terminal is narrow; a pipe has it all."""
    order_id = piped("orders", "create", request_file(), "-q").out.strip()
    monkeypatch.setenv("COLUMNS", "50")
    seen = on_terminal("orders", "get", order_id)
    assert "20221221_084022_18_2414_ortho_visual.tif" in seen.out
    assert "link expires" in seen.err
    monkeypatch.delenv("COLUMNS")
    lines = piped("orders", "get", order_id).out.splitlines()
    assert re.fullmatch(r"PSScene/\S+_ortho_visual.tif  +success   2\d{3}-\d\d-\d\d \d\d:\d\d", lines[-2])


def test_wait_without_time(run: Run, request_file: RequestFile) -> None:
    """`--timeout 0` looks once: a script learns what is finished, and is not told that it were not."""
    good, waits = (run("orders", "create", request_file(name)).json["id"] for name in ("good", "waits"))
    ran = run("orders", "wait", good, "--timeout", "0")
    assert (ran.code, ran.json["state"], ran.err) == (0, "success", "")
    ran = run("orders", "wait", waits, "--timeout", "0")
    assert ran.code == 1
    assert "was not finished after 0 s" in ran.json["error"]


def test_run(run: Run, request_file: RequestFile, tmp_path: Path) -> None:
    """`run` places, waits and downloads; a failed order is told, and stops no other."""
    ran = run("orders", "run", request_file("good"), request_file("fails"), "--to", tmp_path / "data")
    assert ran.code == 1
    outcomes = {outcome["name"]: outcome for outcome in ran.json_lines}
    paths = [Path(path) for path in outcomes["good"]["paths"]]
    assert {path.name for path in paths} == {
        "manifest.json",
        "20221221_084022_18_2414_metadata.json",
        "20221221_084022_18_2414_ortho_visual.tif",
    }
    assert all(path.is_file() and tmp_path / "data" in path.parents for path in paths)
    assert outcomes["fails"]["paths"] == []
    assert "no clear pixel" in outcomes["fails"]["error"]
    assert "no clear pixel" in ran.err


def test_run_on_a_terminal(on_terminal: Run, request_file: RequestFile, tmp_path: Path) -> None:
    """A person sees each step move, then a table; an order that was refused is named by its request file."""
    bad = request_file("bad", source_type="moon")
    ran = on_terminal("orders", "run", request_file("good"), bad, "--to", tmp_path / "data")
    assert ran.code == 1
    for step in ("Placing orders", "Waiting for orders", "Downloading"):
        assert step in ran.err
    assert "good" in ran.out
    assert f"planet-async: {bad}: orders.create: 400" in ran.err


def test_download(run: Run, request_file: RequestFile, tmp_path: Path, simulator: Simulator) -> None:
    """`download` fetches all files; again, it keeps what is there; a changed file needs --overwrite."""
    order_id = run("orders", "create", request_file()).json["id"]
    ran = run("orders", "download", order_id, "--to", tmp_path)
    assert ran.code == 0
    tif = next(Path(path) for path in ran.json["paths"] if path.endswith(".tif"))
    fetched = simulator.requests["storage.get"]
    assert run("orders", "download", order_id, "--to", tmp_path).code == 0
    assert simulator.requests["storage.get"] == fetched + 1  # the manifest
    tif.write_bytes(b"mine")
    ran = run("orders", "download", order_id, "--to", tmp_path)
    assert ran.code == 1
    assert "exists and is not the file to download" in ran.err
    assert tif.read_bytes() == b"mine"
    assert run("orders", "download", order_id, "--to", tmp_path, "--overwrite").code == 0
    assert tif.stat().st_size == 4096


def test_to_an_object_store(run: Run, request_file: RequestFile, s3: "S3") -> None:
    """`run` and `download` take its address, and print those of the objects; a wrong one is wrong usage."""
    ran = run("orders", "run", request_file(), "--to", f"s3://{s3.bucket}/data")
    assert ran.code == 0
    paths = ran.json["paths"]
    assert {path.removeprefix(f"s3://{s3.bucket}/") for path in paths} == s3.objects().keys()
    ran = run("orders", "download", ran.json["id"], "--to", f"s3://{s3.bucket}/data")
    assert (ran.code, ran.json["paths"]) == (0, paths)
    ran = run("orders", "run", request_file(), "--to", "s3://key:sesame@bucket")
    assert ran.code == 2
    assert "s3://bucket/prefix" in ran.err
    assert "sesame" not in ran.err
    ran = run("orders", "run", request_file(), "--to", "s3://no-such-bucket")
    assert ran.code == 1
    assert "there is no such bucket" in ran.err


def test_download_tells_what_it_cannot(run: Run, request_file: RequestFile, tmp_path: Path) -> None:
    """An order that is unfinished or unknown is a line, code 1; a folder that cannot be made is code 2."""
    waiting = run("orders", "create", request_file("waits")).json["id"]
    ran = run("orders", "download", waiting, UNKNOWN, "--to", tmp_path)
    assert ran.code == 1
    assert f"order {waiting} is queued" in ran.err
    assert "404" in ran.err
    done = run("orders", "create", request_file()).json["id"]
    (tmp_path / "file").write_text("")
    assert run("orders", "download", done, "--to", tmp_path / "file" / "data").code == 2


def test_corrupt_download(run: Run, request_file: RequestFile, tmp_path: Path, simulator: Simulator) -> None:
    """A file that comes with other bytes than the manifest promises is an error, and not kept."""
    simulator.faults.add(Fault(operation="storage.get", path="*.tif", body=b"garbage"))
    ran = run("orders", "run", request_file(), "--to", tmp_path / "data")
    assert ran.code == 1
    assert "should have 4096 bytes" in ran.err
    assert not list((tmp_path / "data").rglob("*.tif*"))


def test_what_cannot_be_verified_is_a_warning(
    run: Run, on_terminal: Run, request_file: RequestFile, tmp_path: Path
) -> None:
    """A file without a checksum in the manifest is named; `--require-checksums` makes it an error."""
    unverifiable = Simulator(
        limits=Limits.unlimited(),
        plan=OrderPlan(queue_seconds=0, run_seconds=0, manifest="missing_entry"),
        api_key="secret-key",
    )
    with serve(unverifiable) as url:
        ran = run("--base-url", url, "orders", "run", request_file(), "--to", tmp_path / "a")
        order_id, unverified = ran.json["id"], ran.json["unverified"]
        assert ran.code == 0
        assert f"order {order_id}: not verified" in ran.err
        assert unverified
        assert all(path in ran.err for path in unverified)
        download = ("--base-url", url, "orders", "download", order_id, "--to", tmp_path / "b")
        assert "not verified" in on_terminal(*download).err
        strict = run(*download[:-1], tmp_path / "c", "--require-checksums")
        assert strict.code == 1
        assert "checksum" in strict.json["error"]
        again = ("orders", "run", request_file("again"), "--to", tmp_path / "d", "--require-checksums")
        assert run("--base-url", url, *again).code == 1


def test_an_order_delivered_elsewhere_is_a_success(
    run: Run, on_terminal: Run, request_file: RequestFile, tmp_path: Path
) -> None:
    """Delivered to a cloud or hosted, it has no files here: its line says where they are; exit code 0."""
    keys = {"aws_access_key_id": "AKIA" + "x" * 16, "aws_secret_access_key": "s" * 40}
    s3 = request_file("s3", delivery={"amazon_s3": {"bucket": "fields", "aws_region": "us-east-1", **keys}})
    hosted = request_file("hosted", hosting={"sentinel_hub": {}})
    job = ("orders", "run", s3, hosted, "--to", tmp_path, "--ledger", tmp_path / "x.ledger")
    for _ in range(2):
        ran = run(*job)
        assert ran.code == 0
        found = {each["name"]: each for each in ran.json_lines}
        assert [found[name]["paths"] for name in ("s3", "hosted")] == [[], []]
        assert "amazon_s3" in found["s3"]["delivered_to"]
        assert "sentinel_hub" in found["hosted"]["delivered_to"]
        assert found["s3"]["error"] is None
    assert "amazon_s3" in on_terminal(*job).out


@pytest.mark.parametrize("file_bytes", [3_000_000])
def test_large_files_have_bars(
    monkeypatch: pytest.MonkeyPatch, on_terminal: Run, request_file: RequestFile, tmp_path: Path
) -> None:
    """A person sees how far each large file has come, by bytes."""
    # The live display draws when it is told to, so that the test does not depend on how fast a machine is.
    monkeypatch.setattr("planet_async.cli.output.Live", _Eager)
    order_id = json.loads(on_terminal("orders", "create", request_file(), "--format", "jsonl").out)["id"]
    ran = on_terminal("orders", "download", order_id, "--to", tmp_path)
    assert ran.code == 0
    assert "20221221_084022_18_2414_ortho_visual.tif" in ran.err
    assert "/3.0 MB" in ran.err


def test_cancel(run: Run, on_terminal: Run, request_file: RequestFile, simulator: Simulator) -> None:
    """`cancel` cancels what is queued, and names each order that it could not cancel."""
    waiting, done = (run("orders", "create", request_file(name)).json["id"] for name in ("waits", "done"))
    ran = run("orders", "cancel", waiting, done)
    assert ran.code == 1
    assert ran.json["succeeded"] == 1
    assert [(each["id"], each["reason"]) for each in ran.json["failures"]] == [(done, "already_final")]
    assert f"planet-async: {done} is not cancelled: Order not in a cancellable state" in ran.err
    assert simulator.orders[waiting].state == "cancelled"
    again = run("orders", "create", request_file("waits")).json["id"]
    seen = on_terminal("orders", "cancel", again, waiting, done, UNKNOWN)
    assert (seen.code, seen.out) == (1, "1 cancelled, 2 already final, 1 not found\n")


def test_cancel_all_asks(
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    on_terminal: Run,
    request_file: RequestFile,
    simulator: Simulator,
) -> None:
    """--all cancels every queued order, but not before a person, or --yes, has agreed."""
    run("orders", "create", request_file("waits-1"), request_file("waits-2"))
    refused = run("orders", "cancel", "--all")
    assert refused.code == 2
    assert "--yes" in refused.err
    answers = iter([False, True])

    def confirm(question: str, **_: Any) -> bool:
        assert "every queued order" in question
        if not (agreed := next(answers)):
            raise KeyboardInterrupt
        return agreed

    monkeypatch.setattr("planet_async.cli.runner.typer.confirm", confirm)
    monkeypatch.setattr("planet_async.cli.runner.can_ask", lambda: True)
    assert on_terminal("orders", "cancel", "--all").code == 130
    assert simulator.requests["orders.cancel_many"] == 0
    assert on_terminal("orders", "cancel", "--all").out == "2 cancelled\n"
    assert run("orders", "cancel", "--all", "--yes").json == {"succeeded": 0, "failures": []}


@pytest.mark.parametrize("args", [[], [UNKNOWN, "--all"]])
def test_cancel_needs_to_know_what(args: list[str], run: Run, simulator: Simulator) -> None:
    """Neither ids nor --all, or both, is wrong usage; nothing is sent."""
    ran = run("orders", "cancel", *args, "--yes")
    assert ran.code == 2
    assert not simulator.requests


def test_stats(run: Run, on_terminal: Run, request_file: RequestFile) -> None:
    """`stats` counts the queued and running orders."""
    run("orders", "create", request_file("waits"))
    assert run("orders", "stats").json["user"] == {"queued_orders": 1, "running_orders": 0}
    lines = [line.split() for line in on_terminal("orders", "stats").out.splitlines()]
    assert ["yours", "1", "0"] in lines


def test_no_color(monkeypatch: pytest.MonkeyPatch, on_terminal: Run, request_file: RequestFile) -> None:
    """NO_COLOR is obeyed: the same table, without a colour."""
    on_terminal("orders", "create", request_file("waits"))
    assert "\x1b[33m" in on_terminal("orders", "list").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[33m" not in on_terminal("orders", "list").out


def test_no_bars_in_a_pipe(run: Run, request_file: RequestFile, tmp_path: Path) -> None:
    """Where standard error is no terminal, it says which orders were placed, and nothing else."""
    ran = run("orders", "run", request_file(), "--to", tmp_path / "data")
    assert (ran.code, ran.err) == (0, f"planet-async: order {ran.json['id']} is placed: farm\n")


def test_the_key_is_never_shown(on_terminal: Run, request_file: RequestFile) -> None:
    """The API key appears in no output, not in errors either."""
    for args in (("list",), ("stats",), ("create", request_file()), ("get", UNKNOWN)):
        ran = on_terminal("orders", *args)
        assert "secret-key" not in ran.out + ran.err


class _Eager:
    """A live display that draws each time it is asked how far things are."""

    def __init__(self, renderable: Any, *, console: Any, **_: Any) -> None:
        self._renderable, self._console = renderable, console

    def start(self) -> None:
        for bars in self._renderable.renderables:
            update = bars.update

            def drawn(task: Any, *, _update: Any = update, **fields: Any) -> None:
                _update(task, **fields)
                self._console.print(self._renderable)

            bars.update = drawn

    def stop(self) -> None:
        self._console.print(self._renderable)
