"""The three ways in which a body on a `Wire` ends: with its length, its last chunk, or the connection."""

from abc import abstractmethod

from planet_async.body import Body
from planet_async.transports.parser import Parser
from planet_async.transports.wire import HungUpError, Wire


class Framed(Body):
    """A body that is read from a wire.  Raises what the wire does, also for what is no HTTP."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether it was read to its end, and the connection goes on behind it."""


class Sized(Framed):
    """One of a known length, which goes straight into the memory of whoever reads."""

    def __init__(self, wire: Wire, size: int) -> None:
        super().__init__(wire)
        self._left = size

    @property
    def is_over(self) -> bool:
        """Whether all was read."""
        return not self._left

    def whole(self) -> bytes | None:
        """Take it, if all of it is here."""
        return self._taken() if self._left <= self._wire.here else None

    async def next_chunk(self) -> bytes:
        """Give what comes next."""
        if not self._left:
            raise StopAsyncIteration
        while not self._wire.here:
            await self._wire.more()
        return self._taken()

    async def read_into(self, memory: memoryview) -> int:
        """Have what comes next put there."""
        memory = memory[: self._left]
        count = 0
        while memory and not count:
            count = self._wire.take_into(memory) or await self._wire.more(memory)
        self._left -= count
        return count

    def _taken(self) -> bytes:
        piece = self._wire.take(self._left)
        self._left -= len(piece)
        return piece


class Chunked(Framed):
    """One in chunks, which the parser takes apart."""

    def __init__(self, wire: Wire, parser: Parser) -> None:
        super().__init__(wire)
        self._parser = parser

    @property
    def is_over(self) -> bool:
        """Whether the last chunk was read, and is the last that came."""
        return self._parser.is_over and not self._parser.has_more

    async def next_chunk(self) -> bytes:
        """Give what comes next."""
        while not self._parser.is_over:
            while not self._wire.here:
                await self._wire.more()
            if piece := self._parser.content(self._wire.take()):
                return piece
        raise StopAsyncIteration


class Unsized(Framed):
    """One that goes on until the server hangs up."""

    is_over = False

    async def next_chunk(self) -> bytes:
        """Give what comes next."""
        try:
            while not self._wire.here:
                await self._wire.more()
        except HungUpError:
            raise StopAsyncIteration from None
        return self._wire.take()
