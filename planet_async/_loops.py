"""`PerLoop`: one value for each event loop, to which locks, queues and connections belong."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from anyio import NoEventLoopError
from anyio.lowlevel import current_token

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One value for each event loop, made when it is first used there.

    A client may be used in one loop after another (`asyncio.run` twice), and in several at once (threads).
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[object, T] = {}

    def here(self) -> T:
        """Return the value of the running event loop; outside of any loop a new one, which is not kept."""
        loop = _running_loop()
        if loop is None:
            return self._make()
        value = self._values.get(loop)
        if value is None:
            for ended in [known for known in [*self._values] if _has_ended(known)]:
                self._values.pop(ended, None)
            value = self._values[loop] = self._make()
        return value


def _running_loop() -> object:
    try:
        return asyncio.get_running_loop()  # ten times as fast as anyio's way
    except RuntimeError:
        pass
    try:
        return current_token().native_token
    except NoEventLoopError:
        return None


def _has_ended(loop: Any) -> bool:
    if hasattr(loop, "is_closed"):
        return bool(loop.is_closed())
    import trio  # noqa: PLC0415 - may not be installed

    try:
        loop.run_sync_soon(lambda: None)
    except trio.RunFinishedError:
        return True
    return False
