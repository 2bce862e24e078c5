"""Every transport keeps every promise of `planet_async.testing.conformance`."""

from functools import partial

import anyio
import pytest

from planet_async.testing.conformance import CHECKS, Check, MakeTransport
from planet_async.transports.named import named_transport

TRANSPORTS = pytest.mark.parametrize("make", [partial(named_transport, name) for name in ("httpx", "aiohttp")], ids=("httpx", "aiohttp"))


@pytest.mark.anyio
@TRANSPORTS
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_transport_conforms(check: Check, make: MakeTransport, anyio_backend: str) -> None:
    """Whichever transport is chosen, what the layers above rely on holds."""
    if make.args == ("aiohttp",) and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    await check(make)
