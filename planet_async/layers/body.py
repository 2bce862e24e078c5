"""The body of an answer: all of it, but no more than is allowed, or only its start."""

from planet_async.body import Body
from planet_async.errors import BodyTooLarge, DecodeError, TransportError
from planet_async.http import Request, Response


async def whole_body(request: Request, response: Response, most: int) -> bytes:
    """Read and close; BodyTooLarge as soon as it is known to be longer than `most` bytes."""
    try:
        announced = 0 if request.method == "HEAD" else _announced(response)
        if announced > most:
            raise _too_large(request, most)
        body = response.content
        if body is None:
            body = await _gathered(response.chunks(), announced, most)
    finally:
        await response.aclose()
    if body is None or len(body) > most:
        raise _too_large(request, most)
    return body


async def _gathered(body: Body, announced: int, most: int) -> bytes | None:
    """Read all of it, unless it turns out to be longer than `most`."""
    memory = memoryview(bytearray(announced))
    filled = 0
    while filled < announced and (count := await body.read_into(memory[filled:])):
        filled += count
    more = bytearray()  # a list of chunks would weigh forty times as much where each is a byte
    async for chunk in body:
        more += chunk
        if filled + len(more) > most:
            return None
    return b"".join((memory[:filled], more))


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


def _announced(response: Response) -> int:
    length = response.headers.get("content-length", "")
    return int(length[:20]) if length.isascii() and length.isdigit() else 0


def _too_large(request: Request, most: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the answer is longer than {most:,} bytes and was not read",
        request=request,
        hint="Ask for smaller pages, or raise Config(max_body_bytes=...).",
    )
