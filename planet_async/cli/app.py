"""The command and its options that hold for everything below it."""

import io
import ssl
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from planet_async import Config, InvalidRequest, __version__
from planet_async.cli import ledger, orders, reports, simulate, subscriptions, tasking
from planet_async.cli.demo import demo
from planet_async.cli.runner import Connection

app = typer.Typer(
    name="planet-async",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The API key is taken from PL_API_KEY. New here? Try [bold]planet-async demo[/]: it needs no key.",
)


Command = Callable[..., None]


def _group(
    name: str, text: str, commands: Iterable[Command], without_arguments: Collection[Command] = ()
) -> None:
    """Add a group of commands, each named as its function is."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    for command in commands:
        group.command(command.__name__.rstrip("_"), no_args_is_help=command not in without_arguments)(command)
    app.add_typer(group, name=name, help=text)


app.command("demo")(demo)
app.command("simulate")(simulate.simulate)
_group(
    "orders",
    "Order imagery and basemaps, wait for them, download them.",
    (
        *(orders.create, orders.get, orders.list_, orders.wait, orders.run, orders.download),
        *(orders.cancel, orders.stats),
    ),
    (orders.list_, orders.stats),
)
_group("ledger", "Look at the ledger of a job, which `orders run --ledger` writes.", (ledger.show,))
_group(
    "subscriptions",
    "Subscribe to imagery and planetary variables, delivered as they are made.",
    (
        *(subscriptions.create, subscriptions.get, subscriptions.list_),
        *(subscriptions.update, subscriptions.patch),
        *(subscriptions.cancel, subscriptions.suspend, subscriptions.reactivate),
        *(subscriptions.results, subscriptions.summary),
    ),
    (subscriptions.list_, subscriptions.summary),
)
_group(
    "tasking",
    "Task satellites to take new imagery.",
    (
        *(tasking.create, tasking.get, tasking.list_, tasking.update, tasking.cancel, tasking.wait),
        *(tasking.pricing, tasking.windows, tasking.captures),
    ),
    (tasking.list_, tasking.captures),
)
_group(
    "reports",
    "Look at and download the usage reports of an organization.",
    (reports.list_, reports.get, reports.download),
    (reports.list_,),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"planet-async {__version__}\n")
        raise typer.Exit


def _check_proxy(value: str | None) -> str | None:
    with _refusing():
        Config(proxy=value)
    return value


def _check_ca_file(value: Path | None) -> Path | None:
    if value is not None:
        with _refusing():
            Config(ca_file=value)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
        except ssl.SSLError:
            raise typer.BadParameter(f"there is no certificate in PEM form in {value}") from None
        except OSError as error:
            raise typer.BadParameter(f"{value} cannot be read: {error.strerror}") from None
    return value


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn what `Config` refuses into a usage error; its text holds no password."""
    try:
        yield
    except InvalidRequest as error:
        raise typer.BadParameter(str(error)) from None


@app.callback()
def options(
    context: typer.Context,
    *,
    base_url: Annotated[
        str | None,
        typer.Option(
            "--base-url",
            envvar="PL_BASE_URL",
            metavar="URL",
            help="Where the API is, if not at https://api.planet.com.",
        ),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            callback=_check_proxy,
            help="Send all requests through this HTTP, HTTPS or SOCKS5 proxy, whatever HTTPS_PROXY and "
            "NO_PROXY say. Where it has a password, set HTTPS_PROXY instead: `ps` does not show that.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=_check_ca_file,
            help="Trust the certificate authorities in this PEM file, too, such as a company's.",
        ),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Order, subscribe, task and download from Planet's APIs.

    Tables on a terminal; JSON where the output goes elsewhere, or with [bold]--json[/].
    """
    context.obj = Connection(base_url, proxy, ca_file)


def start(args: Sequence[str] | None) -> None:
    """Run the command; ends in SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a letter gets its code instead of an error.
            stream.reconfigure(errors="backslashreplace")
    app(args=args, prog_name="planet-async")
