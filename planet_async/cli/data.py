"""The commands `planet-async data` and `planet-async data searches`."""

import re
from collections.abc import Awaitable, Callable, Sequence
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from planet_async import (
    AndFilter,
    Asset,
    AssetNotDownloadable,
    AssetType,
    DateProperty,
    DateRange,
    DateRangeFilter,
    Filter,
    InvalidRequest,
    Item,
    ItemType,
    NumberProperty,
    Planet,
    PlanetError,
    RangeFilter,
    Search,
    SearchRequest,
    Stats,
    TextProperty,
    UpdateFilter,
    where,
)
from planet_async.cli.catalog import Items, TypeOfItems, complete_item_type
from planet_async.cli.input import id_argument, read_documents, read_geometry, read_items, read_object
from planet_async.cli.options import (
    SOURCE,
    AnyPageSize,
    Destination,
    Geometry,
    JsonFilter,
    Limit,
    Overwrite,
    SortItems,
    Timeout,
    choice,
    geometry_option,
    moment,
    option,
    sort_option,
    words,
)
from planet_async.cli.output import (
    TABLE,
    Format,
    Formats,
    GeoFormats,
    View,
    about,
    measure,
    one_line,
    percent,
    print_json,
    print_panel,
    print_table,
    type_of,
)
from planet_async.cli.process import reporting
from planet_async.cli.runner import (
    Command,
    Results,
    act_on_each,
    for_each,
    named,
    progress_display,
    run_only,
    show_list,
    show_one,
    with_planet,
)

VIEW = View[Item](
    "items",
    columns={
        "id": "id",
        "type": "item_type",
        "acquired (UTC)": "acquired",
        "clouds": lambda item: percent(item.cloud_cover),
        "published (UTC)": "published",
    },
    title=lambda item: f"{item.item_type} {item.id}",
    facts={
        "acquired": "acquired",
        "published": "published",
        "updated": "updated",
        "clouds": lambda item: percent(item.cloud_cover),
        "instrument": lambda item: item.properties.instrument,
        "quality": lambda item: item.properties.quality_category,
        "stage": lambda item: item.properties.publishing_stage,
        "gsd": lambda item: item.properties.gsd,
        "assets": "assets",
    },
    geometry=lambda item: item.raw.get("geometry"),
)
ASSETS = View[Asset](
    "assets",
    columns={
        "type": "type",
        "status": "status",
        "expires (UTC)": "expires_at",
        "download": lambda asset: None if asset.permissions is None else "download" in asset.permissions,
    },
    line=("item_id", "type", "status"),
)
SEARCHES = View[Search](
    "searches",
    columns={
        "id": "id",
        "created (UTC)": "created",
        "executed (UTC)": "last_executed",
        "items": "item_types",
        "name": "name",
    },
    title=lambda search: search.name,
    facts={
        "id": "id",
        "created": "created",
        "updated": "updated",
        "executed": "last_executed",
        "items": "item_types",
        "filter": lambda search: dumps(search.filter),
        "geometry": lambda search: type_of(search.geometry),
    },
)
ITEM_TYPES = View[ItemType]("item types", columns={"id": "id", "name": "display_name"})
ASSET_TYPES = View[AssetType]("asset types", columns={"id": "id", "name": "display_name"})

ItemTypes = Annotated[
    str,
    typer.Argument(
        metavar="ITEM_TYPES", autocompletion=complete_item_type, help="PSScene, or a list with commas."
    ),
]
AnItemType = Annotated[
    str, typer.Argument(metavar="ITEM_TYPE", autocompletion=complete_item_type, help="PSScene, ...")
]
ItemId = Annotated[str, id_argument("an item", metavar="ITEM_ID")]
SearchId = Annotated[str, id_argument("a search")]
Where = Annotated[
    list[str] | None,
    option(
        "CONDITION",
        "cloud_cover<0.1, acquired>=2026-01-01, published>7d, ... Repeatable, to hold all.",
        "--where",
    ),
]
ChangedSince = Annotated[
    list[str] | None, option("FIELD>=TIME", "Where the field has changed since then. Repeatable.", "--update")
]
AssetTypes = Annotated[
    list[str] | None, option("TYPES", "With one of these assets, a comma list. Repeatable.", "--asset")
]
Permission = Annotated[bool, typer.Option("--permission", help="That you may download.")]
StandardQuality = Annotated[bool, typer.Option("--std-quality", help="Of standard quality.")]
Relation = Annotated[
    str | None,
    choice(
        "WORD",
        "How items lie to the area: ",
        "intersects",
        "contains",
        "within",
        "disjoint",
        name="--geom-relation",
        default="intersects",
    ),
]
ChosenAssets = Annotated[list[str], option("TYPES", "ortho_visual, or a comma list. Repeatable.", "--asset")]
DailyEmail = Annotated[
    bool, typer.Option("--daily-email", help="Have Planet mail each day what it has newly found.")
]
_LIMIT = 1800.0  # seconds: an activation that fails is not reported
_ACTIVATED_AT_ONCE = 200  # items: activations take minutes, and the API works on many
_CONDITION = re.compile(r"\s*(\w+)\s*(<=|>=|<|>|=)\s*(.+?)\s*", re.DOTALL)
_ENDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


