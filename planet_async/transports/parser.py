"""`Parser`: aiohttp's, which is written in C.  Nothing else of aiohttp is used, and nowhere else."""

import asyncio
from collections.abc import Sequence

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser, RawResponseMessage
from aiohttp.streams import StreamReader

from planet_async.transports.discreet import without_quotes
from planet_async.transports.wire import BrokenError

Head = RawResponseMessage
_LONGEST_LINE = 1 << 16  # bytes of a header: a signed address in a redirect is long
_END = b"\r\n\r\n"
_HELD = 1 << 20  # bytes that it may hold before it asks for a pause; it never gets as many at a time


class Parser:
    """Reads the head of one answer, and its body where that comes in chunks.

    Raises BrokenError for what is no HTTP.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(
            BaseProtocol(loop),
            loop,
            _HELD,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            auto_decompress=False,
        )
        self._chunks: StreamReader | None = None
        self.has_more = False
        """Whether something came after the last chunk."""

    def head(self, data: bytes) -> Head:
        """Read a head: an announcement (1xx), or the head of the answer."""
        for message, chunks in self._fed(data):
            self._chunks = chunks
            return message
        raise BrokenError("it does not speak HTTP")

    @property
    def is_over(self) -> bool:
        """Whether the last chunk has come."""
        return self._chunks is None or self._chunks.is_eof()

    def content(self, data: bytes) -> bytes:
        """Give what is in the chunks that have come."""
        try:
            another = self._fed(data)
        except BrokenError:
            if not self.is_over:
                raise
            self.has_more = True
        else:
            # It takes the start of another answer, and keeps that to itself.
            self.has_more = bool(another) or (self.is_over and not data.endswith(_END))
        return b"" if self._chunks is None else self._chunks.read_nowait()

    def _fed(self, data: bytes) -> Sequence[tuple[Head, StreamReader]]:
        try:
            messages, _, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            what = without_quotes(error.message)
        else:
            return messages
        # Outside of the handler: as its context, it would keep what the server said.
        raise BrokenError(f"it does not speak HTTP: {what}".removesuffix(": "))
