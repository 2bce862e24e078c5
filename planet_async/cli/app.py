"""The command and its options that hold for everything below it."""

import io
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Annotated

import typer

from planet_async import __version__
from planet_async.cli import (
    cancel,
    jobs,
    ledger,
    orders,
    reports,
    simulate,
    subscription_acts,
    subscriptions,
    tasking,
    tasking_plans,
)
from planet_async.cli.demo.command import demo

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
        *(orders.create, orders.get, orders.list_, jobs.wait, jobs.run, jobs.download),
        *(cancel.cancel, orders.stats),
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
        *(subscription_acts.cancel, subscription_acts.suspend, subscription_acts.reactivate),
        *(subscription_acts.results, subscription_acts.summary),
    ),
    (subscriptions.list_, subscription_acts.summary),
)
_group(
    "tasking",
    "Task satellites to take new imagery.",
    (
        *(tasking.create, tasking.get, tasking.list_, tasking.update, tasking.cancel, tasking.wait),
        *(tasking_plans.pricing, tasking_plans.windows, tasking_plans.captures),
    ),
    (tasking.list_, tasking_plans.captures),
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
    """Order, subscribe, task and download from Planet's APIs.

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