# --- Filters


def read_filter(
    conditions: Sequence[str] | None,
    changes: Sequence[str] | None,
    assets: Sequence[str] | None,
    permission: bool,
    std_quality: bool,
    *,
    source: str | None = None,
    more: Sequence[Filter] = (),
) -> dict[str, Any]:
    """Return the filter that combines all options, or end the command."""
    with reporting():
        parts: list[Any] = [
            *map(_condition, conditions or ()),
            *map(_change, changes or ()),
            *(where.asset(*words(types, "--asset")) for types in assets or ()),
            *([where.permission()] if permission else ()),
            *([where.quality_category.one_of("standard")] if std_quality else ()),
            *more,
        ]
        if (found := read_object(source)) is not None:
            parts.append(found)
        if len(parts) == 1 and isinstance(parts[0], dict):
            return parts[0]
        return AndFilter(parts).to_dict()


def _split(condition: str, option: str) -> tuple[str, str, str]:
    found = _CONDITION.fullmatch(condition)
    if found is None:
        raise typer.BadParameter(f"{option}: expected such as cloud_cover<0.1, not {condition!r}")
    name, operator, value = found.groups()
    return name, operator, value


def _condition(text: str) -> Filter:
    """Return the filter of a condition; of a field that is unknown here, the values say what it is."""
    name, operator, value = _split(text, "--where")
    field, values = getattr(where, name, None), words(value, "--where")
    numbers = [] if isinstance(field, TextProperty | DateProperty) else _numbers(values)
    if isinstance(field, DateProperty) and operator == "=":
        raise typer.BadParameter(f"--where: {name} is a time: compare with < or >=, not with =")
    if operator == "=":
        return where.number(name).one_of(*numbers) if numbers else where.text(name).one_of(*values)
    if numbers or isinstance(field, NumberProperty):
        if len(numbers) != 1:
            raise typer.BadParameter(f"--where: expected a number, not {value!r}")
        return RangeFilter(name, {_ENDS[operator]: numbers[0]})
    return DateRangeFilter(name, _date_range("--where", _ENDS[operator], value))


def _change(text: str) -> Filter:
    name, operator, value = _split(text, "--update")
    return UpdateFilter(name, _date_range("--update", _ENDS.get(operator, "gte"), value))


def _date_range(option: str, end: str, value: str) -> DateRange:
    try:
        return DateRange(**{end: moment(value) if value.endswith(("h", "d", "w")) else value})
    except InvalidRequest:
        raise typer.BadParameter(
            f"{option}: expected a time such as 2026-01-31, 2026-01-31T12:00:00Z or 7d, not {value!r}"
        ) from None


def _numbers(values: Sequence[str]) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError:
        return []


def filter_(
    *,
    conditions: Where = None,
    changes: ChangedSince = None,
    assets: AssetTypes = None,
    permission: Permission = False,
    std_quality: StandardQuality = False,
    geometry: Geometry = None,
    relation: Relation = None,
) -> None:
    """Print the filter that these options make, for `data search --filter` and others. Nothing is sent.

    Without options, it lets all items through.

    [dim]planet-async data filter --where 'cloud_cover<0.1' --where 'acquired>=2026-01-01' --permission[/]
    """
    place = read_geometry(geometry)
    with reporting():
        area = [] if place is None else [where.geometry(place, relation)]
    print_json(read_filter(conditions, changes, assets, permission, std_quality, more=area))


# --- Items


