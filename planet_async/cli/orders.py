"""The commands `planet-async orders`."""

import shlex
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from planet_async import (
    Archive,
    BulkResult,
    DownloadedOrder,
    Order,
    OrderRequest,
    OrderState,
    OrderStats,
    Outcome,
    Planet,
    PlanetError,
)
from planet_async.cli.catalog import Items, TypeOfItems, bundles, complete_bundle, item_types
from planet_async.cli.input import (
    InputRequest,
    id_argument,
    ids_argument,
    print_request,
    read_geometry,
    read_items,
    read_object,
    read_objects,
    read_requests,
    uuid_of,
)
from planet_async.cli.options import (
    INTERVAL,
    REPEATABLE,
    SOURCE,
    CollectionId,
    CreateConfiguration,
    Destination,
    DestinationRef,
    FilledLedger,
    Host,
    Hosting,
    Ledger,
    Limit,
    Name,
    NameContains,
    Overwrite,
    PageSize,
    Requests,
    SortOrders,
    Timeout,
    UserId,
    Yes,
    choice,
    option,
    period_option,
    state_option,
)
from planet_async.cli.output import (
    TABLE,
    Format,
    Formats,
    ProgressDisplay,
    View,
    about,
    clean,
    one_line,
    print_document,
    print_error,
    print_note,
    print_table,
    stdout,
)
from planet_async.cli.process import reporting
from planet_async.cli.runner import (
    Results,
    confirm_bulk,
    create_each,
    for_each,
    hosting_of,
    named,
    progress_display,
    show_list,
    show_one,
    wait_for_each,
    with_planet,
)
from planet_async.jobs.ledger import count_unfinished
from planet_async.outcome import chunks
from planet_async.redaction import redacted


def _product(product: Mapping[str, Any]) -> str:
    if "mosaic_name" in product:
        quads = product.get("quad_ids")
        part = f"{len(quads):,} quads" if isinstance(quads, list) else "by geometry"
        return f"{product['mosaic_name']}, {part}"
    items = product.get("item_ids")
    count = len(items) if isinstance(items, list) else 0
    return f"{count:,} x {product.get('item_type')}, {product.get('product_bundle')}"


def _print_files(order: Order) -> None:
    """Print the table of the files, without the links: these need no key."""
    rows = [
        (result.name.removeprefix(f"{order.id}/"), result.delivery, result.expires_at)
        for result in order.results
    ]
    if rows:
        print_table(("file", "delivery", "link expires (UTC)"), rows)


VIEW = View[Order](
    "orders",
    columns={"id": "id", "state": "state", "created (UTC)": "created_on", "name": "name"},
    title=lambda order: order.name,
    facts={
        "id": "id",
        "state": "state",
        "created": "created_on",
        "last modified": "last_modified",
        "message": "last_message",
        "error hints": lambda order: "; ".join(order.error_hints),
        "products": lambda order: "; ".join(map(_product, order.products)),
        "tools": lambda order: [name for tool in order.tools for name in tool],
        "delivery": "delivery",
        "hosting": "hosting",
    },
    below=_print_files,
    line=("id", "state", "name"),
)

_order_id = uuid_of("order")
OrderId = Annotated[str, id_argument("an order", _order_id)]
OrderIds = Annotated[list[str], ids_argument("orders", _order_id)]
_MOST_ITEMS = 500  # of one order
_DIGEST = 12  # characters
RequireChecksums = Annotated[
    bool, typer.Option("--require-checksums", help="Make a file without a checksum an error.")
]


def create(
    context: typer.Context,
    requests: Requests,
    *,
    hosting: Host = None,
    collection_id: CollectionId = None,
    create_configuration: CreateConfiguration = False,
    form: Formats = TABLE,
) -> None:
    """Place orders from JSON requests.

    All requests are checked before the first order is placed.

    [dim]planet-async orders create farm.json coast.json[/]

    [dim]jq -c .requests[] plan.json | planet-async orders create -[/]
    """
    host = hosting_of(hosting, collection_id, create_configuration)
    create_each(
        context,
        requests,
        OrderRequest,
        lambda planet, body: planet.orders.create(body),
        VIEW,
        also={"hosting": host} if host else {},
        listing="orders list --name {}",
        form=form,
    )


