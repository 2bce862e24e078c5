"""HeadTimer: one timer ends all that take too long, each in its own time, and nothing else."""

import asyncio

import pytest

from planet_async.transports.head_timer import HeadTimer

SECONDS = 0.05


async def ends(timer: HeadTimer, after: float, takes: float) -> float | None:
    """Begin after some seconds what takes some; give how long it was let, where that was not to its end."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(after)
    began = loop.time()
    try:
        with timer.limit():
            await asyncio.sleep(takes)
    except TimeoutError:
        return loop.time() - began
    return None


def test_each_ends_in_its_own_time() -> None:
    """Whoever begins later is let as long; who is done is let alone; and later ones are timed again."""

    async def main() -> None:
        timer = HeadTimer(SECONDS)
        for _ in range(2):
            begun = [ends(timer, n * SECONDS / 4, SECONDS / 10 if n == 1 else 100) for n in range(4)]
            first, done, *later = await asyncio.gather(*begun)
            assert done is None
            for took in (first, *later):
                assert took is not None
                assert SECONDS * 0.9 <= took < SECONDS * 4
        timer.close()

    asyncio.run(main())


def test_to_be_cancelled_is_no_timeout() -> None:
    """The caller's own cancellation stays one, before the time is up, and where both come at once."""

    async def main() -> None:
        timer = HeadTimer(SECONDS)
        for both in (False, True):
            task = asyncio.ensure_future(ends(timer, 0, 100))
            await asyncio.sleep(SECONDS / 5)
            if both:
                timer._expire(LateLoop(asyncio.get_running_loop()))  # type: ignore[arg-type]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


class LateLoop:
    """A loop with the clock put forward."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def time(self) -> float:
        return self._loop.time() + 100
