"""Basemaps: each method against responses as Planet was seen to send them."""

import copy
import pickle
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from planet_async import (
    ApiKey,
    Config,
    ConnectionLost,
    DecodeError,
    DownloadError,
    InvalidRequest,
    NotFound,
    Planet,
    Progress,
    Quad,
    Request,
    Response,
)
from planet_async.simulator import Fault, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

KEY = "PLAKexample0123456789secret"
BASE = "https://api.planet.com/basemaps/v1"
ID = "48fff803-4104-49bc-b913-7467b7a5ffb5"
MOSAIC = {
    "id": ID,
    "name": "global_monthly_2026_01_mosaic",
    "interval": "1 mon",
    "first_acquired": "2026-01-01T00:00:00.000Z",
    "last_acquired": "2026-02-01T00:00:00.000Z",
    "bbox": [-180, -85.05, 180, 85.05],
    "quad_download": True,
    "grid": {"quad_size": 4096, "resolution": 4.77},
    "_links": {
        "_self": f"{BASE}/mosaics/{ID}?api_key={KEY}",
        "quads": f"{BASE}/mosaics/{ID}/quads?api_key={KEY}&bbox={{lx}},{{ly}},{{ux}},{{uy}}",
        "tiles": f"https://tiles.planet.com/basemaps/v1/x/{{z}}/{{x}}/{{y}}.png?proc=rgb&api_key={KEY}",
    },
}
AREA = {"type": "Polygon", "coordinates": [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]}
TIFF = b"II*\0 a quad"


def quad(id_: str = "455-1273") -> dict[str, Any]:
    own = f"{BASE}/mosaics/{ID}/quads/{id_}"
    names = {"_self": own, "download": f"{own}/full", "items": f"{own}/items"}
    links = {name: f"{link}?api_key={KEY}" for name, link in names.items()}
    return {"id": id_, "bbox": [7, 46, 8, 47], "percent_covered": 100, "_links": links}


def answering(*answers: Any) -> tuple[FakeTransport, Planet]:
    transport = FakeTransport(answers[0] if callable(answers[0]) else answers)
    return transport, Planet(
        Config(rates={}), credentials=ApiKey(KEY), transport=transport, clock=FakeClock()
    )


async def listed(*quads: dict[str, Any]) -> list[Quad]:
    _, planet = answering(reply(json={"items": quads}))
    return await planet.basemaps.quads(ID, geometry=AREA).collect()


async def test_the_key_is_in_nothing_that_was_read() -> None:
    """Not in `raw`, nor in links, pages, copies and pickles; all else of a link stays."""
    following = f"{BASE}/mosaics?api_key={KEY}&_page=abc"
    body = msgspec.json.encode({"mosaics": [MOSAIC], "_links": {"_next": following}})
    transport, planet = answering(
        reply(body=body.replace(b"&", rb"\u0026")), reply(json={"mosaics": [MOSAIC], "_links": {}})
    )
    pages = [page async for page in planet.basemaps.list(name__contains="monthly").pages()]
    assert pages[0].next == transport.requests[1].url == f"{BASE}/mosaics?_page=abc"
    mosaic = pages[0].items[0]
    assert mosaic.links == {
        "_self": f"{BASE}/mosaics/{ID}",
        "quads": f"{BASE}/mosaics/{ID}/quads?bbox={{lx}},{{ly}},{{ux}},{{uy}}",
        "tiles": "https://tiles.planet.com/basemaps/v1/x/{z}/{x}/{y}.png?proc=rgb",
    }
    for shown in (repr(mosaic.raw), repr(pages), str(mosaic.to_dict()), repr(copy.copy(mosaic).raw)):
        assert KEY not in shown
    assert KEY.encode() not in pickle.dumps(mosaic)
    assert all("api_key" not in request.url for request in transport.requests)


async def test_a_mosaic_is_found_by_name_or_id() -> None:
    """An id is asked for directly; a name that nothing has is NotFound."""
    transport, planet = answering(
        reply(json=MOSAIC), reply(json={"mosaics": [MOSAIC]}), reply(json={"series": []})
    )
    assert (await planet.basemaps.get(ID)).name == MOSAIC["name"]
    assert (await planet.basemaps.get("global_monthly_2026_01_mosaic")).id == ID
    with pytest.raises(NotFound, match="no series of the name 'weekly'"):
        await planet.basemaps.get_series("weekly")
    assert transport.requests[0].url == f"{BASE}/mosaics/{ID}"
    assert dict(transport.requests[1].params)["name__is"] == "global_monthly_2026_01_mosaic"