def request(
    items: Items,
    *,
    bundle: Annotated[str, option("BUNDLE", "What is delivered of each item.", complete=complete_bundle)],
    item_type: TypeOfItems = None,
    fallback_bundle: Annotated[
        list[str] | None, option("BUNDLE", "Where an item lacks it. Repeatable.", complete=complete_bundle)
    ] = None,
    name: Annotated[
        str | None, option("NAME", "The name; several orders get their type and a hash behind it.")
    ] = None,
    clip: Annotated[str | None, option("GEOJSON", "Clip to this area: as --geometry elsewhere.")] = None,
    tools: Annotated[str | None, option("JSON", f"The tools. {SOURCE}")] = None,
    email: Annotated[bool, typer.Option("--email", help="Have Planet send an e-mail at the end.")] = False,
    archive_type: Annotated[str | None, choice("TYPE", "Have the files of each item packed: ", "zip")] = None,
    archive_filename: Annotated[
        str | None, option("NAME", "With {{name}} and {{order_id}}, which are replaced.")
    ] = None,
    single_archive: Annotated[
        bool, typer.Option("--single-archive", help="One archive for the whole order.")
    ] = False,
    delivery: Annotated[str | None, option("JSON", f"To a cloud. {SOURCE}")] = None,
    stac: Annotated[bool, typer.Option("--stac/--no-stac", help="With STAC metadata, or not.")] = False,
    hosting: Host = None,
    collection_id: CollectionId = None,
    create_configuration: CreateConfiguration = False,
) -> None:
    """Print the requests for orders of scenes, for `orders create` or `orders run`. Nothing is sent.

    An order has items of one type, at most 500 of them. The same items and options make the same names.

    [dim]planet-async orders request --item-type PSScene --bundle visual 20221221_084022_18_2414[/]

    [dim]planet-async data search PSScene --geometry field.geojson --json | planet-async orders request
    --bundle analytic_udm2 - | planet-async orders run - --to data[/]
    """
    found = read_items(items, item_type)
    deliveries = dict(read_object(delivery) or {})
    if archive_type or archive_filename or single_archive:
        archive = Archive(
            archive_type=archive_type or "zip",
            archive_filename=archive_filename,
            single_archive=single_archive,
        )
        deliveries |= archive.to_dict()
    if clip and tools:
        raise typer.BadParameter("pass --clip or --tools, not both")
    blocks: dict[str, Any] = {
        "tools": [{"clip": {"aoi": read_geometry(clip)}}] if clip else read_objects(tools),
        "delivery": deliveries,
        "hosting": hosting_of(hosting, collection_id, create_configuration),
        "notifications": {"email": True} if email else None,
        "metadata": {"stac": {}} if stac else None,
    }
    product = {"product_bundle": ",".join([bundle, *(fallback_bundle or ())])}
    orders = [
        {
            "products": [{"item_ids": [*ids], "item_type": type_, **product}],
            **{key: block for key, block in blocks.items() if block},
        }
        for type_, all_ids in found.items()
        for ids in chunks(all_ids, _MOST_ITEMS)
    ]
    for order in orders:
        digest = sha256(dumps(redacted(order), sort_keys=True).encode()).hexdigest()[:_DIGEST]
        title = f"{name or 'order'} {order['products'][0]['item_type']} {digest}"
        print_request(OrderRequest, {"name": name if name and len(orders) == 1 else title, **order})


def get(context: typer.Context, order_id: OrderId, form: Format = TABLE) -> None:
    """Show an order.

    [dim]planet-async orders get 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --json | jq .state[/]
    """
    show_one(context, lambda planet: planet.orders.get(order_id), VIEW, form=form)


def list_(
    context: typer.Context,
    *,
    state: Annotated[list[OrderState] | None, state_option("In this state", OrderState)] = None,
    name: Name = None,
    name_contains: NameContains = None,
    created_on: Annotated[str | None, period_option(f"Created then. {INTERVAL}", "--created")] = None,
    last_modified: Annotated[str | None, period_option("Changed then; as --created.", "--updated")] = None,
    source_type: Annotated[
        list[str] | None, choice("TYPE", "Of ", "scenes", "basemaps", "all", default="all", more=REPEATABLE)
    ] = None,
    hosting: Hosting = None,
    destination_ref: DestinationRef = None,
    user_id: UserId = None,
    sort_by: SortOrders = None,
    limit: Limit = None,
    page_size: PageSize = 500,
    form: Formats = TABLE,
) -> None:
    """List orders, newest first.

    [dim]planet-async orders list --state queued --state running --limit 20[/]

    [dim]planet-async orders list --created 7d --name-contains farm --format ids[/]
    """
    show_list(
        context,
        lambda planet: planet.orders.list(
            state=state or None,
            name=name,
            name__contains=name_contains,
            created_on=created_on,
            last_modified=last_modified,
            source_type=source_type or "all",
            hosting=hosting,
            destination_ref=destination_ref,
            user_id=user_id,
            sort_by=sort_by or None,
            page_size=page_size,
        ),
        VIEW,
        limit=limit,
        form=form,
    )


