"""`Outcome`: the result for one of many things."""

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from attrs import frozen

from planet_async.errors import PlanetError

T = TypeVar("T")


class Identified(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """The id."""
        ...


@frozen
class Outcome(Generic[T]):
    """The result for one of many things: a `value`, or the `error` that ended it.

    async for outcome in planet.orders.wait_many(ids):
        if outcome.error:
            print(outcome.id, outcome.error)
        else:
            print(outcome.unwrap().state)
    """

    id: str
    value: T | None = None
    error: PlanetError | None = None

    def unwrap(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        if self.value is None:
            raise LookupError(f"{self.id} has no outcome yet")
        return self.value


def chunks(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield pieces of at most `size` things."""
    for start in range(0, len(things), size):
        yield things[start : start + size]