async def test_no_other_mosaic_is_taken_for_it() -> None:
    """A service that does not know the filter lists all; an empty name asks for nothing."""
    _, planet = answering(reply(json={"mosaics": [MOSAIC]}))
    with pytest.raises(NotFound, match="there is no mosaic of the name 'global_monthly'"):
        await planet.basemaps.get("global_monthly")
    with pytest.raises(InvalidRequest, match="must not be empty"):
        await planet.basemaps.get("")


async def test_the_mosaics_of_a_series() -> None:
    """All of them, or the newest."""
    transport, planet = answering(reply(json={"series": [{"id": ID}]}), reply(json={"mosaics": [MOSAIC]}))
    series = await planet.basemaps.series(interval="1 mon").first()
    assert series is not None
    found = await planet.basemaps.series_mosaics(
        series, latest=True, acquired__gt="2026-01-01T00:00:00Z"
    ).collect()
    assert [mosaic.id for mosaic in found] == [ID]
    assert transport.requests[1].url == f"{BASE}/series/{ID}/mosaics"
    params = dict(transport.requests[1].params)
    assert (params["latest"], params["acquired__gt"]) == ("yes", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("bbox", "sent"),
    [
        ((7, 46.5, 7.25, 46.6), "7,46.5,7.25,46.6"),
        ([-180, -85.05, 180, 85.05], "-180,-85,180,85"),
        ((-100, 40, -100, 40), "-100,40,-100,40"),
        (np.array([7, 46.5, 7.25, 46.6]), "7,46.5,7.25,46.6"),
    ],
)
async def test_a_box_is_cut_to_where_quads_are(bbox: Any, sent: str) -> None:
    """Beyond 180 and 85 degrees the service finds none."""
    transport, planet = answering(reply(json={"items": [quad()]}))
    (found,) = await planet.basemaps.quads(ID, bbox=bbox).collect()
    assert dict(transport.requests[0].params)["bbox"] == sent
    assert (found.id, found.mosaic_id, found.percent_covered) == ("455-1273", ID, 100)


@pytest.mark.parametrize(
    "area",
    [
        {},
        {"bbox": (7, 46, 8, 47), "geometry": AREA},
        {"bbox": (7, 46, 8)},
        {"bbox": (8, 46, 7, 47)},
        {"bbox": (7, 46, 8, float("nan"))},
        {"bbox": "7,46,8,47"},
        {"geometry": {"type": "Point", "coordinates": [7, 46]}},
    ],
)
async def test_what_is_no_area_is_refused(area: Any) -> None:
    """Neither or both, three numbers, a box that is turned around, a point: nothing is sent."""
    _, planet = answering(reply())
    with pytest.raises(InvalidRequest):
        planet.basemaps.quads(ID, **area)
    with pytest.raises(InvalidRequest, match="mosaic id") as caught:
        planet.basemaps.quads("global_monthly_2026_01_mosaic", bbox=(7, 46, 8, 47))
    assert "basemaps.get(name)" in str(caught.value)


async def test_an_area_is_searched_by_post_and_its_pages_by_get() -> None:
    """The body is the bare geometry; a search whose response was lost is harmless to repeat."""
    transport, planet = answering(
        ConnectionLost("lost"),
        reply(json={"items": [quad()], "_links": {"_next": f"{BASE}/search?_page=2&api_key={KEY}"}}),
        reply(json={"items": [quad("455-1274")], "_links": {}}),
    )
    found = await planet.basemaps.quads(ID, geometry=AREA, minimal=True).collect()
    assert [each.id for each in found] == ["455-1273", "455-1274"]
    assert [request.method for request in transport.requests] == ["POST", "POST", "GET"]
    assert msgspec.json.decode(transport.requests[1].body or b"") == AREA
    assert transport.requests[2].url == f"{BASE}/search?_page=2"


async def test_quads_are_counted_without_listing_them() -> None:
    """One of them comes with the count."""
    transport, planet = answering(
        reply(json={"items": [quad()], "summary": {"total_quads": 321}}), reply(json={})
    )
    assert await planet.basemaps.count_quads(ID, bbox=(7, 46, 8, 47)) == 321
    assert dict(transport.requests[0].params)["summary"] == "true"
    with pytest.raises(DecodeError, match="total_quads"):
        await planet.basemaps.count_quads(ID, geometry=AREA)


