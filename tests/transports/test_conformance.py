"""Every transport keeps every promise of `planet_async.testing.conformance`."""

import ssl
from collections.abc import Callable, Iterable
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
    a_body_is_streamed,
    cancelled_anywhere_nothing_is_held,
    closing_at_any_time_leaves_nothing_open,
    closing_ends_and_refuses,
    silence_is_a_timeout,
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
SLOW = (a_body_is_streamed, silence_is_a_timeout)


async def conforms(make: MakeTransport, checks: Iterable[Check] = CHECKS) -> None:
    """Run the checks: those that wait for timeouts while the others run, and what counts tasks by itself."""
    async with anyio.create_task_group() as group:
        for slow in SLOW:
            group.start_soon(slow, make)
        for check in checks:
            if check not in {*SLOW, cancelled_anywhere_nothing_is_held}:
                await check(make)
    await cancelled_anywhere_nothing_is_held(make)


@pytest.mark.anyio
async def test_a_transport_conforms(network: str) -> None:
    """Whichever transport is chosen, what the layers above rely on holds."""
    await conforms(MAKERS[network])


@pytest.mark.no_cover
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "anyio_backend"),
    [("httpx", "asyncio"), ("httpx2", "trio"), ("aiohttp", "asyncio")],
    indirect=["anyio_backend"],
)
async def test_a_transport_conforms_with_a_client_of_the_user(name: str) -> None:
    """It keeps the same promises, but for closing: a client that was handed in stays open."""
    adapter: Any = AiohttpTransport if name == "aiohttp" else HttpxTransport
    async with CLIENTS[name]() as client:
        await conforms(
            lambda config: adapter(client, config), [each for each in CHECKS if each not in CLOSING]
        )


@pytest.mark.no_cover
@pytest.mark.parametrize("name", MAKERS)
def test_a_transport_conforms_on_uvloop(name: str) -> None:
    """The faster loop changes nothing."""
    pytest.importorskip("uvloop")
    anyio.run(conforms, MAKERS[name], backend_options={"use_uvloop": True})