def stats(context: typer.Context, form: Format = TABLE) -> None:
    """Count the queued and running orders, yours and those of your organization."""
    show_one(context, lambda planet: planet.orders.stats(), _print_stats, form=form)


def _print_stats(stats: OrderStats) -> None:
    rows = [
        (whose, counts.queued_orders, counts.running_orders)
        for whose, counts in (("yours", stats.user), ("organization", stats.organization))
    ]
    print_table(("", "queued", "running"), rows)


def cancel(
    context: typer.Context,
    order_ids: Annotated[list[str] | None, ids_argument("queued orders", _order_id)] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Cancel every queued order of the account.")
    ] = False,
    yes: Yes = False,
    form: Format = TABLE,
) -> None:
    """Cancel queued orders; running ones cannot be cancelled.

    [dim]planet-async orders cancel 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11[/]
    """
    confirm_bulk(order_ids, everything, yes, "Cancel every queued order of the account?")

    async def work(planet: Planet) -> bool:
        if order_ids is None:
            result = await planet.orders.cancel_all()
        else:
            result = await planet.orders.cancel_many(order_ids)
        if form != TABLE:
            print_document(_document(result), form)
        else:
            stdout().print(_counts(result), highlight=False)
        for failure in result.failures:
            print_error(f"{clean(failure.id)} is not cancelled: {failure.message}")
        return not result.failures

    with_planet(context, work)


def _counts(result: BulkResult) -> str:
    """Return how many ended how: 2 cancelled, 1 not found."""
    reasons = Counter(failure.reason.replace("_", " ") for failure in result.failures)
    groups = [(result.succeeded, "cancelled"), *((count, reason) for reason, count in reasons.items())]
    return ", ".join(f"{count:,} {clean(group)}" for count, group in groups)


def _document(result: BulkResult) -> dict[str, object]:
    failures = [
        {"id": failure.id, "reason": failure.reason, "message": failure.message}
        for failure in result.failures
    ]
    return {"succeeded": result.succeeded, "failures": failures}


def wait(context: typer.Context, order_ids: OrderIds, timeout: Timeout = None, form: Formats = TABLE) -> None:
    """Wait until orders are finished; exit code 1 if one failed, was cancelled or takes too long.

    [dim]planet-async orders wait 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --timeout 3600[/]
    """
    results = OrderResults(form)

    def add(outcome: Outcome[Order]) -> str | None:
        results.add(outcome.id, outcome.value, error=outcome.error)
        return outcome.value.state if outcome.value else None

    wait_for_each(
        context,
        "orders",
        order_ids,
        lambda planet: planet.orders.wait_many(order_ids, timeout=timeout),
        results=results,
        add=add,
    )


def run(
    context: typer.Context,
    requests: Requests,
    *,
    to: Destination = ".",
    ledger: Ledger = None,
    overwrite: Overwrite = False,
    require_checksums: RequireChecksums = False,
    form: Formats = TABLE,
) -> None:
    """Place orders, wait for them, and download each as soon as it is finished.

    All requests are checked before the first order is placed. Files are verified; a warning names those
    without a checksum. An order that is delivered to a cloud or hosted is done when it is finished. With a
    ledger, the same command resumes the job after any interruption: nothing is ordered twice; and further
    ones, here or on other machines, share it: see `orders work`.

    [dim]planet-async orders run farm.json coast.json --to data --ledger fields.ledger[/]
    """
    found = read_requests(requests, OrderRequest)

    def run(planet: Planet, **options: Any) -> Outcomes:
        return planet.orders.run([request.body for request in found], to, ledger=ledger, **options)

    options = {"overwrite": overwrite, "require_checksums": require_checksums}
    _do_job(context, run, form, to, is_kept=ledger is not None, requests=found, total=len(found), **options)


