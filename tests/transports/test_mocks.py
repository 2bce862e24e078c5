"""The mocks that users know intercept what the matching transport sends: no test of theirs reaches Planet."""

import inspect
import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import httpx
import httpx2
import pytest
import respx
from aioresponses import aioresponses
from attrs import field, frozen
from pytest_httpx import HTTPXMock
from pytest_httpx2 import HTTPXMock as HTTPX2Mock

from planet_async import ApiKey, Config, ConnectError, NotFound, Planet, PlanetError
from planet_async.errors import ConnectionLost
from planet_async.testing import FakeClock
from planet_async.transports import TransportName
from transports.on_loopback import KEY

pytestmark = pytest.mark.anyio
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)

API = "https://api.planet.com/compute/ops"
ORDERS = f"{API}/orders/v2"
STORAGE = "https://storage.example.com/a.tif?signature=x%2Fy"
ORDER_ID = "7a1c0f0e-4b6d-4f55-9a76-1f0a1d6f0c11"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
ORDER = {
    "id": ORDER_ID,
    "name": "field 7",
    "state": "success",
    "_links": {
        "results": [{"name": "x/a.tif", "location": f"{API}/download/?token=t", "delivery": "success"}]
    },
}
REQUEST = {
    "name": "field 7",
    "products": [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}],
}


@frozen
class Answer:
    """What a mock answers, and to what."""

    method: str
    url: str | re.Pattern[str]
    status: int = 200
    json: object = None
    content: bytes = b""
    headers: dict[str, str] = field(factory=dict)

    @property
    def body(self) -> bytes:
        return self.content if self.json is None else json.dumps(self.json).encode()

    @property
    def for_pytest_httpx(self) -> dict[str, Any]:
        what = {"method": self.method, "url": self.url}
        return {**what, "status_code": self.status, "headers": self.headers, "content": self.body}


ANSWERS = [
    Answer("GET", f"{ORDERS}/{ORDER_ID}", json=ORDER),
    Answer("GET", f"{ORDERS}/{UNKNOWN}", 404, json={"message": "no such order"}),
    Answer("POST", ORDERS, 202, json=ORDER),
    Answer("GET", f"{ORDERS}?page=2", json={"orders": [{**ORDER, "id": "second"}], "_links": {}}),
    Answer(
        "GET",
        re.compile(re.escape(ORDERS) + r"(\?(?!page=).*)?$"),
        json={"orders": [ORDER], "_links": {"next": f"{ORDERS}?page=2"}},
    ),
    Answer("GET", f"{API}/download/?token=t", 302, headers={"location": STORAGE}),
    Answer("GET", STORAGE, content=b"the bytes of a file", headers={"content-type": "image/tiff"}),
]
SENT = len(ANSWERS)


def client(transport: TransportName) -> Planet:
    config = Config(rates={}, max_attempts=2)
    return Planet(config, credentials=ApiKey(KEY), transport=transport, clock=FakeClock())


async def work(transport: TransportName, folder: Path) -> None:
    """Do what users do, with one request for each of the answers."""
    async with client(transport) as planet:
        order = await planet.orders.get(ORDER_ID)
        assert order.name == "field 7"
        assert (await planet.orders.create(REQUEST)).id == ORDER_ID
        assert [order.id async for order in planet.orders.list()] == [ORDER_ID, "second"]
        (path,) = await planet.orders.download(order, to=folder)
        assert path.read_bytes() == b"the bytes of a file"
        with pytest.raises(NotFound, match="no such order"):
            await planet.orders.get(UNKNOWN)


async def failure(transport: TransportName) -> PlanetError:
    async with client(transport) as planet:
        with pytest.raises(PlanetError) as caught:
            await planet.orders.get(ORDER_ID)
    return caught.value


def is_signed(request: httpx.Request | httpx2.Request) -> bool:
    return "authorization" in request.headers


async def test_pytest_httpx(httpx_mock: HTTPXMock, tmp_path: Path) -> None:
    """`pytest-httpx` intercepts the default transport; what it sees is signed for the API alone."""
    for each in ANSWERS:
        httpx_mock.add_response(**each.for_pytest_httpx)
    await work("httpx", tmp_path)
    assert len(httpx_mock.get_requests()) == SENT
    unsigned = [str(request.url) for request in httpx_mock.get_requests() if not is_signed(request)]
    assert unsigned == [STORAGE]


@pytest.mark.httpx_mock(can_send_already_matched_responses=True)
async def test_an_error_of_pytest_httpx(httpx_mock: HTTPXMock) -> None:
    """A mocked failure is one of ours."""
    httpx_mock.add_exception(httpx.ReadError("mocked"))
    assert type(await failure("httpx")) is ConnectionLost


async def test_httpx2_pytest(httpx2_mock: HTTPX2Mock, tmp_path: Path) -> None:
    """`httpx2-pytest` intercepts the httpx2 transport."""
    for each in ANSWERS:
        httpx2_mock.add_response(**each.for_pytest_httpx)
    await work("httpx2", tmp_path)
    assert len(httpx2_mock.get_requests()) == SENT


@pytest.mark.parametrize("using", ["httpcore", "httpx"])
async def test_respx(using: str, tmp_path: Path) -> None:
    """`respx` intercepts the default transport, by its default and by `using="httpx"`."""
    with respx.mock(using=using) as router:
        for each in ANSWERS:
            by_url: dict[str, Any] = {"url" if isinstance(each.url, str) else "url__regex": each.url}
            route = router.route(method=each.method, **by_url)
            route.respond(each.status, headers=each.headers, content=each.body)
        await work("httpx", tmp_path)
        assert len(router.calls) == SENT


async def test_an_error_of_respx() -> None:
    """A mocked failure is one of ours."""
    with respx.mock() as router:
        router.get(f"{ORDERS}/{ORDER_ID}").mock(side_effect=httpx.ConnectTimeout)
        error = await failure("httpx")
        assert len(router.calls) == 2
    assert type(error) is ConnectError
    assert "took longer" in error.message


class MockedResponse(aiohttp.ClientResponse):
    """A response that aioresponses 0.7.9 can make: aiohttp 3.14 wants one argument more than it gives."""

    def __init__(self, method: str, url: Any, **arguments: Any) -> None:
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters:
            arguments["stream_writer"] = Mock(output_size=0)
        super().__init__(method, url, **arguments)


@on_asyncio
async def test_aioresponses(tmp_path: Path) -> None:
    """`aioresponses` intercepts the aiohttp transport."""
    with aioresponses() as mocked:
        for each in ANSWERS:
            mocked.add(
                each.url,
                each.method,
                each.status,
                each.body,
                headers=each.headers,
                response_class=MockedResponse,
            )
        await work("aiohttp", tmp_path)
        assert sum(map(len, mocked.requests.values())) == SENT


@on_asyncio
async def test_an_error_of_aioresponses() -> None:
    """A mocked failure is one of ours."""
    with aioresponses() as mocked:
        mocked.get(f"{ORDERS}/{ORDER_ID}", exception=aiohttp.ServerDisconnectedError(), repeat=True)
        assert type(await failure("aiohttp")) is ConnectionLost
