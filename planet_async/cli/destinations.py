"""The commands `planet-async destinations`."""

from typing import Annotated

import typer

from planet_async import CloudDestination, DestinationRequest
from planet_async.cli.input import id_argument, read_object
from planet_async.cli.options import SOURCE, Limit, Requests, option
from planet_async.cli.output import TABLE, Format, Formats, View
from planet_async.cli.runner import create_each, named, run_only, show_list, show_one

VIEW = View[CloudDestination](
    "destinations",
    columns={
        "id": "id",
        "type": "type",
        "created (UTC)": "created",
        "default": "default",
        "archived (UTC)": "archived",
        "name": "name",
    },
    title=lambda destination: destination.name,
    facts={
        "id": "id",
        "reference": "ref",
        "type": "type",
        "created": "created",
        "updated": "updated",
        "archived": "archived",
        "default": "default",
        "yours": lambda destination: destination.ownership.get("is_owner"),
        "parameters": lambda destination: [
            f"{name}={value}" for name, value in destination.parameters.items()
        ],
    },
    line=("id", "type", "name"),
)

DestinationId = Annotated[str, id_argument("a destination, or its reference pl:destinations/...")]


def create(context: typer.Context, requests: Requests, form: Formats = TABLE) -> None:
    """Create destinations from JSON requests, with a type, parameters, and perhaps a name.

    The types are amazon_s3, azure_blob_storage, google_cloud_storage, oracle_cloud_storage and s3_compatible.
    Credentials are read from files or standard input, since `ps` shows the options of a command.

    [dim]planet-async destinations create bucket.json[/]
    """
    create_each(
        context,
        requests,
        DestinationRequest,
        lambda planet, body: planet.destinations.create(body),
        VIEW,
        listing="destinations list",
        form=form,
    )


def get(context: typer.Context, destination: DestinationId, form: Format = TABLE) -> None:
    """Show a destination; its secrets are not shown.

    [dim]planet-async destinations get my-bucket-4xkQ1[/]
    """
    show_one(context, lambda planet: planet.destinations.get(destination), VIEW, form=form)


def list_(
    context: typer.Context,
    *,
    archived: Annotated[
        bool | None, typer.Option("--archived/--not-archived", help="Archived, or not.")
    ] = None,
    is_owner: Annotated[bool | None, typer.Option("--is-owner/--not-owner", help="Yours, or not.")] = None,
    can_write: Annotated[
        bool | None, typer.Option("--can-write/--read-only", help="That you may change, or not.")
    ] = None,
    is_default: Annotated[
        bool | None, typer.Option("--is-default/--not-default", help="The default, or the others.")
    ] = None,
    limit: Limit = None,
    form: Formats = TABLE,
) -> None:
    """List the destinations of the organization. As JSON: one a line.

    [dim]planet-async destinations list --is-owner[/]
    """
    show_list(
        context,
        lambda planet: planet.destinations.list(
            archived=archived, is_owner=is_owner, can_write=can_write, is_default=is_default
        ),
        VIEW,
        limit=limit,
        form=form,
    )


def update(
    context: typer.Context,
    destination: DestinationId,
    *,
    name: Annotated[str | None, option("NAME", "The new name.")] = None,
    parameters: Annotated[str | None, option("JSON", f"All the credentials anew. {SOURCE}")] = None,
    form: Format = TABLE,
) -> None:
    """Change the name or the credentials of a destination.

    [dim]planet-async destinations update my-bucket-4xkQ1 --parameters keys.json[/]
    """
    changes = read_object(parameters)
    show_one(
        context,
        lambda planet: planet.destinations.update(destination, name=name, parameters=changes),
        VIEW,
        form=form,
    )


def archive(context: typer.Context, destination: DestinationId, form: Format = TABLE) -> None:
    """Archive a destination, so that nothing is delivered to it any more.

    [dim]planet-async destinations archive my-bucket-4xkQ1[/]
    """
    show_one(context, lambda planet: planet.destinations.archive(destination), VIEW, form=form)


def unarchive(context: typer.Context, destination: DestinationId, form: Format = TABLE) -> None:
    """Make an archived destination available again.

    [dim]planet-async destinations unarchive my-bucket-4xkQ1[/]
    """
    show_one(context, lambda planet: planet.destinations.unarchive(destination), VIEW, form=form)


def get_default(context: typer.Context, form: Format = TABLE) -> None:
    """Show the default destination: pl:destinations/default.

    [dim]planet-async destinations get-default[/]
    """
    show_one(context, lambda planet: planet.destinations.get_default(), VIEW, form=form)


def set_default(context: typer.Context, destination: DestinationId, form: Format = TABLE) -> None:
    """Make a destination the default one.

    [dim]planet-async destinations set-default my-bucket-4xkQ1[/]
    """
    show_one(context, lambda planet: planet.destinations.set_default(destination), VIEW, form=form)


def unset_default(context: typer.Context) -> None:
    """Have no default destination.

    [dim]planet-async destinations unset-default[/]
    """
    run_only(context, lambda planet: planet.destinations.unset_default())


COMMANDS = named(create, get, list_, update, archive, unarchive, get_default, set_default, unset_default)
