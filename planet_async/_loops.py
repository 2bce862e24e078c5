"""`PerLoop`: one value for each event loop, to which locks, queues and connections belong."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from anyio import NoEventLoopError
from anyio.lowlevel import current_token

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One value for each event loop, made when the loop first asks for it.

    A client may be used in one loop after the other (`asyncio.run` twice) and in several at once (threads).
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
        return asyncio.get_running_loop()  # anyio's own way takes ten times as long
    except RuntimeError:
        pass
    try:
        return current_token().native_token
    except NoEventLoopError:
        return None


def _has_ended(loop: Any) -> bool:
    if hasattr(loop, "is_closed"):
        return bool(loop.is_closed())
    import trio  # noqa: PLC0415 - not installed where only asyncio is used

    try:
        loop.run_sync_soon(_nothing)
    except trio.RunFinishedError:
        return True
    return False


def _nothing() -> None:
    """Do nothing: asked of a loop to see whether it runs."""