def search(
    context: typer.Context,
    item_types: ItemTypes,
    *,
    geometry: Geometry = None,
    conditions: Where = None,
    changes: ChangedSince = None,
    assets: AssetTypes = None,
    permission: Permission = False,
    std_quality: StandardQuality = False,
    source: JsonFilter = None,
    name: Annotated[str | None, option("NAME", "A name for the search.")] = None,
    sort: SortItems = None,
    limit: Limit = None,
    page_size: AnyPageSize = None,
    form: GeoFormats = TABLE,
) -> None:
    """Find items, those published last first.

    [dim]planet-async data search PSScene --geometry field.geojson --where 'cloud_cover<0.1' --limit 20[/]

    [dim]planet-async data search PSScene --geometry field.geojson --permission --json | planet-async orders
    request --bundle analytic_udm2 - | planet-async orders run - --to data[/]
    """
    types = words(item_types, "ITEM_TYPES")
    found = read_filter(conditions, changes, assets, permission, std_quality, source=source)
    place = read_geometry(geometry)
    show_list(
        context,
        lambda planet: planet.data.search(
            types, filter=found, geometry=place, sort=sort, name=name, page_size=page_size
        ),
        VIEW,
        limit=limit,
        form=form,
    )


def stats(
    context: typer.Context,
    item_types: ItemTypes,
    *,
    interval: Annotated[str, choice("WORD", "Count by ", "hour", "day", "week", "month", "year")] = "month",
    geometry: Geometry = None,
    conditions: Where = None,
    changes: ChangedSince = None,
    assets: AssetTypes = None,
    permission: Permission = False,
    std_quality: StandardQuality = False,
    source: JsonFilter = None,
    form: Format = TABLE,
) -> None:
    """Count the items that a search would find, by the time at which they were acquired.

    [dim]planet-async data stats PSScene --geometry field.geojson --interval year[/]
    """
    types = words(item_types, "ITEM_TYPES")
    found = read_filter(conditions, changes, assets, permission, std_quality, source=source)
    place = read_geometry(geometry)
    show_one(
        context,
        lambda planet: planet.data.stats(types, interval, filter=found, geometry=place),
        _print_stats,
        form=form,
    )


def _print_stats(stats: Stats) -> None:
    rows: list[tuple[object, int]] = [(bucket.start_time, bucket.count) for bucket in stats.buckets]
    print_table((f"{stats.interval} (UTC)", "items"), [*rows, ("total", stats.total)])


def get(context: typer.Context, item_type: AnItemType, item_id: ItemId, form: Format = TABLE) -> None:
    """Show an item.

    [dim]planet-async data get PSScene 20221221_084022_18_2414[/]
    """
    show_one(context, lambda planet: planet.data.get(item_type, item_id), VIEW, form=form)


def assets(context: typer.Context, item_type: AnItemType, item_id: ItemId, form: Formats = TABLE) -> None:
    """List the assets of an item that have been published.

    [dim]planet-async data assets PSScene 20221221_084022_18_2414 --format ids[/]
    """

    async def work(planet: Planet) -> bool:
        found = await planet.data.assets((item_type, item_id))
        ASSETS.print(found.values(), form)
        return True

    with_planet(context, work)


def activate(
    context: typer.Context,
    items: Items,
    *,
    asset_types: ChosenAssets,
    item_type: TypeOfItems = None,
    form: Formats = TABLE,
) -> None:
    """Have assets prepared for download, and do not wait for them; `download` does all of it.

    [dim]planet-async data activate 20221221_084022_18_2414 --item-type PSScene --asset ortho_visual[/]
    """
    _act_on_assets(
        context,
        items,
        item_type,
        asset_types,
        lambda planet, asset: planet.data.activate(asset),
        title="Activating",
        form=form,
    )


def wait(
    context: typer.Context,
    items: Items,
    *,
    asset_types: ChosenAssets,
    item_type: TypeOfItems = None,
    timeout: Timeout = _LIMIT,
    form: Formats = TABLE,
) -> None:
    """Activate assets and wait until they can be downloaded; exit code 1 if one takes too long.

    [dim]planet-async data wait 20221221_084022_18_2414 --item-type PSScene --asset ortho_visual[/]
    """

    async def activate_and_wait(planet: Planet, asset: Asset) -> Asset:
        return await planet.data.wait(await planet.data.activate(asset), timeout=timeout)

    _act_on_assets(context, items, item_type, asset_types, activate_and_wait, title="Waiting", form=form)


def _types(asset_types: Sequence[str]) -> list[str]:
    return [type_ for each in asset_types for type_ in words(each, "--asset")]


