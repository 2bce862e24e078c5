"""What `Planet(transport=...)` takes: names, HTTP clients of the user's, and any transport."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import anyio
import httpx
import httpx2
import pytest

from planet_async import AiohttpTransport, Config, HttpxTransport, InvalidRequest, Planet
from planet_async.http import Request
from planet_async.simulator import Fault, ServerRequest, Simulator
from planet_async.simulator.server import serve
from planet_async.testing import FakeTransport
from planet_async.transports import as_transport


def test_transports_have_names() -> None:
    """`Planet(transport="aiohttp")` is as good as an instance, and gets the client's config."""
    assert isinstance(as_transport("httpx", Config()), HttpxTransport)
    assert isinstance(as_transport("httpx2", Config()), HttpxTransport)
    assert isinstance(as_transport("aiohttp", Config()), AiohttpTransport)


def test_a_transport_is_taken_as_it_is() -> None:
    """Be it one of ours, a fake, or the user's own: what it is called does not matter."""
    for transport in (HttpxTransport(), FakeTransport([]), Simulator()):
        assert as_transport(transport, Config()) is transport


class Derived(httpx.AsyncClient):
    """A client that another library has made of one."""


CLIENTS = {
    "httpx": httpx.AsyncClient,
    "httpx2": httpx2.AsyncClient,
    "aiohttp": aiohttp.ClientSession,
    "derived": Derived,
}


@pytest.fixture(params=CLIENTS)
async def client(
    request: pytest.FixtureRequest, anyio_backend: str
) -> AsyncIterator[httpx.AsyncClient | httpx2.AsyncClient | aiohttp.ClientSession]:
    if request.param == "aiohttp" and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    async with AsyncExitStack() as stack:
        made: Any = CLIENTS[request.param](headers={"x-mine": request.param})
        yield await stack.enter_async_context(made)


@pytest.mark.anyio
async def test_a_client_of_the_users_sends_the_requests(
    client: httpx.AsyncClient | httpx2.AsyncClient | aiohttp.ClientSession,
) -> None:
    """What it was made with counts, such as its headers; it is not closed."""
    seen: list[str | None] = []
    simulator = Simulator()

    def note(call: ServerRequest) -> bool:
        seen.append(call.headers.get("x-mine"))
        return False

    simulator.faults.add(Fault(when=note))
    with serve(simulator) as url:
        async with Planet(Config(base_url=url), api_key="any", transport=client) as planet:
            await planet.orders.stats()
        closed = client.closed if isinstance(client, aiohttp.ClientSession) else client.is_closed
    assert not closed
    assert seen in [[name] for name in CLIENTS]


def test_a_name_that_is_none_is_refused() -> None:
    """It says which there are."""
    with pytest.raises(InvalidRequest, match=r"no transport is called 'requests'.*\"httpx2\""):
        Planet(api_key="any", transport="requests")  # type: ignore[arg-type]


class Session:
    """What `requests.Session` looks like."""

    def send(self, request: object) -> object:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: 5, "'int'"),
        (lambda: None, "'NoneType'"),
        (dict, "'dict'"),
        (httpx.Client, "'httpx.Client'"),
        (httpx2.Client, "'httpx2.Client'"),
        (Session, "Session'"),
        (lambda: httpx.MockTransport(lambda _: httpx.Response(200)), "MockTransport'"),
        (lambda: httpx.AsyncClient, "the class httpx.AsyncClient"),
        (lambda: HttpxTransport, "the class planet_async.transports.httpx.HttpxTransport"),
    ],
)
def test_what_cannot_send_is_refused(make: Callable[[], Any], name: str) -> None:
    """A blocking client, a class, or anything else: the error says what would do."""
    with pytest.raises(InvalidRequest) as caught:
        Planet(api_key="any", transport=make())
    assert "transport cannot be" in str(caught.value)
    assert name in str(caught.value)
    for hint in ('"aiohttp"', "httpx.AsyncClient", "aiohttp.ClientSession", "`send` and `aclose`"):
        assert hint in str(caught.value)


@pytest.mark.parametrize("library", ["aiohttp", "httpx2"])
def test_without_the_extra_it_says_how_to_install_it(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an ImportError from the depths."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == library:
            monkeypatch.setitem(sys.modules, name, None)
    how = rf'{library}.*not installed.*pip install "planet-async\[{library}\]"'
    with pytest.raises(InvalidRequest, match=how):
        Planet(api_key="any", transport=library)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: HttpxTransport(library="requests"), "library must be 'httpx' or 'httpx2'"),  # type: ignore[arg-type]
        (lambda: HttpxTransport(httpx.Client()), "expected an AsyncClient of httpx or httpx2"),  # type: ignore[arg-type]
        (lambda: AiohttpTransport(httpx.AsyncClient()), "expected an aiohttp.ClientSession"),  # type: ignore[arg-type]
    ],
)
def test_a_transport_refuses_what_is_not_its_library(make: Callable[[], Any], what: str) -> None:
    """When it is made, and not with an AttributeError at the first request."""
    with pytest.raises(InvalidRequest, match=what):
        make()


def test_a_client_is_known_without_its_library() -> None:
    """To take a transport, or a client of one library, none of the others is loaded."""
    code = """
import sys
from planet_async import Config
from planet_async.testing import FakeTransport
from planet_async.transports import as_transport
as_transport(FakeTransport([]), Config())
print(*{name.partition(".")[0] for name in sys.modules} & {"httpx", "httpx2", "aiohttp"})
as_transport("httpx", Config())
print(*{name.partition(".")[0] for name in sys.modules} & {"httpx2", "aiohttp"})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_aiohttp_says_that_it_does_not_run_on_trio() -> None:
    """Before anything is sent."""

    async def main() -> None:
        network = AiohttpTransport()
        with pytest.raises(InvalidRequest, match="asyncio only"):
            await network.send(Request("GET", "http://127.0.0.1:1/"))
        await network.aclose()

    anyio.run(main, backend="trio")
