"""The command and its options that hold for everything below it."""

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from planet_async import __version__
from planet_async.cli import cancel, jobs, orders, simulate
from planet_async.cli.demo.command import demo

app = typer.Typer(
    name="planet-async",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The API key is taken from PL_API_KEY. New here? Try [bold]planet-async demo[/]: it needs no key.",
)
_orders = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
for command in (orders.create, orders.get, orders.list_, jobs.wait, jobs.run, jobs.download, cancel.cancel):
    _orders.command(command.__name__.rstrip("_"), no_args_is_help=command is not orders.list_)(command)
_orders.command("stats")(orders.stats)
app.command("demo")(demo)
app.command("simulate")(simulate.simulate)
app.add_typer(_orders, name="orders", help="Order imagery and basemaps, wait for them, download them.")


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"planet-async {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    base_url: Annotated[
        str | None,
        typer.Option(
            "--base-url",
            envvar="PL_BASE_URL",
            metavar="URL",
            help="Where the API is, if not at https://api.planet.com.",
        ),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Order, wait for and download from Planet's APIs.

    Tables on a terminal; JSON where the output goes elsewhere, or with [bold]--json[/].
    """
    context.obj = base_url


def start(args: Sequence[str] | None) -> None:
    """Run the command; ends in SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a letter gets its code instead of an error.
            stream.reconfigure(errors="backslashreplace")
    app(args=args, prog_name="planet-async")
