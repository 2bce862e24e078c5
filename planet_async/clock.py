"""Time: `SystemClock`, or `planet_async.testing.FakeClock` in tests that must not wait."""

import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol

import anyio
from attrs import frozen


class Clock(Protocol):
    """The time, and how to wait: all waiting of this package goes through a clock."""

    def monotonic(self) -> float:
        """Return the seconds since some moment; never goes back."""
        ...

    def now(self) -> datetime:
        """Return the date and time, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds; always a checkpoint, also for 0 and less."""
        ...

    def move_on_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        """Cancel the block after that many seconds, as `anyio.move_on_after` does."""
        ...


@frozen
class SystemClock:
    """The time of this machine; all are equal."""

    def monotonic(self) -> float:
        """Return the seconds of `time.monotonic`."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the date and time, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        await anyio.sleep(max(0.0, seconds))

    def move_on_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        """Cancel the block after that many seconds."""
        return anyio.move_on_after(seconds)
