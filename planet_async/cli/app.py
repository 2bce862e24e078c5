"""The command, its groups, and the options that apply to all of them."""

import inspect
import io
import ssl
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from planet_async import Config, InvalidRequest, __version__
from planet_async.cli import (
    auth,
    basemaps,
    data,
    destinations,
    features,
    ledger,
    orders,
    quota,
    reports,
    simulate,
    subscriptions,
    tasking,
)
from planet_async.cli.demo import demo
from planet_async.cli.logs import Logs
from planet_async.cli.options import ALIASES
from planet_async.cli.runner import Command, Connection, named


class _Command(TyperCommand):
    """A command that refuses options that are repeated, where only one value can be meant."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        args = _spelled_out(self, args)
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class _Group(TyperGroup):
    """A group of such commands, with options of its own."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


def _without_types(parameters: list[Any]) -> list[Any]:
    """Return the parameters of a command; the help of flags and arguments does not say <bool> or <str>."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = _no_type
    return parameters


def _no_type(ctx: Any) -> None:
    """Show an argument by its name only."""


def _spelled_out(command: TyperCommand, args: list[str]) -> list[str]:
    """Return the arguments with the option itself for each of its `ALIASES`, if the command has that."""
    options = {name for parameter in command.params for name in parameter.opts}
    end = args.index("--") if "--" in args else len(args)
    words: list[str] = []
    for word in args[:end]:
        name, equals, value = word.partition("=")
        option, *values = ALIASES.get(name, (name,))
        if name in options or option not in options:
            words.append(word)
        else:
            words += [f"{option}{equals}{value}", *values]
    return words + args[end:]


def _refuse_repeated(command: _Command | _Group, context: Any, args: list[str]) -> None:
    """Raise a usage error instead of letting the last one win, without a word."""
    if context.resilient_parsing or not args:
        return
    _, _, order = command.make_parser(context).parse_args([*args])
    for parameter, count in Counter(order).items():
        may_repeat = getattr(parameter, "count", False) or parameter.multiple
        if count > 1 and parameter.param_type_name == "option" and not may_repeat:
            raise typer.BadParameter(f"{parameter.opts[0]} is passed more than once", ctx=context)


app: typer.Typer = typer.Typer(
    name="planet-async",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The API key is taken from PL_API_KEY; or log in with [bold]planet-async auth login[/]. "
    "New here? Try [bold]planet-async demo[/]: it needs no key.",
)
_GROUPS: dict[str, tuple[str, dict[str, Command]]] = {
    "data": ("Find items, and download their assets.", data.COMMANDS),
    "data searches": ("Save searches, and run them.", data.SEARCH_COMMANDS),
    "orders": ("Order imagery and basemaps, wait for orders and download them.", orders.COMMANDS),
    "ledger": ("Show and mend the ledger of a job, which `orders run --ledger` writes.", ledger.COMMANDS),
    "subscriptions": ("Subscribe to imagery and planetary variables.", subscriptions.COMMANDS),
    "features": ("Keep areas at Planet, to refer to them.", {}),
    "features collections": ("Create collections of features.", features.COLLECTION_COMMANDS),
    "features items": ("Add features to collections.", features.ITEM_COMMANDS),
    "destinations": ("Set up clouds to deliver to.", destinations.COMMANDS),
    "basemaps": ("Find mosaics, and download their quads.", basemaps.COMMANDS),
    "basemaps series": ("Find series of mosaics.", basemaps.SERIES_COMMANDS),
    "quota": ("Show and reserve quota.", quota.COMMANDS),
    "tasking": ("Task satellites to take new imagery.", tasking.COMMANDS),
    "reports": ("List and download the usage reports of an organization.", reports.COMMANDS),
    "auth": ("Log in with the account of a user.", auth.COMMANDS),
}


def _add_command(group: typer.Typer, name: str, command: Command) -> None:
    """Add a command; the lines of its docstring are joined to paragraphs."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    arguments = [each for each in inspect.signature(command).parameters.values() if each.name != "context"]
    add = group.command(
        name,
        cls=_Command,
        help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs),
        no_args_is_help=any(argument.default is argument.empty for argument in arguments),
    )
    add(command)


