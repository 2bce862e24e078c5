"""What the simulator's tests share: requests composed here, and a caller that is not our own client."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from attrs import frozen

from planet_async.http import Request
from planet_async.simulator import Simulator

ORDERS = "/compute/ops/orders/v2"
CREDENTIAL = {"authorization": "api-key any"}


@frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Caller:
    """Sends to a simulator in process, with a credential for the API and none for the storage."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def __call__(
        self,
        method: str,
        target: str,
        *params: tuple[str, str],
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        if json is not None:
            body = msgspec.json.encode(json)
        if headers is None:
            headers = {} if target.startswith(self.simulator.storage_url) else CREDENTIAL
        url = target if "://" in target else self.simulator.base_url + target
        response = await self.simulator.send(Request(method, url, params=params, headers=headers, body=body))
        return Reply(response.status, response.headers, await response.read())

    async def create(self, order: object = None) -> Any:
        reply = await self("POST", ORDERS, json=order or scenes())
        assert reply.status == 202, reply.body
        return reply.json

    async def order(self, order_id: str) -> Any:
        reply = await self("GET", f"{ORDERS}/{order_id}")
        assert reply.status == 200, reply.body
        return reply.json

    async def fetch(self, location: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Follow a download link to the bytes."""
        redirect = await self("GET", location, headers={})
        assert redirect.status == 302, redirect.body
        return await self("GET", redirect.headers["location"], headers=headers)

    async def listed(self, *params: tuple[str, str]) -> list[str]:
        """Follow all pages of a list, and return the names of the orders."""
        names: list[str] = []
        reply = await self("GET", ORDERS, *params)
        while True:
            assert reply.status == 200, reply.body
            names += [order["name"] for order in reply.json["orders"]]
            following = reply.json["_links"].get("next")
            if following is None:
                return names
            reply = await self("GET", following)


def scenes(name: str = "farm", items: Sequence[str] = ("a1",), **fields: Any) -> dict[str, Any]:
    product = {"item_ids": list(items), "item_type": "PSScene", "product_bundle": "analytic_udm2"}
    return {"name": name, "products": [product], **fields}


def basemaps(name: str = "mosaic", **fields: Any) -> dict[str, Any]:
    product = {"mosaic_name": "global_monthly_2026_05_mosaic", "quad_ids": ["1-2", "1-3"]}
    return {"name": name, "source_type": "basemaps", "products": [product], **fields}


POLYGON = {"type": "Polygon", "coordinates": [[[18.2, -33.9], [18.6, -33.9], [18.4, -33.7], [18.2, -33.9]]]}
GOOGLE = {
    "type": "google_cloud_storage",
    "parameters": {"bucket": "fields", "credentials": "c2VjcmV0"},
}


def catalog(name: str = "field", geometry: object = None, **fields: Any) -> dict[str, Any]:
    parameters = {
        "item_types": ["PSScene"],
        "asset_types": ["ortho_visual"],
        "geometry": geometry or POLYGON,
        "start_time": "2026-01-01T00:00:00Z",
    }
    return {"name": name, "source": {"parameters": parameters}, "delivery": GOOGLE, **fields}


def variable(name: str = "lake", **fields: Any) -> dict[str, Any]:
    parameters = {
        "id": "SWC-AMSR2-C_V1.0_100",
        "geometry": POLYGON,
        "start_time": "2026-01-01T00:00:00Z",
    }
    return {"name": name, "source": {"parameters": parameters}, **fields}
