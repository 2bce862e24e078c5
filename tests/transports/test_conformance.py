"""Every transport keeps every promise of `planet_async.testing.conformance`."""

import anyio
import pytest

from planet_async.testing.conformance import CHECKS, Check, MakeTransport
from planet_async.transports.aiohttp import AiohttpTransport
from planet_async.transports.httpx import HttpxTransport

MAKERS = {
    "httpx": lambda config: HttpxTransport(config=config),
    "httpx2": lambda config: HttpxTransport(config=config, library="httpx2"),
    "aiohttp": lambda config: AiohttpTransport(config=config),
}
TRANSPORTS = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.mark.anyio
@TRANSPORTS
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_transport_conforms(check: Check, make: MakeTransport, anyio_backend: str) -> None:
    """Whichever transport is chosen, what the layers above rely on holds."""
    if make is MAKERS["aiohttp"] and anyio_backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")
    await check(make)


@TRANSPORTS
def test_a_transport_conforms_on_uvloop(make: MakeTransport) -> None:
    """The faster loop changes nothing."""
    pytest.importorskip("uvloop")

    async def main() -> None:
        for check in CHECKS:
            await check(make)

    anyio.run(main, backend_options={"use_uvloop": True})
