"""`Planet(layers=[...])`: transports of the user's around those of the client."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from planet_async import ApiKey, ClientClosed, Config, InvalidRequest, Planet, Request, Response, Transport
from planet_async.testing import FakeClock, FakeTransport, reply


class Noting:
    """Notes the operations that pass it, and what they raise."""

    def __init__(self, inner: Transport, notes: list[str], name: str) -> None:
        self.inner = inner
        self.notes = notes
        self.name = name

    async def send(self, request: Request) -> Response:
        self.notes.append(f"{self.name} {request.operation}")
        try:
            return await self.inner.send(request)
        except Exception as error:
            self.notes.append(f"{self.name} {type(error).__name__}")
            raise

    async def aclose(self) -> None:
        self.notes.append(f"{self.name} closes")
        await self.inner.aclose()


def noting(notes: list[str], name: str) -> Callable[[Transport], Transport]:
    return lambda inner: Noting(inner, notes, name)


def client(network: FakeTransport, *layers: Callable[[Transport], Transport]) -> Planet:
    return Planet(Config(rates={}), api_key="any", transport=network, clock=FakeClock(), layers=layers)


@pytest.mark.anyio
async def test_the_first_layer_is_the_outermost_and_sees_calls() -> None:
    """Each layer sees a call once, whatever its attempts, also those of views; closing passes them too."""
    notes: list[str] = []
    network = FakeTransport([reply(503), reply(200), reply(200)])
    async with client(network, noting(notes, "a"), noting(notes, "b")) as planet:
        await planet.request("GET", "/tasking/v2/x")
        await planet.with_options(deadline=5).request("GET", "/reports/x")
    assert notes == [
        *("a tasking.request", "b tasking.request", "a reports.request", "b reports.request"),
        *("a closes", "b closes"),
    ]
    assert network.closed


@pytest.mark.anyio
async def test_a_layer_sees_that_the_client_was_closed() -> None:
    """A call in progress and a later one are ClientClosed to it, as to the caller."""
    notes: list[str] = []

    class Silent(FakeTransport):
        async def send(self, request: Request) -> Response:
            await anyio.sleep_forever()
            raise AssertionError(request)

    planet = client(Silent([]), noting(notes, "a"))

    async def call() -> None:
        with pytest.raises(ClientClosed):
            await planet.request("GET", "/x")

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        await planet.aclose()
    await call()
    assert notes == ["a x.request", "a closes", "a ClientClosed", "a x.request", "a ClientClosed"]


@pytest.mark.anyio
async def test_a_layer_may_respond_by_itself() -> None:
    """Such as from a cache: nothing is sent."""

    class Cached(Noting):
        async def send(self, request: Request) -> Response:
            return Response(200, body=b"{}", url=request.url)

    network = FakeTransport([])
    async with client(network, lambda inner: Cached(inner, [], "")) as planet:
        assert await (await planet.request("GET", "/x")).read() == b"{}"
    assert network.requests == []


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([FakeTransport([])], "layers must be a list of functions or classes"),
        (lambda inner: inner, "layers must be a list"),
        (["httpx"], "layers must be a list"),
        ([lambda _: None], "a layer must return a Transport, not 'NoneType'"),
        ([lambda _: FakeTransport], "a layer must return a Transport, not the class"),
    ],
)
def test_a_wrong_layer_is_refused_when_the_client_is_made(layers: Any, text: str) -> None:
    """The error says what a layer is."""
    with pytest.raises(InvalidRequest, match=text):
        Planet(credentials=ApiKey("any"), transport=FakeTransport([]), layers=layers)
