"""The body of an answer: all of it, but no more than is allowed, or only its start."""

from collections.abc import Callable

import anyio.lowlevel

from planet_async.body import Body
from planet_async.errors import BodyTooLarge, DecodeError, TransportError
from planet_async.http import Request, Response, announced_length

_PEEKED = 1 << 13  # bytes; a link to the next page stands in far fewer
_TURNS = 8  # of other tasks, in which a request is written; to receive the rest takes milliseconds


async def whole_body(request: Request, response: Response, most: int) -> bytes:
    """Read and close; BodyTooLarge as soon as it is known to be longer than `most` bytes."""
    try:
        announced = 0 if request.method == "HEAD" else announced_length(response.headers) or 0
        if announced > most:
            raise _too_large(request, most)
        body = response.content
        if body is None:
            body = await _gathered(response.chunks(), announced, most, request.peek)
    finally:
        await response.aclose()
    if body is None or len(body) > most:
        raise _too_large(request, most)
    return body


async def _gathered(
    body: Body, announced: int, most: int, peek: Callable[[bytes], None] | None
) -> bytes | None:
    """Read all of it, unless it turns out to be longer than `most`."""
    memory = memoryview(bytearray(announced))
    filled = await body.read_into(memory[:_PEEKED]) if peek and announced else 0
    if peek and filled:
        await _show(bytes(memory[:filled]), peek)
    while filled < announced and (count := await body.read_into(memory[filled:])):
        filled += count
    more = bytearray()  # a list of chunks would weigh forty times as much where each is a byte
    async for chunk in body:
        if peek and not filled and not more:
            await _show(chunk[:_PEEKED], peek)
        more += chunk
        if filled + len(more) > most:
            return None
    return b"".join((memory[:filled], more))


async def _show(start: bytes, peek: Callable[[bytes], None]) -> None:
    peek(start)
    for _ in range(_TURNS):
        await anyio.lowlevel.checkpoint()


async def start_of_body(response: Response, most: int) -> bytes:
    """Read and close, giving the first `most` bytes, or fewer where it ends or breaks off."""
    body = bytearray()
    try:
        async for chunk in response.chunks():
            body += chunk
            if len(body) >= most:
                break
    except (TransportError, DecodeError):
        pass  # what came must do, also of something badly packed
    finally:
        await response.aclose()
    return bytes(body[:most])


def _too_large(request: Request, most: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the answer is longer than {most:,} bytes and was not read",
        request=request,
        hint="Ask for smaller pages, or raise Config(max_body_bytes=...).",
    )
