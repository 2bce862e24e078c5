"""`HeadTimeout`: a bound for the head of an answer, which httpcore does not have.

Its timeout for reading begins anew with whatever arrives: a byte of a header, a `100 Continue`; with HTTP/2
also what belongs to other answers.  To cancel what takes too long would cost a twentieth of each request.
"""

import time
from collections.abc import Mapping

import httpcore

_TIMES = 2  # as long as nothing may arrive, so that silence is still told as silence


class SecondsOfHead(float):
    """How long a read may take, and when there may be no more of them."""

    __slots__ = ("end",)
    end: float

    def check(self) -> None:
        """Raise where the head has taken too long."""
        if time.monotonic() > self.end:
            raise httpcore.ReadTimeout("the head of the answer did not come whole")


class HeadTimeout:
    """The timeouts of one request; httpcore asks for each of them when it needs it.

    It asks for that of reading when it awaits the answer: with HTTP/2 at each read, also in the midst of
    sending, and else once.  So the stream asks too, at each read.
    """

    def __init__(self, timeouts: Mapping[str, float], *, is_sent: bool) -> None:
        self.is_sent = is_sent
        self.has_come = False
        self._timeouts = timeouts
        self._head: SecondsOfHead | None = None

    def get(self, name: str, _: object = None) -> float:
        """Give one of the timeouts."""
        seconds = self._timeouts[name]
        if name != "read" or self.has_come or not self.is_sent:
            return seconds
        if self._head is None:
            self._head = SecondsOfHead(seconds)
            self._head.end = time.monotonic() + _TIMES * seconds
        self._head.check()
        return self._head
