"""How a check says that a promise is broken."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import anyio
import anyio.lowlevel

from planet_async.errors import PlanetError

_ROUNDS = 50  # of the event loop: until each task waits for something
_LOOKS = 1000  # a millisecond apart


class Broken(AssertionError):
    """The transport does not keep a promise; the message says which."""


def expect(held: object, promise: str, found: object = "") -> None:
    """Raise Broken unless it held."""
    if not held:
        raise Broken(f"{promise}{f', but: {found!r}' if found != '' else ''}")


@contextmanager
def fails(kind: type[PlanetError], promise: str) -> Generator[None]:
    """Expect an error of exactly that class."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - any other is the finding
        expect(type(error) is kind, f"{promise} is {kind.__name__}", error)
    else:
        raise Broken(f"{promise} is {kind.__name__}, but nothing was raised")


async def settle() -> None:
    """Let the other tasks run until each waits for something."""
    for _ in range(_ROUNDS):
        await anyio.lowlevel.checkpoint()


async def eventually(held: Callable[[], bool], promise: str) -> None:
    """Expect what the other side needs a moment for."""
    for _ in range(_LOOKS):
        if held():
            return
        await anyio.sleep(0.001)
    raise Broken(promise)