def work(
    context: typer.Context,
    *,
    ledger: FilledLedger,
    to: Destination = ".",
    overwrite: Overwrite = False,
    require_checksums: RequireChecksums = False,
    form: Formats = TABLE,
) -> None:
    """Work on the requests in a ledger, beside other processes and machines, until all are done.

    `orders run --ledger` fills it, and may be running. Any number of workers may be started and killed:
    nothing is ordered twice, and what a killed one had is done by the others. Set PL_SHARED to the address of
    a database, so that they keep to the rates of the key together.

    [dim]planet-async orders work --ledger postgresql://planet@db.example.com/jobs --to data[/]
    """

    def run(planet: Planet, **options: Any) -> Outcomes:
        return planet.orders.work(to, ledger=ledger, **options)

    with reporting():
        total = count_unfinished(ledger)
    options = {"overwrite": overwrite, "require_checksums": require_checksums}
    _do_job(context, run, form, to, is_kept=True, requests=(), total=total, **options)


Outcomes = AsyncIterator[Outcome[DownloadedOrder]]


def _do_job(
    context: typer.Context,
    run: Callable[..., Outcomes],
    form: str,
    to: str,
    *,
    is_kept: bool,
    requests: Sequence[InputRequest],
    total: int,
    **options: Any,
) -> None:
    async def work(planet: Planet) -> bool:
        results = OrderResults(form)
        async with progress_display(context) as display:
            progress = JobProgress(display, requests, total)

            def update(order: Order) -> None:
                if not display.is_shown and order.id not in progress.orders and not order.state.is_final:
                    print_note(f"order {order.id} is placed: {order.name}")
                progress.update(order)

            job: Any = run(planet, progress=display.receive, on_update=update, **options)
            with _saying_how_to_resume(progress, results, to, is_kept=is_kept):
                # Ended before the client is closed, a job that is interrupted counts no order as failed.
                async with aclosing(job) as outcomes:
                    async for outcome in outcomes:
                        progress.end(outcome)
                        progress.add_to(results, outcome)
        return results.finish()

    with_planet(context, work)


def download(
    context: typer.Context,
    order_ids: OrderIds,
    *,
    to: Destination = ".",
    overwrite: Overwrite = False,
    require_checksums: RequireChecksums = False,
    form: Formats = TABLE,
) -> None:
    """Download the files of finished orders, and verify them; a warning names those without a checksum.

    Files that are already there are kept: run it again to fetch what is missing.

    [dim]planet-async orders download 4bbbb3a8-3a4b-4c2f-8f0e-0c6f5a1f8d11 --to data[/]
    """

    async def work(planet: Planet) -> bool:
        results = OrderResults(form)

        async def fetch(order_id: str) -> None:
            order: Order | None = None
            try:
                order = await planet.orders.get(order_id)
                files = await planet.orders.download(
                    order,
                    to,
                    overwrite=overwrite,
                    require_checksums=require_checksums,
                    progress=display.receive,
                )
                for path, original in files.renamed.items():
                    print_error(f"{original!r} is kept as {path}")
                results.add(
                    order_id, order, DownloadedOrder(order, (*files,), files.unverified, urls=(*files.urls,))
                )
            except PlanetError as error:
                results.add(order_id, order, error=error, has_files=True)
            finally:
                display.forget(order_id)
            downloading.advance(display.received)

        async with progress_display(context) as display:
            downloading = display.step("Downloading", len(order_ids))
            await for_each(order_ids, fetch, at_once=_DOWNLOADED_AT_ONCE)
        return results.finish()

    with_planet(context, work)


_DOWNLOADED_AT_ONCE = 4
_FAILED = frozenset({OrderState.FAILED, OrderState.CANCELLED})


