"""`UnpackAnswers` unpacks answers that came packed, as the services ask for where no file is fetched."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from planet_async.errors import DecodeError
from planet_async.http import Request, Response, Transport
from planet_async.packed.gunzip import Gunzip
from planet_async.packed.unpacking import Unpacker, unpacked
from planet_async.packed.unzstd import CAN_UNZSTD, Unzstd

_UNPACKERS: Mapping[str, Callable[[], Unpacker]] = MappingProxyType(
    {"gzip": Gunzip, "x-gzip": Gunzip, **({"zstd": Unzstd} if CAN_UNZSTD else {})}
)
_FIRST_REFUSAL = 300

ACCEPTED = "gzip, zstd" if CAN_UNZSTD else "gzip"
"""What a request says it takes: the value of `accept-encoding`."""


class UnpackAnswers:
    """Unpacks an answer that is to be read whole, a little at a time, so that the reader's limit holds.

    One that is streamed is left as it came: a checksum is of those bytes.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def send(self, request: Request) -> Response:
        """Send; DecodeError for a packing that nobody asked for."""
        response = await self._inner.send(request)
        packing = response.headers.get("content-encoding", "identity").strip().lower()
        if request.stream or packing in {"identity", ""}:
            return response
        unpacker = _UNPACKERS.get(packing)
        if unpacker is None:
            if response.status >= _FIRST_REFUSAL:
                return response  # it counts, packed or not
            await response.aclose()
            raise DecodeError(f"the answer is packed as {packing[:20]!r}, not as asked for", request=request)
        text = unpacked(response, request, unpacker())
        text.confidential = response.confidential
        # They are of what came, not of what is read.
        text.headers = {
            name: value
            for name, value in response.headers.items()
            if name not in {"content-encoding", "content-length"}
        }
        return text

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()
