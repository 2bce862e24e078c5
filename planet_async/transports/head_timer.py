"""`HeadTimer`: a bound for the head of an answer, which aiohttp does not have.

Its timeout for reading begins anew with whatever arrives: a byte of a header, a `100 Continue`.  A timer for
each, as `asyncio.timeout` has, would cost a twentieth of a request.
"""

import asyncio
from types import TracebackType


class HeadTimer:
    """Ends those that await the head of an answer for so many seconds, by one timer for all."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._awaited: dict[_Limit, float] = {}  # and until when, the first one first
        self._timer: asyncio.TimerHandle | None = None

    def limit(self) -> "_Limit":
        """Raise TimeoutError in a block that takes longer; it is of the task that calls this."""
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - only tasks can await
            raise RuntimeError("no task")
        limit = _Limit(self._awaited, task)
        loop = task.get_loop()
        self._awaited[limit] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._expire, loop)
        return limit

    def close(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for limit, end in [*self._awaited.items()]:
            if end > loop.time():
                self._timer = loop.call_at(end, self._expire, loop)
                break
            del self._awaited[limit]
            limit.expire()


class _Limit:
    """One block; by the rules of `asyncio.timeout`, which tell this end from a cancellation by others."""

    __slots__ = ("_awaited", "_cancelling", "_expired", "_task")

    def __init__(self, awaited: "dict[_Limit, float]", task: "asyncio.Task[object]") -> None:
        self._awaited = awaited
        self._task = task
        self._cancelling = task.cancelling()
        self._expired = False

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __enter__(self) -> None:
        """Nothing is left to do."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._expired:
            del self._awaited[self]
        elif self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error