def _act_on_assets(
    context: typer.Context,
    items: Sequence[str],
    item_type: str | None,
    asset_types: Sequence[str],
    act: Callable[[Planet, Asset], Awaitable[Asset]],
    *,
    title: str,
    form: str,
) -> None:
    types = _types(asset_types)
    chosen = [(*item, asset_type) for item in _keys(items, item_type) for asset_type in types]

    async def act_on(planet: Planet, thing: tuple[str, str, str]) -> Asset:
        type_, id_, asset_type = thing
        found = await planet.data.assets((type_, id_))
        if asset_type not in found:
            raise AssetNotDownloadable(
                f"there is no such asset that is published; there are {', '.join(found) or 'none'}"
            )
        return await act(planet, found[asset_type])

    act_on_each(
        context, chosen, act_on, ASSETS, name=" ".join, at_once=_ACTIVATED_AT_ONCE, title=title, form=form
    )


def _keys(items: Sequence[str], item_type: str | None) -> list[tuple[str, str]]:
    """Return the type and the id of each item."""
    return [(type_, id_) for type_, ids in read_items(items, item_type).items() for id_ in ids]


def download(
    context: typer.Context,
    items: Items,
    *,
    asset_types: ChosenAssets,
    item_type: TypeOfItems = None,
    to: Destination = ".",
    overwrite: Overwrite = False,
    timeout: Timeout = _LIMIT,
    form: Formats = TABLE,
) -> None:
    """Activate assets of items, wait for them, download them and compare their MD5.

    Files that are already there are kept: run it again to fetch what is missing.

    [dim]planet-async data download 20221221_084022_18_2414 --item-type PSScene --asset ortho_visual
    --to data[/]

    [dim]planet-async data search PSScene --geometry field.geojson --limit 5 --json | planet-async data
    download - --asset ortho_visual --to data[/]
    """
    found = _keys(items, item_type)
    types = _types(asset_types)

    async def work(planet: Planet) -> bool:
        results = Results(("id", "type", "files"), form)

        async def fetch(item: tuple[str, str]) -> None:
            type_, id_ = item
            paths: Sequence[Path | str] = ()
            problem: str | None = None
            try:
                files = await planet.data.download(
                    item, types, to, overwrite=overwrite, progress=display.receive, timeout=timeout
                )
                paths = (*files, *files.urls)
            except PlanetError as error:
                problem = one_line(error)
            document = {"id": id_, "item_type": type_, "paths": [*map(str, paths)], "error": problem}
            results.add_row(document, (id_, type_, len(paths)), problem and about(id_, problem))
            downloading.advance(display.received)

        async with progress_display(context) as display:
            downloading = display.step("Downloading", len(found))
            await for_each(found, fetch, at_once=_ACTIVATED_AT_ONCE)
        return results.finish()

    with_planet(context, work)


def coverage(
    context: typer.Context,
    item_type: AnItemType,
    item_id: ItemId,
    *,
    geometry: Annotated[str, geometry_option],
    mode: Annotated[str | None, choice("MODE", "By ", "UDM2", "estimate")] = None,
    band: Annotated[str | None, option("BAND", "Of the UDM2: snow, cloud, ...")] = None,
    form: Format = TABLE,
) -> None:
    """Show how much of an area is clear in an item.

    [dim]planet-async data coverage PSScene 20221221_084022_18_2414 --geometry field.geojson[/]
    """
    place = read_geometry(geometry)
    show_one(
        context,
        lambda planet: planet.data.coverage((item_type, item_id), place, mode=mode, band=band),
        lambda found: print_panel(
            f"{item_type} {item_id}", {"clear": measure(found.clear_percent, " %"), "status": found.status}
        ),
        form=form,
    )


def item_types(context: typer.Context, limit: Limit = None, form: Formats = TABLE) -> None:
    """List the types of items.

    [dim]planet-async data item-types[/]
    """
    show_list(context, lambda planet: planet.data.item_types(), ITEM_TYPES, limit=limit, form=form)


def asset_types(
    context: typer.Context,
    item_type: Annotated[str | None, option("TYPE", "Of such items.", complete=complete_item_type)] = None,
    limit: Limit = None,
    form: Formats = TABLE,
) -> None:
    """List the types of assets: all, or those that items of one type can have.

    [dim]planet-async data asset-types --item-type PSScene[/]
    """
    show_list(context, lambda planet: planet.data.asset_types(item_type), ASSET_TYPES, limit=limit, form=form)


