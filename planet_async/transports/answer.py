"""`Answer`: what comes back on a `Wire` for a request."""

from collections.abc import Mapping
from math import inf

from planet_async.http import NO_HEADERS, announced_length
from planet_async.transports.framing import Chunked, Framed, Sized, Unsized
from planet_async.transports.incoming import joined_headers
from planet_async.transports.parser import Head, Parser
from planet_async.transports.wire import BrokenError, Wire

_SLICE = 1 << 16  # bytes of a request that are sent at a time
_SWITCHING_PROTOCOLS, _FIRST_FINAL = 101, 200
_BODILESS = frozenset({204, 304})


class Answer:
    """The status, the headers, and the body to be read.

    Raises TimeoutError and BrokenError, which is also for what is no HTTP.
    """

    def __init__(self, wire: Wire, method: str) -> None:
        self._wire = wire
        self._method = method
        self._parser = Parser()
        self._is_last = False
        self.status = 0
        self.headers: Mapping[str, str] = NO_HEADERS
        self.body: Framed = Sized(wire, 0)

    async def ask(self, head: bytes, body: bytes, seconds: float) -> None:
        """Send the request, and return when the head of its answer is here, `seconds` later at most."""
        wire = self._wire
        wire.expect(seconds)
        wire.write(head + body[:_SLICE])
        for at in range(_SLICE, len(body), _SLICE):
            while wire.is_full and not self._has_begun():
                await wire.more()
            if self._has_begun():
                self._is_last = True  # the server has not heard all of this request
                break
            wire.write(body[at : at + _SLICE])
        while not self._has_begun():
            await wire.more()
        wire.expect(inf)

    @property
    def is_last(self) -> bool:
        """Whether no other answer can come on the wire."""
        return self._is_last or not self.body.is_over

    def _has_begun(self) -> bool:
        while not self.status and (head := self._wire.take_head()) is not None:
            message = self._parser.head(head)
            if message.code == _SWITCHING_PROTOCOLS:
                raise BrokenError("it speaks another protocol than HTTP")
            if message.code >= _FIRST_FINAL:
                self._begin(message)
        return self.status > 0

    def _begin(self, message: Head) -> None:
        self.status, self.headers = message.code, joined_headers(message.raw_headers)
        self._is_last = self._is_last or message.should_close
        length = announced_length(self.headers)
        if self._method == "HEAD" or self.status in _BODILESS:
            return
        if message.chunked:
            self.body = Chunked(self._wire, self._parser)
        elif length is not None:
            self.body = Sized(self._wire, length)
        elif "content-length" not in self.headers and not any(name.endswith(" ") for name in self.headers):
            self.body = Unsized(self._wire)
        else:
            raise BrokenError("its body has no length")