class OrderResults(Results):
    """The results of orders: their state, their files, or the error."""

    def __init__(self, form: str) -> None:
        super().__init__(("id", "state", "files", "name"), form)
        self.ids: set[str] = set()

    def add(
        self,
        id_: str | None,
        order: Order | None,
        downloaded: DownloadedOrder | None = None,
        *,
        request: InputRequest | None = None,
        error: PlanetError | None = None,
        has_files: bool = False,
    ) -> None:
        """Add what became of an order, or of the request for one, as far as it is known.

        With `has_files`, the command downloads: an order without files is shown as such.
        """
        name = order.name if order else str(request.body["name"]) if request else ""
        state = order and order.state
        document: dict[str, Any] = {"id": id_, "name": name, "state": state}
        if request is not None:
            document |= {"file": request.file, "line": request.line}
        shown: object = None
        if downloaded or has_files:
            paths = (*downloaded.paths, *downloaded.urls) if downloaded else ()
            shown, document["paths"] = len(paths), [str(path) for path in paths]
        if downloaded and downloaded.delivered_to:
            shown = document["delivered_to"] = downloaded.delivered_to
        if downloaded and downloaded.unverified:
            document["unverified"] = [str(path) for path in downloaded.unverified]
            print_error(f"order {id_}: {_unverified(downloaded.unverified)}")
        document |= {"error_hints": order.error_hints if order else (), "error": error and one_line(error)}
        problem = document["error"]
        if problem is None and order is not None and state in _FAILED:
            hints = "; ".join(order.error_hints) or "the API gives no reason"
            problem = f"order {order.id} is {state}: {hints}"
        if problem is not None and request is not None:
            problem = about(request.where, problem)
        self.add_row(document, (id_, state, shown, name), problem)
        if id_ is not None:
            self.ids.add(id_)


_MOST_NAMED = 5


def _unverified(paths: Sequence[Path | str]) -> str:
    """Return a warning that names some of the files which could not be verified."""
    names = ", ".join(map(str, paths[:_MOST_NAMED]))
    more = f" and {len(paths) - _MOST_NAMED:,} more" if len(paths) > _MOST_NAMED else ""
    return f"not verified, since the manifest has no checksum to compare with: {names}{more}"


class JobProgress:
    """The bars of a job, the orders that it has placed, and the request of each."""

    def __init__(self, display: ProgressDisplay, requests: Sequence[InputRequest], total: int) -> None:
        self.orders: dict[str, Order] = {}
        self.total: int = total
        self._display = display
        self._requests: dict[str, list[InputRequest]] = {}
        for request in requests:
            self._requests.setdefault(str(request.body["name"]), []).append(request)
        self._placing = display.step("Placing orders", self.total)
        self._waiting = display.step("Waiting for orders", self.total)
        self._downloading = display.step("Downloading", self.total)

    def update(self, order: Order) -> None:
        """Show that an order was placed or has finished."""
        before = self.orders.get(order.id)
        if before is None:
            self._placing.advance()
        if order.state.is_final and not (before and before.state.is_final):
            self._waiting.advance(state=order.state)
        self.orders[order.id] = order

    def end(self, outcome: Outcome[DownloadedOrder]) -> None:
        """Show that an order is done with."""
        order = self.orders.get(outcome.id)
        if order is None:
            self._placing.advance()
            self._waiting.advance(state="error")
        else:
            self._display.forget(order.id)
        self._downloading.advance(self._display.received)

    def add_to(self, results: OrderResults, outcome: Outcome[DownloadedOrder]) -> None:
        """Add what became of an order; one that was never placed is known by the name in its request."""
        order = self.orders.get(outcome.id)
        results.add(
            order.id if order else None,
            order,
            outcome.value,
            request=self._request_of(order, order.name if order else outcome.id),
            error=outcome.error,
            has_files=True,
        )

    def _request_of(self, order: Order | None, name: str) -> InputRequest | None:
        """Return the request of an order: of several of its name, the next one for the same products."""
        requests = self._requests.get(name, [])
        if len(requests) == 1:
            return requests[0]
        products = [] if order is None else [*order.products]
        for index, request in enumerate(requests):
            if request.body.get("products") == products:
                return requests.pop(index)
        return None


@contextmanager
def _saying_how_to_resume(
    progress: JobProgress, results: OrderResults, to: str, *, is_kept: bool
) -> Iterator[None]:
    """If the job is interrupted, print the orders that continue without it."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        if is_kept:
            print_error("the orders placed go on; run the same command again to resume the job")
        else:
            if left := [id_ for id_ in progress.orders if id_ not in results.ids]:
                print_error(
                    "the orders placed go on; fetch them later with:"
                    f" planet-async orders download {' '.join(left)} --to {shlex.quote(to)}"
                )
            if len(progress.orders) < progress.total:
                print_error("more may just have been placed: see `planet-async orders list --created 1h`")
        raise


COMMANDS = named(create, request, get, list_, wait, run, work, download, cancel, stats, bundles, item_types)