def collect(source: Annotated[str, typer.Argument(metavar="FILE", help=SOURCE)]) -> None:
    """Collect JSON objects to one document: GeoJSON features to a FeatureCollection, others to an array.

    [dim]planet-async data search PSScene --limit 100 --json | planet-async collect - > items.geojson[/]
    """
    found = read_documents(source)
    are_features = all(isinstance(each, dict) and each.get("type") == "Feature" for each in found)
    print_json({"type": "FeatureCollection", "features": found} if are_features else found)


# --- Searches


def create_search(
    context: typer.Context,
    item_types: ItemTypes,
    *,
    name: Annotated[str, option("NAME", "The name of the search.")],
    source: JsonFilter = None,
    geometry: Geometry = None,
    daily_email: DailyEmail = False,
    form: Format = TABLE,
) -> None:
    """Save a search.

    [dim]planet-async data filter --permission | planet-async data searches create PSScene --name fields
    --filter - --geometry field.geojson[/]
    """
    request = _search_request(item_types, name, source, geometry, daily_email)
    show_one(context, lambda planet: planet.data.searches.create(request), SEARCHES, form=form)


def update_search(
    context: typer.Context,
    search_id: SearchId,
    item_types: ItemTypes,
    *,
    name: Annotated[str, option("NAME", "The name of the search.")],
    source: JsonFilter = None,
    geometry: Geometry = None,
    daily_email: DailyEmail = False,
    form: Format = TABLE,
) -> None:
    """Replace a saved search; what the new one leaves out is removed.

    [dim]planet-async data searches update 0a1b2c3d4e5f60718293a4b5c6d7e8f9 PSScene --name fields[/]
    """
    request = _search_request(item_types, name, source, geometry, daily_email)
    show_one(context, lambda planet: planet.data.searches.update(search_id, request), SEARCHES, form=form)


def _search_request(
    item_types: str, name: str, source: str | None, geometry: str | None, daily_email: bool
) -> SearchRequest:
    with reporting():
        return SearchRequest(
            words(item_types, "ITEM_TYPES"),
            read_object(source),
            geometry=read_geometry(geometry),
            name=name,
            daily_email=daily_email or None,
        )


def get_search(context: typer.Context, search_id: SearchId, form: Format = TABLE) -> None:
    """Show a search.

    [dim]planet-async data searches get 0a1b2c3d4e5f60718293a4b5c6d7e8f9[/]
    """
    show_one(context, lambda planet: planet.data.searches.get(search_id), SEARCHES, form=form)


def list_searches(
    context: typer.Context,
    *,
    search_type: Annotated[str, choice("TYPE", "Show ", "saved", "quick", "any")] = "saved",
    sort: Annotated[str | None, sort_option("FIELD desc", "created")] = None,
    limit: Limit = None,
    form: Formats = TABLE,
) -> None:
    """List searches, those created last first.

    [dim]planet-async data searches list --format ids[/]
    """
    show_list(
        context,
        lambda planet: planet.data.searches.list(search_type=search_type, sort=sort),
        SEARCHES,
        limit=limit,
        form=form,
    )


def delete_search(context: typer.Context, search_id: SearchId) -> None:
    """Delete a saved search.

    [dim]planet-async data searches delete 0a1b2c3d4e5f60718293a4b5c6d7e8f9[/]
    """
    run_only(context, lambda planet: planet.data.searches.delete(search_id))


def run_search(
    context: typer.Context,
    search_id: SearchId,
    *,
    sort: SortItems = None,
    limit: Limit = None,
    page_size: AnyPageSize = None,
    form: GeoFormats = TABLE,
) -> None:
    """Find the items of a search.

    [dim]planet-async data searches run 0a1b2c3d4e5f60718293a4b5c6d7e8f9 --limit 20[/]
    """
    show_list(
        context,
        lambda planet: planet.data.searches.run(search_id, sort=sort, page_size=page_size),
        VIEW,
        limit=limit,
        form=form,
    )


COMMANDS = named(
    filter_, search, stats, get, assets, activate, wait, download, coverage, item_types, asset_types
)
SEARCH_COMMANDS: dict[str, Command] = {
    "create": create_search,
    "get": get_search,
    "list": list_searches,
    "update": update_search,
    "delete": delete_search,
    "run": run_search,
}
