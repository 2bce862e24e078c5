"""The simulator over HTTP: real sockets on loopback, and connections that really break."""

import http.client
import io
import logging
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from attrs import evolve

from planet_async.errors import PlanetError
from planet_async.simulator import Fault, Limits, OrderPlan, Simulator
from planet_async.simulator.server import App, Message, serve, serving
from planet_async.testing import FakeClock
from simulator.simulated import CREDENTIAL, ORDERS, Caller, scenes

AT_ONCE = OrderPlan(queue_seconds=0, run_seconds=0)
STATS = "/compute/ops/stats/orders/v2"


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(limits=Limits.unlimited(), plan=AT_ONCE)


@pytest.fixture
def client(simulator: Simulator) -> Iterator[httpx.Client]:
    with (
        serve(simulator) as url,
        httpx.Client(base_url=url, headers=CREDENTIAL, timeout=5, trust_env=False) as client,
    ):
        yield client


def location_of_a_file(client: httpx.Client) -> str:
    order_id = client.post(ORDERS, json=scenes()).json()["id"]
    results = client.get(f"{ORDERS}/{order_id}").json()["_links"]["results"]
    return str(client.get(results[1]["location"]).headers["location"])


def test_the_links_lead_to_the_sockets(client: httpx.Client, simulator: Simulator) -> None:
    """Over HTTP all links lead to the bound ports, the storage has its own; a file can be read in parts."""
    location = location_of_a_file(client)
    assert urlsplit(location).netloc != urlsplit(simulator.base_url).netloc
    assert location.startswith(simulator.storage_url)
    whole = httpx.get(location)
    assert len(whole.content) == 4096
    part = httpx.get(location, headers={"range": "bytes=4000-", "if-range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[4000:])
    assert httpx.get(location, headers={"range": "bytes=9999-"}).status_code == 416
    head = httpx.head(location)
    assert (head.headers["content-length"], head.content) == ("4096", b"")
    assert httpx.get(location, headers=CREDENTIAL).status_code == 400


def test_the_addresses_are_restored_after_serving(simulator: Simulator) -> None:
    """While it is served the simulator has the addresses of the sockets, then its own again."""
    with serve(simulator) as url:
        assert simulator.base_url == url
        assert url.startswith("http://127.0.0.1:")
    assert simulator.base_url == "https://api.planet.com"


def test_errors_and_lists_over_http(client: httpx.Client) -> None:
    """Bodies, statuses and queries pass through unharmed, odd names and large bodies too."""
    names = [f"n{number} ü+&" for number in range(3)]
    for name in names:
        assert client.post(ORDERS, json=scenes(name)).status_code == 202
    page = client.get(ORDERS, params={"page_size": 2, "name__contains": "ü+&"}).json()
    rest = client.get(page["_links"]["next"]).json()
    assert [order["name"] for order in page["orders"] + rest["orders"]] == names[::-1]
    assert client.get(ORDERS, params={"state": "x"}).status_code == 400
    assert client.get(ORDERS, headers={"authorization": ""}).status_code == 401
    assert client.delete(ORDERS).headers["allow"] == "GET, POST"
    large = scenes(items=[f"item-{number:0200}" for number in range(500)])
    order_id = client.post(ORDERS, json=large).json()["id"]
    assert client.put(f"{ORDERS}/{order_id}").status_code == 409
    odd = client.post(ORDERS, json=scenes(items=["ä b%20?#"])).json()["id"]
    results = client.get(f"{ORDERS}/{odd}").json()["_links"]["results"]
    assert httpx.get(results[0]["location"], follow_redirects=True).json()["id"] == "ä b%20?#"


def test_an_archive_over_http(client: httpx.Client) -> None:
    """A zip made while it is sent is a zip."""
    order = scenes(delivery={"archive_type": "zip", "single_archive": True})
    order_id = client.post(ORDERS, json=order).json()["id"]
    [archive, _] = client.get(f"{ORDERS}/{order_id}").json()["_links"]["results"]
    body = httpx.get(archive["location"], follow_redirects=True).content
    assert zipfile.ZipFile(io.BytesIO(body)).testzip() is None


def test_connections_are_kept(simulator: Simulator) -> None:
    """Many requests go over one connection, also after errors."""
    with serve(simulator) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
        connection.connect()
        socket = connection.sock
        for path in (STATS, "/nowhere", STATS):
            connection.request("GET", path, headers=CREDENTIAL)
            connection.getresponse().read()
            assert connection.sock is socket
        connection.close()


@pytest.mark.parametrize(
    ("fault", "error", "orders"),
    [
        (Fault(drop=True), httpx.RemoteProtocolError, 0),
        (Fault(drop=True, after=True), httpx.RemoteProtocolError, 1),
        (Fault(refused=True), httpx.RemoteProtocolError, 0),
        (Fault(cut=0), httpx.RemoteProtocolError, 1),
        (Fault(cut=10), httpx.RemoteProtocolError, 1),
        (Fault(hang=True), httpx.ReadTimeout, 0),
        (Fault(hang=True, after=True), httpx.ReadTimeout, 1),
        (Fault(delay=60), httpx.ReadTimeout, 0),
    ],
)
def test_connections_really_break(
    client: httpx.Client, simulator: Simulator, fault: Fault, error: type[Exception], orders: int
) -> None:
    """A dropped connection is one, a cut body ends early, a hanging request is silent; the next one works."""
    # Never removed: a client that times out may do so before the server has read its request.
    simulator.faults.add(evolve(fault, operation="orders.create"))
    with pytest.raises((error, httpx.ReadError)):
        client.post(ORDERS, json=scenes(), timeout=0.05 if error is httpx.ReadTimeout else 5)
    assert client.get(STATS).status_code == 200
    assert len(simulator.orders) == orders


def test_a_body_is_sent_slowly(client: httpx.Client, simulator: Simulator) -> None:
    """The bytes are sent one by one, with pauses in between."""
    simulator.faults.add(Fault(operation="orders.stats", bytes_per_second=1000))
    with client.stream("GET", STATS) as response:
        assert response.status_code == 200
    simulator.faults.clear()
    assert client.get(STATS).status_code == 200


def test_a_large_file_is_cut_at_the_byte() -> None:
    """All the bytes before the cut arrive, and not one more."""
    large = Simulator(limits=Limits.unlimited(), plan=AT_ONCE, file_bytes=1_000_000)
    large.faults.add(Fault(operation="storage.get", cut=300_001))
    with serve(large) as url, httpx.Client(base_url=url, headers=CREDENTIAL, trust_env=False) as client:
        location = location_of_a_file(client)
        got = bytearray()
        with httpx.stream("GET", location) as response, pytest.raises(httpx.RemoteProtocolError):
            _drain(response.iter_raw(), got)
        assert response.headers["content-length"] == "1000000"
        assert len(got) == 300_001


def _drain(chunks: Iterator[bytes], into: bytearray) -> None:
    for chunk in chunks:
        into += chunk


def test_a_client_that_stops_reading_is_not_served_further() -> None:
    """A client that hangs up in the middle of a large file costs nothing more, and the server goes on."""
    large = Simulator(limits=Limits.unlimited(), plan=AT_ONCE, file_bytes=200_000_000)
    with serve(large) as url, httpx.Client(base_url=url, headers=CREDENTIAL, trust_env=False) as client:
        location = location_of_a_file(client)
        with httpx.stream("GET", location) as response:
            next(response.iter_raw())
        assert client.get(STATS, timeout=5).status_code == 200


def test_garbage_and_statuses(client: httpx.Client, simulator: Simulator) -> None:
    """Any status, header and body goes over the wire as the fault says."""
    simulator.faults.add(Fault(status=503, headers={"Retry-After": "2"}, body=b"<html>busy", times=1))
    busy = client.get(STATS)
    assert (busy.status_code, busy.headers["retry-after"], busy.content) == (503, "2", b"<html>busy")
    simulator.faults.add(Fault(body=b'{"user":', times=1))
    assert client.get(STATS).content == b'{"user":'
    assert "user" in client.get(STATS).json()


def test_rates_over_http() -> None:
    """The documented rates are on unless lifted, on the simulator's clock, and the count is kept."""
    simulator = Simulator(clock=FakeClock())
    with serve(simulator) as url, httpx.Client(base_url=url, headers=CREDENTIAL, trust_env=False) as client:
        assert [client.get(STATS).status_code for _ in range(7)] == [200] * 5 + [429] * 2
    assert simulator.requests["orders.stats"] == 7


@pytest.mark.parametrize("busy", [Fault(hang=True), Fault(delay=3600)])
def test_stopping_is_clean(simulator: Simulator, busy: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """With a request still unanswered the server stops at once: no thread is left, nothing is logged."""
    before = threading.active_count()
    simulator.faults.add(busy)
    with caplog.at_level(logging.DEBUG), serve(simulator) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
        connection.request("GET", STATS, headers=CREDENTIAL)
        while not simulator.requests:
            threading.Event().wait(0.001)
    with pytest.raises(ConnectionError):
        connection.getresponse()
    connection.close()
    assert threading.active_count() == before
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_an_error_inside_passes_through(simulator: Simulator) -> None:
    """What is raised in the block of `serve` is raised from it, and the server has stopped."""
    urls = []

    def served() -> None:
        with serve(simulator) as url:
            urls.append(url)
            raise KeyError

    with pytest.raises(KeyError):
        served()
    with pytest.raises(httpx.ConnectError):
        httpx.get(urls[0])


def test_a_port_in_use_is_an_error(simulator: Simulator) -> None:
    """A port in use is an error that names it; no socket stays open."""
    with serve(simulator) as url:
        port = urlsplit(url).port or 0
        with (
            pytest.raises(PlanetError, match=f"127.0.0.1:{port}.*another port"),
            serve(Simulator(), storage_port=port),
        ):
            pass


@pytest.mark.asyncio
async def test_serving_in_ones_own_loop(simulator: Simulator) -> None:
    """`serving` does the same in the running event loop of asyncio."""
    async with (
        serving(simulator) as url,
        httpx.AsyncClient(base_url=url, headers=CREDENTIAL, trust_env=False) as client,
    ):
        assert (await client.get(STATS)).status_code == 200


def test_the_package_does_not_need_a_server() -> None:
    """Importing the simulator imports no server: that is the extra."""
    code = "import sys, planet_async.simulator; sys.exit('uvicorn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def _asked(
    app: App, *bodies: bytes, method: str = "POST", target: str = ORDERS, connection: object = None
) -> list[Message]:
    """Ask the application without any server."""
    pieces = iter(bodies)
    rest = len(bodies)
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal rest
        rest -= 1
        return {"type": "http.request", "body": next(pieces), "more_body": rest > 0}

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = target.encode().partition(b"?")
    headers = [] if query else [(name.encode(), value.encode()) for name, value in CREDENTIAL.items()]
    scope = {"type": "http", "method": method, "raw_path": path, "query_string": query, "headers": headers}
    await app(scope | {"state": {"connection": connection}}, receive, send)
    return sent


class _Gone:
    def is_closing(self) -> bool:
        return True


@pytest.mark.anyio
async def test_the_application_on_any_server(simulator: Simulator) -> None:
    """The ASGI application takes a body in pieces, cuts by ending early, and raises where it cannot drop."""
    app = App(simulator)
    start, body = await _asked(app, b'{"name"', b":7}")
    assert (start["status"], body["type"]) == (400, "http.response.body")
    simulator.faults.add(Fault(cut=3))
    _, cut = await _asked(app, method="GET")
    assert (len(cut["body"]), cut["more_body"]) == (3, True)
    simulator.faults.clear()
    simulator.faults.add(Fault(drop=True))
    with pytest.raises(ConnectionResetError):
        await _asked(app, method="GET")


@pytest.mark.anyio
async def test_nothing_is_made_after_a_disconnection() -> None:
    """When the connection has closed no more of a file is made."""
    simulator = Simulator(limits=Limits.unlimited(), plan=AT_ONCE, file_bytes=10_000_000)
    call = Caller(simulator)
    order_id = (await call.create())["id"]
    location = (await call.order(order_id))["_links"]["results"][1]["location"]
    target = (await call("GET", location)).headers["location"].removeprefix(simulator.storage_url)
    storage = App(simulator, "storage")
    assert len(await _asked(storage, method="GET", target=target)) > 100
    assert len(await _asked(storage, method="GET", target=target, connection=_Gone())) < 5


@pytest.mark.anyio
async def test_other_protocols_are_refused(simulator: Simulator) -> None:
    """A scope other than HTTP is refused in the way that lets a server continue without it."""
    with pytest.raises(NotImplementedError, match="websocket"):
        await App(simulator)({"type": "websocket"}, _nothing, _never)


async def _nothing() -> Message:
    raise AssertionError("there is nothing to receive")


async def _never(message: Message) -> None:
    raise AssertionError(message)
