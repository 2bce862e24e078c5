"""Every error this package raises.

    PlanetError                       catch this one to catch them all
    ├── InvalidRequest                refused before anything was sent (a ValueError too)
    │   └── MissingCredentials        no API key was given or found
    ├── ClientClosed                  the client was closed before the answer came
    ├── DeadlineExceeded              not done within Config.deadline (a TimeoutError too)
    ├── TransportError                no whole answer came
    │   ├── ConnectError              no connection: nothing was sent
    │   ├── ConnectionLost            it broke off after the request went out
    │   └── TransportTimeout          nothing moved for too long (a TimeoutError too)
    ├── StatusError                   the API refused: .status, .field_errors, .body
    │   ├── BadRequest                400, 422: the request is wrong
    │   ├── Unauthorized              401: the credential is missing or wrong
    │   ├── Forbidden                 403: the credential may not do this
    │   ├── NotFound                  404: no such thing, or another user's
    │   ├── Conflict                  409: not in this state
    │   ├── TooManyRequests           429: slow down
    │   └── ServerError               5xx
    ├── DecodeError                   an answer came that is not what the API documents
    ├── BodyTooLarge                  an answer is longer than Config.max_body_bytes
    ├── PagingError                   a list goes round in a circle, elsewhere, or nowhere
    ├── UnsettledCreate               what was to be created may exist, or not: .candidates
    ├── StatusUnreachable             what is waited for cannot happen any more
    ├── ImagingSearchFailed           a search for imaging windows ended in failure
    ├── WaitTimeout                   it took longer than the caller would wait (a TimeoutError too)
    ├── OrderNotDownloadable          failed, unfinished, or delivered somewhere else
    ├── LedgerError                   the ledger of a job is in use, is none, or cannot be written
    └── DownloadError                 a file could not be fetched or kept
        ├── ChecksumMismatch          the bytes are not those of the manifest
        └── UnsafeName                the server named a file outside the target

An error carries its own advice: `transient` (a later try may work), `retry_after` (seconds the server asked
for) and `may_have_acted` (the server may have done what was asked, though nothing confirmed it).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from attrs import evolve

from planet_async.http import Request

_NO_FIELDS: Mapping[str, Sequence[str]] = MappingProxyType({})


class PlanetError(Exception):
    """Base of all errors of this package; `str()` says what happened, to which request, and what to do.

    `request` is the request it happened to, without its headers and its body, which may hold secrets; it is
    None where nothing was about to be sent.  `elapsed` is how many seconds it had been with the network when
    it failed, or None where it had not got there; `attempts` is how often it was sent before this was raised.
    """

    transient: bool = False
    retry_after: float | None = None
    may_have_acted: bool = False
    elapsed: float | None = None
    attempts: int = 1

    def __init__(self, message: str, *, request: Request | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.request = request
        self.hint = hint

    @property
    def request(self) -> Request | None:
        """The request, as an error may keep it: errors are stored, sent on and pickled."""
        return self._request

    @request.setter
    def request(self, request: Request | None) -> None:
        self._request = request and evolve(request, headers={}, body=None)

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        if self.request is None:
            return f"{self.message}. {self.hint}" if self.hint else self.message
        text = f"{self.request.operation}: {self.message} [{self.request}]"
        return f"{text} {self.hint}" if self.hint else text


def _again(cls: type[PlanetError], args: tuple[object, ...], state: Mapping[str, object]) -> PlanetError:
    """Make an error as it was, whatever its class is made of."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidRequest(PlanetError, ValueError):
    """What was asked for cannot be right, so nothing was sent."""


class MissingCredentials(InvalidRequest):
    """No API key was given or found."""


class ClientClosed(PlanetError):
    """The client was closed before the answer came; whether the server acted is not known."""

    may_have_acted = True


class DeadlineExceeded(PlanetError, TimeoutError):
    """A request took longer than `Config.deadline`, in line and with all its tries; the notes tell of those.

    `may_have_acted` is False where it was still waiting for its turn, so that the server has seen nothing.
    """


class TransportError(PlanetError):
    """No whole answer came; whether the server acted on the request is not known."""

    transient = True
    may_have_acted = True


