"""`Body`: the bytes of an answer as they arrive, to be iterated, or read into memory of the reader's."""

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator


class Body(AsyncIterator[bytes]):
    """A body that is still arriving.

    Whoever reads a lot lends the same memory again and again: a transport that can fill it directly spares a
    copy of every byte, and the allocation of the memory for it.
    """

    _over = memoryview(b"")  # what did not fit in

    @abstractmethod
    async def __anext__(self) -> bytes:
        """Give what comes next."""

    async def read_into(self, memory: memoryview) -> int:
        """Put what comes next at the start of `memory`, and give how many bytes that is: 0 at the end.

        What one call has put there is not given by another one, nor by iterating.
        """
        while not self._over:
            try:
                self._over = memoryview(await anext(self))
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

    async def __anext__(self) -> bytes:
        """Give all of it, once."""
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class IteratedBody(Body):
    """The chunks of any iterable."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(chunks)

    async def __anext__(self) -> bytes:
        """Give the next chunk."""
        return await anext(self._chunks)
