"""`Wire`: a connection on asyncio, from which what arrives goes straight into the memory of its reader."""

import asyncio
import re
import select
import ssl
import sys
from math import inf
from typing import cast

_MEMORY = 1 << 17  # bytes that a connection has for what comes while nobody reads; a head has to fit in
_RECORD = (1 << 14) + 1  # bytes that TLS may hold beyond those that it tells of
_KEPT_SECONDS = 15.0  # that an idle connection is kept
_END_OF_HEAD = re.compile(rb"\n\r?\n")  # the parser takes a bare line feed for the end of a line
_TOO_LATE = -1  # in the place of a number of bytes


class BrokenError(Exception):
    """The connection broke off, or the server does not speak HTTP."""


class HungUpError(BrokenError):
    """The server closed the connection."""


class Wire(asyncio.BufferedProtocol):
    """One connection, for one request at a time; it is closed by an error, or a cancellation, while waiting.

    Whoever waits for the server hears of a TimeoutError when nothing has moved for `silence` seconds, or of a
    BrokenError.  Over TLS, `below` is the connection that reading is paused on.
    """

    def __init__(self, silence: float, below: asyncio.Transport | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._silence = silence
        self._below = below
        self._transport: asyncio.Transport | None = None
        self._memory = bytearray(_MEMORY)
        self._view = memoryview(self._memory)
        self._start = self._end = 0  # of what is in the memory
        self._into: memoryview | None = None  # where the reader wants what comes next
        self._waiting: asyncio.Future[int] | None = None
        self._reads, self._aborted = True, False
        self._alarm: asyncio.TimerHandle | None = None
        # By the clock of the loop.
        self._quiet_until = self._answer_until = self._idle_until = inf
        self.is_full = False
        """Whether what is written has to wait until more of it was sent."""
        self.lost: asyncio.Future[Exception | None] = self._loop.create_future()
        """Done when it is closed: with what broke it, or None where somebody closed it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # that of uvloop is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and tell whoever waits."""
        if self._alarm is not None:
            self._alarm.cancel()
        self.lost.set_result(exc)
        self._wake(0)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the place for what comes: over TLS for all of it, since what is not taken now may be lost.

        asyncio reads the rest a moment later, unless the server has closed the connection by then.
        """
        wanted = sizehint + _RECORD if sizehint > 0 else 0
        if self._into is not None and len(self._into) >= wanted:
            return self._into
        if wanted:
            self._into = None
            self._make_room(wanted)
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of what came."""
        direct = self._into is not None
        self._into = None
        if not direct:
            self._end += nbytes
            if self._end >= _MEMORY and self._reads:
                self._reads = False
                (self._below or self._network).pause_reading()
        self._moved()
        self._wake(nbytes if direct else 0)

    def pause_writing(self) -> None:
        """Take no more for now."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Take more again."""
        self.is_full = False
        self._moved()
        self._wake(0)

    @property
    def is_usable(self) -> bool:
        """Whether it can carry a request: open, not old, and nothing came that was not asked for.

        Nor is anything about to come, such as its end, that the loop has had no time to read.
        """
        is_old = self._loop.time() >= self._idle_until
        return not (self._end or is_old or self._is_closing or _has_news(self._network))

    def rest(self) -> None:
        """Be idle, for a while."""
        self._quiet_until = inf
        self._idle_until = self._loop.time() + _KEPT_SECONDS
        self._watch()

    def expect(self, seconds: float) -> None:
        """Give the server so many seconds, however much it moves."""
        self._idle_until = inf
        self._answer_until = self._loop.time() + seconds

    def write(self, data: bytes) -> None:
        """Send, or take it to be sent."""
        if not self._is_closing:
            self._network.write(data)

    async def more(self, into: memoryview | None = None) -> int:
        """Wait until something moves; give how many bytes came into that memory, and thus not here."""
        if self._waiting is not None:
            raise RuntimeError("somebody else is reading this: read it in one task")
        if self.lost.done():
            # Not what is kept here, for it would keep this in turn, as long as nobody collects garbage.
            raise _why(self.lost.result(), self._aborted)
        self._into = into
        self._waiting = self._loop.create_future()
        self._moved()
        self._watch()
        try:
            count = await self._waiting
        except BaseException:
            self.abort()
            raise
        finally:
            self._into = self._waiting = None
        if count == _TOO_LATE:
            self.abort()
            raise TimeoutError
        return count

    @property
    def here(self) -> int:
        """How many bytes have come that were not taken."""
        return self._end - self._start

    def take(self, most: int | None = None) -> bytes:
        """Take what is here, as a copy."""
        end = self._end if most is None else min(self._end, self._start + most)
        taken = bytes(self._view[self._start : end])
        self._taken(end)
        return taken

    def take_into(self, memory: memoryview) -> int:
        """Take what is here into that memory."""
        end = min(self._end, self._start + len(memory))
        count = end - self._start
        memory[:count] = self._view[self._start : end]
        self._taken(end)
        return count

    def take_head(self) -> bytes | None:
        """Take what is here up to an empty line, if there is one."""
        found = _END_OF_HEAD.search(self._memory, self._start, self._end)
        if found is not None:
            return self.take(found.end() - self._start)
        if self._end >= _MEMORY:
            if not self._start:
                raise BrokenError("its headers are too long")
            self._view[: self.here] = self._view[self._start : self._end]
            self._start, self._end = 0, self.here
            self._read()
        return None

    def abort(self) -> None:
        """Close it at once, and forget what came."""
        self._aborted = True
        self._network.abort()
        self._memory = bytearray()  # whoever keeps an error keeps all that was at hand
        self._view = memoryview(self._memory)
        self._start = self._end = 0

    @property
    def _network(self) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("it has not been connected")
        return self._transport

    @property
    def _is_closing(self) -> bool:
        """Whether it is closed, or will be: TLS on asyncio says so later than what is below."""
        return self.lost.done() or (self._below or self._network).is_closing()

    def _make_room(self, wanted: int) -> None:
        if len(self._memory) - self._end < wanted:
            memory = bytearray(self._end + wanted)
            memory[: self._end] = self._view[: self._end]
            self._memory, self._view = memory, memoryview(memory)

    def _taken(self, end: int) -> None:
        self._start = end
        if self._start == self._end:
            self._start = self._end = 0
            if not self._reads:
                self._read()

    def _read(self) -> None:
        self._reads = True
        (self._below or self._network).resume_reading()

    def _moved(self) -> None:
        self._quiet_until = self._loop.time() + self._silence

    def _wake(self, count: int) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(count)

    def _watch(self) -> None:
        """Set the alarm, unless it rings by then; where it rings too early it is set anew, which is rare."""
        due = min(self._quiet_until, self._answer_until, self._idle_until)
        if self._alarm is not None and self._alarm.when() > due:
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None:
            self._alarm = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._loop.time()
        if self._waiting is not None:
            if min(self._quiet_until, self._answer_until) <= now:
                self._wake(_TOO_LATE)
            else:
                self._watch()
        elif self._idle_until <= now:
            self.abort()
        elif self._idle_until < inf:
            self._watch()


def _has_news(network: asyncio.BaseTransport) -> bool:
    """Tell whether the system has something for it."""
    if sys.platform == "win32":
        return False  # its loop has asked for it before: nothing is left with the system
    found = select.poll()
    found.register(network.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(found.poll(0))


def _why(error: Exception | None, aborted: bool) -> BrokenError:
    if aborted:
        return BrokenError("it was closed here")
    if error is None:
        return HungUpError("the server hung up")
    what = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    return BrokenError(what or type(error).__name__)