class ConnectError(TransportError):
    """No connection could be made, so the server has seen nothing."""

    may_have_acted = False


class ConnectionLost(TransportError):
    """The connection broke off after the request went out."""


class TransportTimeout(TransportError, TimeoutError):
    """Nothing moved on the connection for longer than `Config` allows."""


class StatusError(PlanetError):
    """The API answered with an error status.

    `status` is the code, `field_errors` what it said of single fields, `body` the first 2,000 characters of
    the answer, `request_id` the server's own name for the exchange, where it gave one.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        request: Request | None = None,
        hint: str = "",
        field_errors: Mapping[str, Sequence[str]] = _NO_FIELDS,
        body: str = "",
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, request=request, hint=hint)
        self.status = status
        self.field_errors = dict(field_errors)
        self.body = body
        self.retry_after = retry_after
        self.request_id = request_id


class BadRequest(StatusError):
    """400 or 422: the request is wrong; `field_errors` often says where."""


class Unauthorized(StatusError):
    """401: the credential is missing, wrong or expired."""


class Forbidden(StatusError):
    """403: the credential is known and may not do this."""


class NotFound(StatusError):
    """404: there is no such thing, or it belongs to somebody else."""


class Conflict(StatusError):
    """409: the thing is not in a state that allows this, or a queue is full."""


class TooManyRequests(StatusError):
    """429: more requests than allowed; nothing was done."""

    transient = True


class ServerError(StatusError):
    """5xx: the server failed, perhaps after doing what was asked."""

    transient = True
    may_have_acted = True


class DecodeError(PlanetError):
    """An answer came that is not what the API documents; the message says what is wrong where."""


class BodyTooLarge(PlanetError):
    """An answer is longer than `Config.max_body_bytes`, so it was not read to its end.

    The server had accepted the request by then.
    """

    may_have_acted = True


class PagingError(PlanetError):
    """The pages of a list lead round in a circle, to another origin, or on and on to nothing new."""


class UnsettledCreate(PlanetError):
    """The answer to a create was lost, and asking did not tell whether it came about.

    `candidates` are the ids of those that may be it.
    """

    may_have_acted = True

    def __init__(self, message: str, *, hint: str = "", candidates: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.candidates = tuple(candidates)


class StatusUnreachable(PlanetError):
    """What was waited for cannot happen any more: it has ended otherwise; the message says how."""


class ImagingSearchFailed(PlanetError):
    """A search for imaging windows failed; `error_code` is the API's, where it gave one."""

    def __init__(self, message: str, *, error_code: str | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code


class WaitTimeout(PlanetError, TimeoutError):
    """What was waited for did not happen in the time given; it may still."""


class OrderNotDownloadable(PlanetError):
    """The order has nothing to download: failed, unfinished, or delivered somewhere else.

    `error_hints` are the API's own words on why it failed; `delivered_to` is the cloud or the host that has
    the files, empty in all other cases.
    """

    def __init__(
        self, message: str, *, hint: str = "", error_hints: Sequence[str] = (), delivered_to: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.error_hints = tuple(error_hints)
        self.delivered_to = delivered_to


class LedgerError(PlanetError):
    """The ledger of a job is in use by another one, is not a ledger, or cannot be read or written."""


class DownloadError(PlanetError):
    """A file could not be fetched, or could not be kept."""


class ChecksumMismatch(DownloadError):
    """The bytes that came are not those that the manifest promises."""


class UnsafeName(DownloadError):
    """The server named a file that would land outside the target folder."""


_BY_STATUS: Mapping[int, type[StatusError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: BadRequest,
    429: TooManyRequests,
}
_SERVER_ERRORS = 500


def status_class(status: int) -> type[StatusError]:
    """Give the class of error for an HTTP status."""
    return _BY_STATUS.get(status, ServerError if status >= _SERVER_ERRORS else StatusError)


def type_name(value: object) -> str:
    """Return what a value of a wrong type is, for a message; never the value, which can be a secret."""
    cls = value if isinstance(value, type) else type(value)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    return f"the class {name}" if isinstance(value, type) else f"{name!r}"
