"""`subscriptions create`, `get`, `list`, `update` and `patch`."""

from typing import Annotated

import typer

from planet_async.cli.describe_subscriptions import subscription_line, subscription_panel, subscriptions_table
from planet_async.cli.options import INTERVAL, ChangesFile, Limit, Name, NameContains, UserId, one_of
from planet_async.cli.output import Json
from planet_async.cli.show import act_on_each, requests_in, show_list, show_one
from planet_async.models.subscription_request import SubscriptionRequest

SubscriptionId = Annotated[str, typer.Argument(metavar="ID", help="The id of a subscription.")]
_STATUSES = ["preparing", "pending", "running", "completed", "suspended", "cancelled", "failed", "invalid"]


def create(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(metavar="REQUEST.json", help="Requests for subscriptions; - is standard input."),
    ],
    json: Json = False,
) -> None:
    """Create subscriptions, each as a JSON file describes it.

    All files are checked before the first subscription is created.

    [dim]planet-async subscriptions create field-7.json field-8.json[/]
    """
    act_on_each(
        context,
        requests_in(files, SubscriptionRequest),
        lambda planet, request: planet.subscriptions.create(request.body),
        subscription_line,
        json=json,
    )


def get(context: typer.Context, subscription_id: SubscriptionId, json: Json = False) -> None:
    """Show a subscription.

    [dim]planet-async subscriptions get 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 | jq .status[/]
    """
    show_one(context, lambda planet: planet.subscriptions.get(subscription_id), subscription_panel, json=json)


def list_(
    context: typer.Context,
    *,
    status: Annotated[list[str] | None, one_of("With this status", _STATUSES)] = None,
    name: Name = None,
    name_contains: NameContains = None,
    source_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="To this: catalog, soil_water_content, ...")
    ] = None,
    created: Annotated[str | None, typer.Option(metavar="TIME", help=f"Created then. {INTERVAL}")] = None,
    user_id: UserId = None,
    sort_by: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="name, created, updated, status, ...; also 'name DESC'."),
    ] = None,
    limit: Limit = None,
    page_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many there are in one answer of the API.")
    ] = 500,
    json: Json = False,
) -> None:
    """List subscriptions, the newest first. As JSON: one a line.

    [dim]planet-async subscriptions list --status running --status suspended --limit 20[/]

    [dim]planet-async subscriptions list --name-contains field | jq -r .id[/]
    """
    show_list(
        context,
        lambda planet: planet.subscriptions.list(
            status=status or None,
            name=name,
            name__contains=name_contains,
            source_type=source_type,
            created=created,
            user_id=user_id,
            sort_by=sort_by,
            page_size=page_size,
        ),
        subscriptions_table,
        limit=limit,
        json=json,
    )


def update(
    context: typer.Context,
    subscription_id: SubscriptionId,
    file: Annotated[
        str, typer.Argument(metavar="REQUEST.json", help="The whole of its new version; - is standard input.")
    ],
    json: Json = False,
) -> None:
    """Replace a subscription by its new version; what the file leaves out is gone.

    Where the API shows <REDACTED>, the file needs the secret itself.

    [dim]planet-async subscriptions update 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 field-7.json[/]
    """
    (request,) = requests_in([file], SubscriptionRequest)
    show_one(
        context,
        lambda planet: planet.subscriptions.update(subscription_id, request.body),
        subscription_panel,
        json=json,
    )


def patch(
    context: typer.Context,
    subscription_id: SubscriptionId,
    file: ChangesFile,
    json: Json = False,
) -> None:
    """Change some fields of a subscription, and keep the others.

    [dim]planet-async subscriptions patch 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 name.json[/]
    """
    (changes,) = requests_in([file], None)
    show_one(
        context,
        lambda planet: planet.subscriptions.patch(subscription_id, changes.body),
        subscription_panel,
        json=json,
    )
