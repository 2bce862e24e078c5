"""The transports that `Planet(transport=...)` knows by name."""

from typing import Literal

from planet_async.config import Config
from planet_async.errors import InvalidRequest
from planet_async.http import Transport

TransportName = Literal["httpx", "httpx2", "aiohttp"]


def named_transport(name: TransportName, config: Config) -> Transport:
    """Make the transport of that name; InvalidRequest for any other, and for one that is not installed."""
    # Imported here so that `import planet_async` loads no network library.
    if name in {"httpx", "httpx2"}:
        from planet_async.transports.httpx import HttpxTransport  # noqa: PLC0415

        return HttpxTransport(config=config, library=name)
    if name != "aiohttp":
        raise InvalidRequest(f"no transport is called {name!r}", hint='There are "httpx" and "aiohttp".')
    try:
        from planet_async.transports.aiohttp import AiohttpTransport  # noqa: PLC0415
    except ImportError as error:
        raise InvalidRequest(
            f"the aiohttp transport is not installed ({error})", hint='pip install "planet-async[aiohttp]"'
        ) from None
    return AiohttpTransport(config=config)
