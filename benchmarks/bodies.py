"""Made-up orders in the shape of the documented ones, about 2.8 kB each, and pages of 500."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

PAGE = 500
_STATES = ("queued", "running", "success", "success", "success", "partial", "failed", "cancelled")


def order_id(number: int) -> str:
    """Return the id of an order by its number."""
    return f"{number:08x}-9c41-4a7e-8f0d-6f5f2f6f1a01"


def order(number: int, **fields: Any) -> dict[str, Any]:
    """Return an order."""
    chance = random.Random(number)
    west, south = round(chance.uniform(-180, 179), 5), round(chance.uniform(-80, 79), 5)
    ring = [[round(west + step / 97, 5), round(south + step / 89, 5)] for step in range(5)]
    own = order_id(number)
    items = [f"202604{day:02}_101502_33_{chance.randrange(1 << 16):04x}" for day in range(1, 6)]
    files = [
        {
            "name": f"{own}/PSScene/{item}_3B_AnalyticMS_clip.tif",
            "delivery": "success",
            "location": f"https://api.planet.com/compute/ops/download/?token={chance.getrandbits(320):x}",
            "expires_at": "2026-04-21T08:30:00.250Z",
        }
        for item in items
    ]
    return {
        "_links": {"_self": f"https://api.planet.com/compute/ops/orders/v2/{own}", "results": files},
        "created_on": f"2026-04-20T08:{number % 60:02}:02.523Z",
        "delivery": {"archive_filename": "{{name}}.zip", "archive_type": "zip", "single_archive": True},
        "error_hints": [],
        "hosting": {"sentinel_hub": {"collection_id": f"{chance.getrandbits(64):016x}"}},
        "id": own,
        "last_message": "Manifest delivery completed",
        "last_modified": f"2026-04-20T10:{number % 60:02}:59.104Z",
        "metadata": {"stac": {}},
        "name": f"field {number}, vineyard",
        "notifications": {
            "email": True,
            "webhook": {"per_order": True, "url": "https://hooks.example/planet"},
        },
        "order_type": "partial",
        "products": [{"item_ids": items, "item_type": "PSScene", "product_bundle": "analytic_udm2"}],
        "source_type": "scenes",
        "state": _STATES[number % len(_STATES)],
        "subscription_id": 4711,
        "tools": [
            {"clip": {"aoi": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}},
            {"harmonize": {"target_sensor": "Sentinel-2"}},
            {"reproject": {"projection": "EPSG:32632", "resolution": 3.0, "kernel": "cubic"}},
            {"toar": {"scale_factor": 10000}},
        ],
        "a_field_of_2031": {"tags": ["vineyard", "summer"], "weights": [0.25, 0.5]},
        **fields,
    }


def tasking_order(number: int) -> dict[str, Any]:
    """Return a tasking order."""
    point = {"type": "Point", "coordinates": [round(number / 997, 5), 28.4924]}
    return {
        "id": order_id(number),
        "name": f"harbour {number}",
        "status": "PENDING",
        "geometry": point,
        "original_geometry": point,
        "created_time": "2026-04-20T08:01:02.523330Z",
        "updated_time": "2026-04-20T09:01:02.523330Z",
        "start_time": "2026-04-20T08:01:02.523330Z",
        "end_time": "2026-05-20T08:01:02.523330Z",
        "order_type": "IMAGE",
        "scheduling_type": "FLEXIBLE",
        "sat_elevation_angle_min": 60.0,
        "sat_elevation_angle_max": 90.0,
        "requested_sqkm": 25.0,
        "fulfilled_sqkm": 0.0,
        "created_by": "made-up@planet.example",
    }


def item(number: int) -> dict[str, Any]:
    """Return an item of the catalog, about 2.1 kB."""
    own = f"20260420_{number:06}_33_24dc"
    url = f"https://api.planet.com/data/v1/item-types/PSScene/items/{own}"
    west, south = round(number / 997, 7), round(number / 991, 7)
    ring = [
        [west, south],
        [west + 0.31, south],
        [west + 0.31, south + 0.17],
        [west, south + 0.17],
        [west, south],
    ]
    stems = ("basic_analytic_4b", "basic_analytic_8b", "ortho_analytic_4b", "ortho_analytic_8b")
    assets = [f"{stem}{end}" for stem in stems for end in ("", "_sr", "_xml")]
    assets += ["basic_udm2", "ortho_udm2", "ortho_visual"]
    percents = ("clear", "cloud", "heavy_haze", "light_haze", "shadow", "snow_ice", "visible")
    return {
        "_links": {
            "_self": url,
            "assets": f"{url}/assets/",
            "thumbnail": url.replace("//api.", "//tiles.") + "/thumb",
        },
        "_permissions": [f"assets.{name}:download" for name in assets],
        "assets": assets,
        "geometry": {"coordinates": [ring], "type": "Polygon"},
        "id": own,
        "properties": {
            "acquired": "2026-04-20T08:01:02.523330Z",
            "anomalous_pixels": 0,
            "clear_confidence_percent": 95,
            **{f"{name}_percent": number % 101 for name in percents},
            "cloud_cover": number % 101 / 100,
            "ground_control": True,
            "gsd": 3.7,
            "instrument": "PSB.SD",
            "item_type": "PSScene",
            "pixel_resolution": 3,
            "provider": "planetscope",
            "published": "2026-04-20T14:01:02Z",
            "publishing_stage": "standard",
            "quality_category": "standard",
            "satellite_azimuth": 97.1,
            "satellite_id": "24dc",
            "strip_id": "7654321",
            "sun_azimuth": 143.2,
            "sun_elevation": 44.8,
            "updated": "2026-04-20T14:01:02Z",
            "view_angle": 2.9,
            "visible_confidence_percent": 81,
        },
        "type": "Feature",
    }


def items_json(first: int, count: int) -> bytes:
    """Return the items of a page of a search, as JSON."""
    return msgspec.json.encode([item(number) for number in range(first, first + count)])


def orders_json(first: int, count: int = PAGE, **fields: Any) -> bytes:
    """Return the items of a page of orders, as JSON."""
    return msgspec.json.encode([order(number, **fields) for number in range(first, first + count)])


def page_json(items: bytes, next_page: str | None) -> Sequence[bytes]:
    """Return a page of orders in parts, the large one as it is."""
    links: Mapping[str, str] = {} if next_page is None else {"next": next_page}
    return b'{"_links":' + msgspec.json.encode(links) + b',"orders":', items, b"}"
