"""Every transport keeps every promise of `planet_async.testing.conformance`."""

import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
import anyio
import httpx
import httpx2
import pytest

from planet_async.testing.conformance import (
    CHECKS,
    Check,
    MakeTransport,
    closing_at_any_time_leaves_nothing_open,
    closing_ends_and_refuses,
)
from planet_async.transports.aiohttp import AiohttpTransport
from planet_async.transports.httpx import HttpxTransport

MAKERS: dict[str, MakeTransport] = {
    "httpx": lambda config: HttpxTransport(config=config),
    "httpx2": lambda config: HttpxTransport(config=config, library="httpx2"),
    "aiohttp": lambda config: AiohttpTransport(config=config),
}
TRUSTS_NONE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # to read a file of authorities takes long
CLIENTS: dict[str, Callable[[], Any]] = {
    "httpx": lambda: httpx.AsyncClient(verify=TRUSTS_NONE),
    "httpx2": lambda: httpx2.AsyncClient(verify=TRUSTS_NONE),
    "aiohttp": aiohttp.ClientSession,
}
CLOSING = {closing_ends_and_refuses, closing_at_any_time_leaves_nothing_open}


def skip_unless_supported(name: str, backend: str) -> None:
    if name == "aiohttp" and backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")


@pytest.mark.anyio
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_transport_conforms(check: Check, name: str, anyio_backend: str) -> None:
    """Whichever transport is chosen, what the layers above rely on holds."""
    skip_unless_supported(name, anyio_backend)
    await check(MAKERS[name])


@pytest.mark.no_cover
@pytest.mark.anyio
@pytest.mark.parametrize("name", CLIENTS)
async def test_a_transport_conforms_with_a_client_of_the_user(name: str, anyio_backend: str) -> None:
    """It keeps the same promises, but for closing: a client that was handed in stays open."""
    skip_unless_supported(name, anyio_backend)
    for check in CHECKS:
        if check not in CLOSING:
            async with CLIENTS[name]() as client:
                if name == "aiohttp":
                    await check(lambda config: AiohttpTransport(client, config))
                else:
                    await check(lambda config: HttpxTransport(client, config))


@pytest.mark.no_cover
@pytest.mark.parametrize("name", MAKERS)
def test_a_transport_conforms_on_uvloop(name: str) -> None:
    """The faster loop changes nothing."""
    pytest.importorskip("uvloop")

    async def main() -> None:
        for check in CHECKS:
            await check(MAKERS[name])

    anyio.run(main, backend_options={"use_uvloop": True})
