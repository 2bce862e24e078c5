"""`planet-async features`, `destinations`, `basemaps` and `quota`, against the simulator over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.commanded import Run
from planet_async.simulator import Simulator

FIELD = {"type": "Polygon", "coordinates": [[[18, -33], [18.1, -33], [18.1, -32.9], [18, -32.9], [18, -33]]]}
KEYS = {"bucket": "fields", "credentials": "c2VjcmV0"}
BOX = ("--bbox", "7,46.5,7.1,46.6")

pytestmark = pytest.mark.usefixtures("base_url")


@pytest.fixture
def collection(run: Run) -> str:
    """Return the id of a collection."""
    return str(run("features", "collections", "create", "--title", "fields", "-d", "of a farm").json["id"])


def add(run: Run, collection: str, *features: Any) -> list[str]:
    stdin = "\n".join(map(json.dumps, features))
    found: list[str] = run("features", "items", "add", collection, "-", stdin=stdin).json
    return found


def test_collections(run: Run, on_terminal: Run, collection: str) -> None:
    """Collections are created, shown, listed and deleted."""
    assert run("features", "collections", "get", collection).json["description"] == "of a farm"
    assert collection in on_terminal("features", "collections", "list").out
    assert "of a farm" in on_terminal("features", "collections", "get", collection).out
    assert run("features", "collections", "list", "--title", "other").out == ""
    assert run("features", "collections", "delete", collection).code == 0
    assert run("features", "collections", "get", collection).code == 1


def test_items(run: Run, on_terminal: Run, collection: str) -> None:
    """Geometries, features and collections of them are added in order; one is shown by its reference."""
    feature = {"type": "Feature", "id": "7", "properties": {"crop": "rye"}, "geometry": FIELD}
    refs = add(run, collection, FIELD, feature, {"type": "FeatureCollection", "features": [feature]})
    assert len(refs) == 3
    assert all(ref.startswith(f"pl:features/my/{collection}/") for ref in refs)
    found = run("features", "items", "get", refs[1]).json
    assert found["properties"]["crop"] == "rye"
    assert run("features", "items", "get", collection, refs[1].rpartition("/")[2]).json == found
    assert len(run("features", "items", "list", collection).json_lines) == 3
    assert "crop" in on_terminal("features", "items", "get", refs[1]).out
    assert refs[0] in on_terminal("features", "items", "list", collection).out
    assert run("features", "items", "delete", refs[0]).code == 0
    assert len(run("features", "items", "list", collection).json_lines) == 2
    wrong = run("features", "items", "get", collection)
    assert (wrong.code, "reference" in wrong.err) == (2, True)


def test_validate(run: Run, on_terminal: Run) -> None:
    """Exit code 0 says that a feature can be added."""
    feature = json.dumps({"type": "Feature", "properties": {}, "geometry": FIELD})
    assert run("features", "items", "validate", feature).code == 0
    assert "can be added" in on_terminal("features", "items", "validate", feature).out


def test_a_feature_is_an_area(run: Run, collection: str) -> None:
    """The reference of a feature goes where a geometry goes."""
    [ref] = add(run, collection, FIELD)
    item = ("--item-type", "PSScene", "--bundle", "visual", "20221221_084022_18_2414")
    request = run("orders", "request", *item, "--clip", ref)
    assert run("orders", "create", "-", stdin=request.out).code == 0


def test_destinations(run: Run, on_terminal: Run) -> None:
    """Destinations are created from JSON, and changed; no secret is shown, no stand-in for one is sent."""
    request = {"type": "google_cloud_storage", "name": "mine", "parameters": KEYS}
    made = run("destinations", "create", "-", stdin=json.dumps(request))
    assert (made.code, made.json["name"]) == (0, "mine")
    id_ = made.json["id"]
    assert run("destinations", "get", "-", stdin=id_).json["parameters"]["bucket"] == "fields"
    assert id_ in on_terminal("destinations", "list").out
    seen = on_terminal("destinations", "get", id_)
    assert "bucket=fields" in seen.out
    assert "c2VjcmV0" not in seen.out + made.out
    assert run("destinations", "update", id_, "--name", "other").json["name"] == "other"
    hidden = run("destinations", "update", id_, "--parameters", '{"credentials": "<REDACTED>"}')
    assert (hidden.code, "<REDACTED>" in hidden.err) == (2, True)
    assert run("destinations", "update", id_, "--parameters", '{"credentials": "bmV3"}').code == 0
    assert run("destinations", "archive", id_).json["archived"]
    assert run("destinations", "list", "--archived").json["id"] == id_
    assert run("destinations", "unarchive", id_).json["archived"] is None
    assert run("destinations", "set-default", id_).code == 0
    assert run("destinations", "get-default").json["id"] == id_
    assert run("destinations", "unset-default").code == 0
    assert run("destinations", "get-default").code == 1
    bad = run("destinations", "create", '{"type": "google_cloud_storage", "parameters": {"bucket": "b"}}')
    assert (bad.code, "credentials" in bad.err) == (2, True)


def test_basemaps(run: Run, on_terminal: Run, tmp_path: Path) -> None:
    """Mosaics are found by name, their quads by area; quads that are there are not downloaded again."""
    name = run("basemaps", "list", "--name-contains", "monthly", "--limit", 1).json["name"]
    assert run("basemaps", "list", "--name", name).json["name"] == name
    assert run("basemaps", "get", "-", stdin=name).json["interval"] == "1 mon"
    assert "EPSG:3857" in on_terminal("basemaps", "get", name).out
    found = run("basemaps", "quads", name, *BOX).json_lines
    assert run("basemaps", "quads", name, *BOX, "--count").json == {"total_quads": len(found)}
    assert all(each["id"] in on_terminal("basemaps", "quads", name, *BOX).out for each in found)
    assert run("basemaps", "contributions", name, found[0]["id"]).code == 0
    ran = run("basemaps", "download", name, *BOX, "--to", tmp_path)
    assert (ran.code, ran.json["id"], len(ran.json["paths"])) == (0, name, len(found))
    assert all(Path(path).is_file() for path in ran.json["paths"])
    assert run("basemaps", "download", name, *BOX, "--to", tmp_path).json == ran.json
    assert "secret-key" not in json.dumps(found)
    for area in ((), (*BOX, "--geometry", "x"), ("--bbox", "7,x")):
        assert run("basemaps", "quads", name, *area).code == 2


def test_series(run: Run, on_terminal: Run) -> None:
    """Series are found by name, and list their mosaics."""
    name = run("basemaps", "series", "list", "--name-contains", "monthly").json_lines[0]["name"]
    assert run("basemaps", "series", "get", name).json["name"] == name
    assert len(run("basemaps", "series", "mosaics", name, "--latest").json_lines) == 1
    assert name in on_terminal("basemaps", "series", "list").out


def test_quota(
    run: Run, on_terminal: Run, collection: str, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    """What a reservation costs is shown with its unit; it is made once a person, or --yes, has agreed."""
    refs = add(run, collection, FIELD)
    product = run("quota", "products", "--supports-reservation", "--limit", 1).json["id"]
    assert str(product) in on_terminal("quota", "products").out
    of = ("--product-id", product, "--aoi-ref", refs[0])
    cost = run("quota", "estimate", *of).json["total_cost"]
    piped = run("quota", "estimate", *of[:2], "--aoi-ref", "-", stdin=json.dumps(refs))
    assert piped.json["total_cost"] == cost
    assert f"{cost:,.6g} sqkm" in on_terminal("quota", "estimate", *of).out
    refused = run("quota", "reserve", *of)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    piped = run("quota", "reserve", *of[:2], "--aoi-ref", "-", stdin=json.dumps(refs))
    assert (piped.code, "--yes" in piped.err) == (2, True)
    monkeypatch.setattr("planet_async.cli.runner.can_ask", lambda: True)
    assert on_terminal("quota", "reserve", *of, stdin="n\n").code == 1
    assert simulator.requests["quota.reserve"] == 0
    assert refs[0] in on_terminal("quota", "reserve", *of, stdin="y\n").out
    [reservation] = run("quota", "list", "--filter", "state=reserved").json_lines
    assert run("quota", "get", reservation["id"]).json == reservation
    assert run("quota", "get", "-", stdin=json.dumps(reservation)).json == reservation
    assert (run("quota", "get", "x").code, run("quota", "get", "x").err.count("a number was expected")) == (
        2,
        1,
    )
    assert str(reservation["id"]) in on_terminal("quota", "get", reservation["id"]).out
    job = run(
        "quota", "reserve-bulk", *of[:2], "--collection-id", f"pl:features/my/{collection}", "--yes"
    ).json
    assert [each["id"] for each in run("quota", "jobs").json_lines] == [job["id"]]
    assert "processed" in on_terminal("quota", "get-job", job["id"]).out
