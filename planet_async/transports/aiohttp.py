"""The fast network: on asyncio only; a request costs a tenth of what it costs with httpx.

It comes with `planet-async[aiohttp]`:

    async with Planet(transport="aiohttp") as planet:
        ...

Of aiohttp it takes the parser.  Its client is left out: that is half of what a request costs with it, and
copies every byte of a body.
"""

import re

import anyio

from planet_async._background import on_asyncio
from planet_async.body import Body
from planet_async.config import Config
from planet_async.errors import ConnectError, ConnectionLost, InvalidRequest, PlanetError, TransportTimeout
from planet_async.http import Request, Response
from planet_async.transports.answer import Answer
from planet_async.transports.framing import Sized
from planet_async.transports.outgoing import Key, destination, fields, transport_closed
from planet_async.transports.wire import BrokenError, Wire
from planet_async.transports.wires import Wires

_METHOD = re.compile(r"[A-Z]+")
_ERRORS = (BrokenError, TimeoutError)


class AiohttpTransport:
    """Sends over HTTP/1.1 on asyncio, with at most `Config.max_connections` connections.

    A response holds its connection until it is read or closed; further requests wait in line for one.
    Proxies of the environment, `.netrc` and cookies are not looked at.  It belongs to the event loop in which
    it sends first.
    """

    def __init__(self, config: Config | None = None) -> None:
        config = config or Config()
        self._wires = Wires(config)
        self._head_seconds = config.connect_timeout + 2 * config.read_timeout
        self._gate = anyio.Semaphore(config.max_connections, fast_acquire=True)

    async def send(self, request: Request) -> Response:
        """Send; the response comes with its body unread, unless that came with the head."""
        if not on_asyncio():
            raise InvalidRequest(
                "the aiohttp transport runs on asyncio only", request=request, hint="Use httpx on trio."
            )
        key, head = _outgoing(request)
        await self._gate.acquire()
        try:
            wire = await self._connected(key, request)
            answer = await self._answer(wire, head, request)
        except BaseException:
            self._gate.release()
            raise

        def close() -> None:
            if answer.is_last:
                wire.abort()
            else:
                self._wires.put_back(key, wire)
            self._gate.release()

        content = answer.body.whole() if isinstance(answer.body, Sized) else None
        if content is None:
            body = _Body(answer.body, request)
            return Response(answer.status, answer.headers, body, url=request.url, close=close)
        close()
        return Response(answer.status, answer.headers, content, url=request.url)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._wires.aclose()

    async def _connected(self, key: Key, request: Request) -> Wire:
        if self._wires.closed:  # perhaps while this waited in line
            raise transport_closed(request)
        try:
            wire = await self._wires.take(key, repeatable=request.repeatable)
        except TimeoutError as error:
            raise ConnectError("could not connect: it took too long", request=request) from error
        except OSError as error:
            what = error.strerror or str(error) or type(error).__name__
            raise ConnectError(f"could not connect: {what}", request=request) from error
        except UnicodeError as error:
            raise InvalidRequest("not a host that can be asked for", request=request) from error
        if self._wires.closed:
            raise transport_closed(request)
        return wire

    async def _answer(self, wire: Wire, head: bytes, request: Request) -> Answer:
        answer = Answer(wire, request.method)
        try:
            await answer.ask(head, request.body or b"", self._head_seconds)
        except _ERRORS as error:
            wire.abort()
            raise _translated(error, request) from error
        return answer


def _outgoing(request: Request) -> tuple[Key, bytes]:
    key, target = destination(request)
    found = fields(request, key)
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in found.items())]
    text = "\r\n".join(lines)
    breaks = len(found)
    if not _METHOD.fullmatch(request.method) or not text.isascii() or "\0" in text:
        raise InvalidRequest("not a request that can be sent: not all is text in ASCII", request=request)
    if text.count("\r") != breaks or text.count("\n") != breaks:
        raise InvalidRequest("not a request that can be sent: a header has a line break", request=request)
    return key, f"{text}\r\n\r\n".encode("ascii")


class _Body(Body):
    """A body whose errors are ours."""

    def __init__(self, body: Body, request: Request) -> None:
        self._body = body
        self._request = request

    async def next_chunk(self) -> bytes:
        try:
            return await anext(self._body)
        except _ERRORS as error:
            raise _translated(error, self._request) from error

    async def read_into(self, memory: memoryview) -> int:
        try:
            return await self._body.read_into(memory)
        except _ERRORS as error:
            raise _translated(error, self._request) from error


def _translated(error: Exception, request: Request) -> PlanetError:
    if isinstance(error, TimeoutError):
        return TransportTimeout("nothing moved for too long", request=request)
    return ConnectionLost(f"the connection broke off: {error}", request=request)