def _add_groups() -> None:
    """Add the groups, each below the one that its name begins with."""
    groups = {"": app}
    for path, (help_, commands) in _GROUPS.items():
        parent, _, name = path.rpartition(" ")
        groups[path] = typer.Typer(cls=_Group, no_args_is_help=True, rich_markup_mode="rich")
        for command_name, command in commands.items():
            _add_command(groups[path], command_name, command)
        groups[parent].add_typer(groups[path], name=name, help=help_)


for _name, _command in named(demo, simulate.simulate, data.collect).items():
    _add_command(app, _name, _command)
_add_groups()


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"planet-async {__version__}\n")
        raise typer.Exit


def _check(parameter: typer.CallbackParam, value: Any) -> Any:
    """Return the value of a global option, or raise a usage error; its text holds no password."""
    if value is None:
        return None
    try:
        Config(**{"shared": None, str(parameter.name): value})
        if parameter.name == "ca_file":
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except InvalidRequest as error:
        raise typer.BadParameter(str(error)) from None
    except ssl.SSLError:
        raise typer.BadParameter(f"there is no certificate in PEM form in {value}") from None
    except OSError as error:
        raise typer.BadParameter(f"{value} cannot be read: {error.strerror}") from None
    return value


def _check_log_format(value: str) -> str:
    if value not in {"text", "json"}:
        raise typer.BadParameter(f"expected text or json, not {value!r}")
    return value


@app.callback()
def options(
    context: typer.Context,
    *,
    base_url: Annotated[
        str | None,
        typer.Option(
            "--base-url",
            "-u",
            envvar="PL_BASE_URL",
            metavar="URL",
            callback=_check,
            help="The address of the API, if it is not https://api.planet.com.",
        ),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            callback=_check,
            help="Send all requests through this HTTP, HTTPS or SOCKS5 proxy, whatever HTTPS_PROXY and "
            "NO_PROXY say. If it has a password, set HTTPS_PROXY instead, which `ps` does not show.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=_check,
            help="Also trust the certificate authorities in this PEM file, such as a company's.",
        ),
    ] = None,
    auth_profile: Annotated[
        str | None,
        typer.Option(
            envvar="PL_AUTH_PROFILE",
            metavar="NAME",
            help="Use the login of this profile in ~/.planet, which `auth login` has saved.",
        ),
    ] = None,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            metavar="",
            show_default=False,
            help="Show what is tried again and what is queued; -vv shows each request.",
        ),
    ] = 0,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Show errors only: no progress, and nothing of the logs. "
            "Behind a command that prints records, -q prints their ids only.",
        ),
    ] = False,
    log_format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            callback=_check_log_format,
            autocompletion=lambda: ["text", "json"],
            help="What logs and errors are written as: text or json, a document on each line. "
            "With json there is no progress.",
        ),
    ] = "text",
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Find, order, subscribe, task and download from Planet's APIs.

    Prints tables, in a pipe too; programs ask for --json, or for another --format.

    Errors and progress go to standard error.

    Exit codes: 0 for success, 1 for a failure, 2 for wrong input.

    Options may have the names of the API as well, such as --status and --created-on.
    """
    if verbose and quiet:
        raise typer.BadParameter("pass -v or -q, not both")
    logs = Logs(verbose, quiet, log_format == "json")
    context.obj = Connection(base_url, proxy, ca_file, auth_profile, logs)


_command_line = typer.main.get_command(app)


def start(args: Sequence[str] | None) -> None:
    """Run the command; ends in SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a letter gets its code instead of an error.
            stream.reconfigure(errors="backslashreplace")
    _command_line(args=args, prog_name="planet-async")
