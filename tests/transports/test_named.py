import sys

import anyio
import pytest

from planet_async import ApiKey, Config, InvalidRequest, Planet
from planet_async.http import Request
from planet_async.transports.aiohttp import AiohttpTransport
from planet_async.transports.httpx import HttpxTransport
from planet_async.transports.named import named_transport


def test_transports_have_names() -> None:
    """`Planet(transport="aiohttp")` is as good as an instance, and gets the client's config."""
    assert isinstance(named_transport("httpx", Config()), HttpxTransport)
    assert isinstance(named_transport("aiohttp", Config()), AiohttpTransport)


def test_a_name_that_is_none_is_refused() -> None:
    """It says which there are."""
    with pytest.raises(InvalidRequest, match='"aiohttp"'):
        Planet(credentials=ApiKey("any"), transport="requests")  # type: ignore[arg-type]


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an ImportError from the depths."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "aiohttp":
            monkeypatch.setitem(sys.modules, name, None)
        elif name.startswith("planet_async.transports."):
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InvalidRequest, match=r"planet-async\[aiohttp\]"):
        Planet(credentials=ApiKey("any"), transport="aiohttp")


def test_aiohttp_says_that_it_does_not_run_on_trio() -> None:
    """Before anything is sent."""

    async def main() -> None:
        network = AiohttpTransport()
        with pytest.raises(InvalidRequest, match="asyncio only"):
            await network.send(Request("GET", "http://127.0.0.1:1/"))
        await network.aclose()

    anyio.run(main, backend="trio")
