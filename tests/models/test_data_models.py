"""Items, assets and searches: what is read of a response."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from planet_async import Asset, DecodeError, Item, ItemProperties, Stats, StatsBucket
from planet_async.models.codec import decode


def read(cls: Any, **body: Any) -> Any:
    return decode(cls, json.dumps(body).encode())


def test_an_odd_property_costs_only_itself() -> None:
    """Whatever an item has in a place of the documented properties, the others are there."""
    properties = {
        "item_type": "PSScene",
        "gsd": "coarse",
        "acquired": "2025-10-28T19:25:15",
        "cloud_cover": 0,
    }
    item = read(Item, id="a", properties=properties)
    assert (item.item_type, item.cloud_cover, item.properties.gsd) == ("PSScene", 0, None)
    assert item.acquired == datetime(2025, 10, 28, 19, 25, 15, tzinfo=UTC)
    assert item.raw["properties"]["gsd"] == "coarse"


@pytest.mark.parametrize("properties", [None, 7, [], "none"])
def test_an_item_may_be_without_properties(properties: object) -> None:
    """Its id is enough."""
    item = read(Item, id="a", properties=properties, assets=None, _permissions=[7])
    assert (item.properties, item.item_type, item.geometry) == (ItemProperties(), "", None)
    assert (item.assets, item.permissions, item.links) == ((), (), {})
    with pytest.raises(DecodeError, match="id"):
        read(Item, properties={})


@pytest.mark.parametrize("text", ["2018-04-22T23:39:24.297779", "2018-04-22T23:39:24.297779Z"])
def test_an_asset_expires_in_utc(text: str) -> None:
    """The API writes no zone."""
    asset = read(Asset, type="a", status="of_tomorrow", expires_at=text)
    assert asset.expires_at == datetime(2018, 4, 22, 23, 39, 24, 297779, tzinfo=UTC)
    assert (str(asset.status), asset.permissions) == ("of_tomorrow", None)


def test_statistics_have_a_total() -> None:
    """The API gives none."""
    buckets = [{"count": count, "start_time": "2014-01-01T00:00:00.000000Z"} for count in (5261, 4)]
    stats = read(Stats, buckets=buckets, interval="year", utc_offset="+0h")
    assert stats.buckets[0] == StatsBucket(datetime(2014, 1, 1, tzinfo=UTC), 5261)
    assert stats.total == 5265
