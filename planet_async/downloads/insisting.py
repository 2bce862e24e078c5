"""`insist`: fetch, and fetch again what is missing, through cut connections and expired links."""

from collections.abc import Awaitable, Callable

from planet_async.clock import Clock
from planet_async.downloads.remote_file import RemoteFile
from planet_async.errors import StatusError, TransportError
from planet_async.http import Request

_FIRST_PAUSE = 0.5  # seconds after the first cut; doubled each time
_LONGEST_PAUSE = 30.0
_REFUSED_LINK = frozenset({401, 403, 404, 410})


async def insist(
    file: RemoteFile,
    fetch: Callable[[Request], Awaitable[None]],
    arrived: Callable[[], int],
    clock: Clock,
    max_attempts: int,
) -> None:
    """Call `fetch` with the request for the file until it returns; `arrived` gives the bytes that are there.

    Raises the StatusError that would not go away, or the TransportError when `max_attempts` requests in a
    row have brought no new byte.
    """
    request, cuts, attempts, renewed_at, furthest = file.request, 0, 0, -1, arrived()
    while True:
        try:
            return await fetch(request)
        except TransportError as error:
            if arrived() > furthest:  # a file that always begins again, and stops somewhere, gets nowhere
                furthest, cuts, attempts = arrived(), 0, 0
            cuts, attempts = cuts + 1, attempts + error.attempts
            if attempts >= max_attempts:
                raise
            await clock.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(cuts - 1, 16)))
        except StatusError as error:
            # A fresh link that is refused too, with nothing received by it, is not about its age.
            if error.status not in _REFUSED_LINK or not file.renew or renewed_at == arrived():
                raise
            renewed_at = arrived()
            request = await file.renew(request)
