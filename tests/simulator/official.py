"""Planet's own client on a simulator that is served over HTTP."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import planet.specs
import pytest
from planet import Auth, Session
from planet.http import _Limiter

from planet_async.simulator import Simulator
from planet_async.simulator.server import serve

KEY = "the-key"


@contextmanager
def served(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Serve a simulator, which also has the bundles that the client validates products with."""

    def from_the_simulator(url: str) -> httpx.Response:
        return httpx.get(url.replace("https://api.planet.com", simulator.base_url), trust_env=False)

    monkeypatch.setattr(planet.specs, "httpx", SimpleNamespace(get=from_the_simulator))
    monkeypatch.setattr(planet.specs, "PRODUCT_BUNDLES", planet.specs._LazyBundlesLoader())
    with serve(simulator):
        yield simulator


@asynccontextmanager
async def official_session(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Yield a session that reaches nothing but the simulator, without the limiter, which sleeps."""
    async with Session(auth=Auth.from_key(KEY)) as session:
        session._limiter = _Limiter(0, 0)
        send = httpx.AsyncClient.send

        async def only_to_the_simulator(self: Any, request: httpx.Request, **options: Any) -> httpx.Response:
            assert str(request.url).startswith((simulator.base_url, simulator.storage_url))
            return await send(self, request, **options)

        monkeypatch.setattr(httpx.AsyncClient, "send", only_to_the_simulator)
        yield session
