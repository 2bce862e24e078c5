"""`fetch_all`: several files side by side, where one that cannot be had stops none of the others."""

from collections.abc import Awaitable, Callable, Iterable

import anyio

from planet_async._background import cut_short
from planet_async.errors import PlanetError


async def fetch_all(
    fetches: Iterable[Callable[[], Awaitable[object]]], concurrency: int, refused: Iterable[PlanetError] = ()
) -> None:
    """Do all, at most `concurrency` at a time.

    Raises the first PlanetError in the end, with the others, and those `refused` before, in its notes; and
    any other error, such as that of a callback, at once, as it is.
    """
    errors = [*refused]
    broken: list[Exception] = []
    limit = anyio.CapacityLimiter(concurrency)

    async def act(fetch: Callable[[], Awaitable[object]]) -> None:
        async with limit:
            try:
                await fetch()
            except PlanetError as error:
                errors.append(error)
            except Exception as error:  # noqa: BLE001 - raised below: the group would wrap it
                broken.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for fetch in fetches:
            group.start_soon(act, fetch)
    if broken:
        raise broken[0]
    if group.cancel_scope.cancel_called:
        errors.append(cut_short())
    if errors:
        for other in errors[1:]:
            errors[0].add_note(f"also: {other}")
        raise errors[0]
