"""The body of a response: all of it, but no more than is allowed, or only its start."""

from io import BytesIO

from planet_async.errors import BodyTooLarge, DecodeError, TransportError
from planet_async.http import Request, Response, announced_length


async def whole_body(request: Request, response: Response, most: int) -> bytes:
    """Read and close; BodyTooLarge as soon as it is known to be longer than `most` bytes."""
    try:
        announced = 0 if request.method == "HEAD" else announced_length(response.headers) or 0
        if announced > most:
            raise _too_large(request, most)
        body = response.content
        if body is None:
            memory = BytesIO()  # a list of chunks would weigh forty times as much where each is a byte
            async for chunk in response.chunks():
                memory.write(chunk)
                if memory.tell() > most:
                    break
            body = memory.getvalue()
    finally:
        await response.aclose()
    if len(body) > most:
        raise _too_large(request, most)
    return body


async def start_of_body(response: Response, most: int) -> bytes:
    """Read and close; return the first `most` bytes, or fewer where the body ends or breaks off."""
    body = bytearray()
    try:
        async for chunk in response.chunks():
            body += chunk
            if len(body) >= most:
                break
    except (TransportError, DecodeError):
        pass  # what came must do, also where it is badly compressed
    finally:
        await response.aclose()
    return bytes(body[:most])


def _too_large(request: Request, most: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the answer is longer than {most:,} bytes and was not read",
        request=request,
        hint="Ask for smaller pages, or raise Config(max_body_bytes=...).",
    )