async def test_contributions_say_which_items_they_are() -> None:
    """By their own fields, or by their link; a link that leads elsewhere is no item."""
    items = [
        {"link": "https://api.planet.com/data/v1/item-types/PSScene/items/20260101_1"},
        {"link": "s3://elsewhere/scene.tif"},
        {"link": "x", "item_id": "20260101_2", "item_type": "PSScene"},
    ]
    transport, planet = answering(reply(json=quad()), reply(json={"items": items}))
    found = await planet.basemaps.contributions(await planet.basemaps.get_quad(ID, "455-1273")).collect()
    assert [(each.item_type, each.item_id) for each in found] == [
        ("PSScene", "20260101_1"),
        (None, None),
        ("PSScene", "20260101_2"),
    ]
    assert transport.requests[1].url == f"{BASE}/mosaics/{ID}/quads/455-1273/items"


def files(request: Request) -> Response:
    """Redirect to a cloud, which has the file."""
    if request.url.startswith(BASE):
        return reply(
            302, headers={"location": f"https://cloud.example.com/{request.url.split('/')[-2]}?sig=1"}
        )
    return reply(body=TIFF, headers={"content-length": str(len(TIFF))})


async def test_quads_are_downloaded_once(tmp_path: Path) -> None:
    """Signed by the header and not by the link; what is there is not asked for, since asking counts."""
    transport, planet = answering(files)
    reports: list[Progress] = []
    quads = await listed(quad(), quad("455-1274"))
    quads.append(quads[0])
    paths = await planet.basemaps.download(quads, tmp_path, progress=reports.append)
    first, second = (tmp_path / ID / f"455-{number}.tif" for number in (1273, 1274))
    assert paths == [first, second, first]
    assert {path.read_bytes() for path in paths} == {TIFF}
    assert reports
    asked = [request for request in transport.requests if request.url.startswith(BASE)]
    assert len(asked) == 2
    for request in transport.requests:
        assert KEY not in request.url
        assert ("authorization" in request.headers) == (request in asked)
    assert await planet.basemaps.download(quads, tmp_path) == paths
    assert len(transport.requests) == 4
    assert await planet.basemaps.download(quads[0], tmp_path, overwrite=True) == [first]
    assert len(transport.requests) == 6


async def test_a_quad_that_broke_off_is_not_there(tmp_path: Path) -> None:
    """It has its name only when it is complete; the others are downloaded all the same."""
    cut = reply(chunks=[TIFF[:4]], headers={"content-length": str(len(TIFF))})

    def answer(request: Request) -> Response:
        return reply(404) if "1273" in request.url else files(request)

    _, planet = answering(answer)
    quads = await listed(quad(), quad("455-1274"))
    with pytest.raises(NotFound):
        await planet.basemaps.download(quads, tmp_path)
    assert [path.name for path in (tmp_path / ID).glob("*.tif")] == ["455-1274.tif"]
    transport, planet = answering(cut, reply(body=TIFF))
    (path,) = await planet.basemaps.download(quads[:1], tmp_path)
    assert path.read_bytes() == TIFF
    assert len(transport.requests) == 2


async def test_a_quad_without_a_link_says_why(tmp_path: Path) -> None:
    """Not all mosaics may be downloaded."""
    _, planet = answering(reply())
    found = quad()
    del found["_links"]["download"]
    with pytest.raises(DownloadError, match="quad_download"):
        await planet.basemaps.download(await listed(found), tmp_path)
    with pytest.raises(InvalidRequest, match="expected quads"):
        await planet.basemaps.download(["455-1273"], tmp_path)  # type: ignore[list-item]


# --- on a simulated Planet


async def test_from_a_series_to_files(planet: Planet, simulator: Simulator, tmp_path: Path) -> None:
    """The newest mosaic of a series, the quads of an area, and their files, each requested once."""
    series = await planet.basemaps.get_series("Swartland Weekly")
    mosaic = await planet.basemaps.series_mosaics(series, latest=True).first()
    assert mosaic is not None
    assert await planet.basemaps.get(mosaic.name) == mosaic
    box = (18.2, -34.0, 18.3, -33.9)
    quads = planet.basemaps.quads(mosaic, bbox=box, minimal=True, page_size=2)
    count = await planet.basemaps.count_quads(mosaic, bbox=box)
    simulator.faults.add(Fault(operation="storage.get", cut=10, times=1))
    paths = await planet.basemaps.download(quads, tmp_path)
    assert len(paths) == count > 1
    assert all(path.stat().st_size > 0 for path in paths)
    asked = simulator.requests["basemaps.download"]
    assert asked == count + 1
    assert await planet.basemaps.download(quads, tmp_path) == paths
    assert simulator.requests["basemaps.download"] == asked
    assert not [*tmp_path.rglob("*.part")]
