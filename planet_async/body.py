"""`Body`: the bytes of an answer as they arrive, to be iterated, or read into memory of the reader's."""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator


class Body(AsyncIterator[bytes]):
    """A body that is still arriving: iterate it, or have it put into memory of yours, also by turns.

    Whoever reads a lot lends the same memory again and again: a transport that can fill it directly spares a
    copy of every byte, and the allocation of the memory for it.  A body of your own has `next_chunk`.

        body, memory = response.chunks(), memoryview(bytearray(1 << 20))
        while count := await body.read_into(memory):
            file.write(memory[:count])
    """

    _over = memoryview(b"")  # of a chunk that did not fit in

    @abstractmethod
    async def next_chunk(self) -> bytes:
        """Give what comes next; raise StopAsyncIteration at the end."""

    async def __anext__(self) -> bytes:
        """Give what comes next."""
        if self._over:
            over, self._over = self._over, memoryview(b"")
            return bytes(over)
        return await self.next_chunk()

    async def read_into(self, memory: memoryview) -> int:
        """Put what comes next at the start of `memory`, and give how many bytes that is: 0 at the end."""
        while not self._over:
            try:
                self._over = memoryview(await self.next_chunk())
            except StopAsyncIteration:
                return 0
        count = min(len(self._over), len(memory))
        memory[:count] = self._over[:count]
        self._over = self._over[count:]
        return count


class WholeBody(Body):
    """A body in one piece.  No generator: to drop one half way is a ResourceWarning on trio."""

    def __init__(self, content: bytes) -> None:
        self._pieces = iter((content,))

    async def next_chunk(self) -> bytes:
        """Give all of it, once."""
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class IteratedBody(Body):
    """The chunks of any iterable."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(chunks)

    async def next_chunk(self) -> bytes:
        """Give the next chunk."""
        return await anext(self._chunks)
