"""The commands `planet-async features collections` and `planet-async features items`."""

from typing import Annotated, Any

import typer

from planet_async import Feature, FeatureCollection, FeatureValidation, Planet
from planet_async.cli.input import id_argument, read_request, read_requests
from planet_async.cli.options import REQUESTS, Limit, option, sort_option
from planet_async.cli.output import (
    TABLE,
    Format,
    Formats,
    GeoFormats,
    View,
    measure,
    print_document,
    print_error,
    stdout,
    type_of,
)
from planet_async.cli.runner import Command, run_only, show_list, show_one, with_planet

_M2 = 1e6  # of a square kilometre


def _area(found: Feature | FeatureCollection) -> str | None:
    return None if found.area is None else measure(found.area / _M2, " km²")


COLLECTIONS = View[FeatureCollection](
    "collections",
    columns={
        "id": "id",
        "created (UTC)": "created",
        "features": "feature_count",
        "title": "title",
    },
    title=lambda collection: collection.title,
    facts={
        "id": "id",
        "reference": "ref",
        "description": "description",
        "created": "created",
        "updated": "updated",
        "features": "feature_count",
        "area": _area,
    },
)
ITEMS = View[Feature](
    "features",
    columns={
        "id": "id",
        "geometry": lambda feature: type_of(feature.geometry),
        "area": _area,
        "reference": "ref",
    },
    title=lambda feature: feature.id,
    facts={
        "reference": "ref",
        "geometry": lambda feature: type_of(feature.geometry),
        "area": _area,
        "properties": lambda feature: [name for name in feature.properties if not name.startswith("pl:")],
    },
    geometry=lambda feature: feature.raw.get("geometry"),
)

Collection = Annotated[
    str, id_argument("a collection, or its reference pl:features/...", metavar="COLLECTION")
]
FeatureId = Annotated[
    str | None,
    typer.Argument(metavar="FEATURE", help="The id of a feature, if the reference before is none of one."),
]
FeatureFiles = Annotated[
    list[str], typer.Argument(metavar="GEOJSON", help=REQUESTS.replace("JSON", "GeoJSON", 1))
]


def create(
    context: typer.Context,
    *,
    title: Annotated[str, option("TEXT", "The title.", "--title", "-t")],
    description: Annotated[
        str | None, option("TEXT", "What is in it.", "--description", "--desc", "-d")
    ] = None,
    form: Format = TABLE,
) -> None:
    """Create a collection.

    [dim]planet-async features collections create --title fields --json | jq -r .id[/]
    """
    show_one(
        context,
        lambda planet: planet.features.create(title, description=description),
        COLLECTIONS,
        form=form,
    )


def get(context: typer.Context, collection: Collection, form: Format = TABLE) -> None:
    """Show a collection.

    [dim]planet-async features collections get fields-4xkQ1[/]
    """
    show_one(context, lambda planet: planet.features.get(collection), COLLECTIONS, form=form)


def list_(
    context: typer.Context,
    *,
    title: Annotated[str | None, option("TEXT", "With this title; ~TEXT is contained in it.")] = None,
    description: Annotated[str | None, option("TEXT", "With this description; ~TEXT as for --title.")] = None,
    hashid: Annotated[str | None, option("HASH", "With this hash in the id.")] = None,
    sort: Annotated[str | None, sort_option("-FIELD", "created_date", "title")] = None,
    limit: Limit = None,
    form: Formats = TABLE,
) -> None:
    """List the collections.

    [dim]planet-async features collections list --title '~field'[/]
    """
    show_list(
        context,
        lambda planet: planet.features.list(title=title, description=description, hashid=hashid, sort=sort),
        COLLECTIONS,
        limit=limit,
        form=form,
    )


def delete(context: typer.Context, collection: Collection) -> None:
    """Delete a collection with its features.

    [dim]planet-async features collections delete fields-4xkQ1[/]
    """
    run_only(context, lambda planet: planet.features.delete(collection))


# --- Items


def add(
    context: typer.Context,
    collection: Collection,
    files: FeatureFiles,
    *,
    form: Format = TABLE,
) -> None:
    """Add features to a collection, and print their references.

    [dim]planet-async features items add fields-4xkQ1 fields.geojson[/]
    """
    features = _features(files)

    async def work(planet: Planet) -> bool:
        found = await planet.features.add(collection, {"type": "FeatureCollection", "features": features})
        if form != TABLE:
            print_document(found, form)
        else:
            stdout().print(*found, sep="\n", highlight=False, markup=False, soft_wrap=True)
        return True

    with_planet(context, work)


def _features(files: list[str]) -> list[Any]:
    """Return the features in files, which may hold collections of them or bare geometries."""
    features: list[Any] = []
    for request in read_requests(files, None):
        body = request.body
        if body.get("type") == "FeatureCollection" and isinstance(body.get("features"), list):
            features += body["features"]
        elif body.get("type") == "Feature":
            features.append(body)
        else:
            features.append({"type": "Feature", "properties": {}, "geometry": body})
    return features


def get_item(
    context: typer.Context, collection: Collection, feature: FeatureId = None, form: Format = TABLE
) -> None:
    """Show a feature of a collection.

    [dim]planet-async features items get fields-4xkQ1 7[/]

    [dim]planet-async features items get pl:features/my/fields-4xkQ1/7[/]
    """
    parent, id_ = _reference(collection, feature)
    show_one(context, lambda planet: planet.features.get_item(parent, id_), ITEMS, form=form)


def list_items(
    context: typer.Context,
    collection: Collection,
    limit: Limit = None,
    form: GeoFormats = TABLE,
) -> None:
    """List the features of a collection.

    [dim]planet-async features items list fields-4xkQ1 --format geojson > fields.geojson[/]
    """
    show_list(
        context,
        lambda planet: planet.features.items(collection),
        ITEMS,
        limit=limit,
        form=form,
    )


def delete_item(context: typer.Context, collection: Collection, feature: FeatureId = None) -> None:
    """Delete a feature of a collection.

    [dim]planet-async features items delete fields-4xkQ1 7[/]
    """
    parent, id_ = _reference(collection, feature)
    run_only(context, lambda planet: planet.features.delete_item(parent, id_))


def _reference(collection: str, feature: str | None) -> tuple[str, str]:
    """Return the ids of a collection and a feature, which a reference holds both."""
    if feature is None:
        parent, _, feature = collection.rpartition("/")
        if not collection.startswith("pl:features/my/") or parent == "pl:features/my":
            raise typer.BadParameter("pass the ids of a collection and a feature, or the reference of one")
        collection = parent
    return collection, feature


def validate(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="GEOJSON", help="A feature: a file, GeoJSON, or -.")],
    form: Format = TABLE,
) -> None:
    """Ask whether a feature can be added to a collection; exit code 1 if not.

    [dim]planet-async features items validate field.geojson[/]
    """
    feature = read_request(file, None).body

    async def work(planet: Planet) -> bool:
        found: FeatureValidation = await planet.features.validate(feature)
        if form != TABLE:
            print_document(found.raw, form)
        elif found.is_valid:
            stdout().print("the feature can be added")
        for problem in found.errors:
            print_error(f"{problem.code}: {problem.description}")
        return found.is_valid

    with_planet(context, work)


COLLECTION_COMMANDS: dict[str, Command] = {
    "create": create,
    "get": get,
    "list": list_,
    "delete": delete,
}
ITEM_COMMANDS: dict[str, Command] = {
    "add": add,
    "get": get_item,
    "list": list_items,
    "delete": delete_item,
    "validate": validate,
}
