"""Every error this package raises.

    PlanetError                       catch this one to catch them all
    ├── InvalidRequest                refused before anything was sent (a ValueError too)
    │   └── MissingCredentials        there is no API key, token or secret
    ├── ClientClosed                  the client was closed before the response came
    ├── DeadlineExceeded              not done within Config.deadline (a TimeoutError too)
    ├── TransportError                no whole response came
    │   ├── ConnectError              no connection: nothing was sent
    │   ├── ConnectionLost            it broke off after the request was sent
    │   └── TransportTimeout          nothing moved for too long (a TimeoutError too)
    ├── StatusError                   the API refused: .status, .field_errors, .body
    │   ├── BadRequest                400, 422: the request is wrong
    │   ├── Unauthorized              401: the credential is missing or wrong
    │   ├── Forbidden                 403: the credential may not do this
    │   ├── NotFound                  404: no such resource, or another user's
    │   ├── Conflict                  409: not possible in its present state
    │   ├── TooManyRequests           429: slow down
    │   ├── QuotaExceeded             429 of another kind: what may be downloaded is used up
    │   └── ServerError               5xx
    ├── DecodeError                   the response is not what the API documents
    ├── BodyTooLarge                  the response is longer than Config.max_body_bytes
    ├── PagingError                   the links of a list lead in a circle, elsewhere, or on without an end
    ├── UnsettledCreate               what was to be created may exist, or not: .candidates
    ├── StatusUnreachable             the state that is waited for cannot be reached any more
    ├── ImagingSearchFailed           a search for imaging windows failed
    ├── WaitTimeout                   a wait took longer than its timeout (a TimeoutError too)
    ├── OrderNotDownloadable          failed, unfinished, or delivered somewhere else
    ├── AssetNotDownloadable          not published, not permitted, or not active
    ├── LedgerError                   the ledger of a job cannot be read or written any more
    │   └── LedgerUnusable            it cannot be opened: in use, damaged, or no ledger
    ├── SharedStateError              the database that processes share cannot be used
    │   └── SharedStateLost           it has not been reached for 30 seconds
    └── DownloadError                 a file could not be fetched or kept
        ├── ChecksumMismatch          the bytes are not those of the manifest
        └── UnsafeName                the server named a file outside the target folder

`str(error)` says what happened, to which request, and what to do.  An error carries its own advice:
`transient` (a later attempt may work), `retry_after` (seconds the server asked for) and `may_have_acted` (the
server may have done what was requested, though nothing confirmed it).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from attrs import evolve

from planet_async.http import Request

_NO_FIELDS: Mapping[str, Sequence[str]] = MappingProxyType({})


class PlanetError(Exception):
    """Base of all errors of this package.

    Attributes:
        message: What happened.
        hint: What to do about it, or "".
        request: The request that failed, without its headers and body, which may hold secrets; None where
            nothing was about to be sent.
        transient: Whether a later attempt may work.
        retry_after: How many seconds the server asked to wait, or None.
        may_have_acted: Whether the server may have done what was requested.
        elapsed: How many seconds the request had been with the network, or None where it was not sent.
        attempts: How often it was sent.
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
        """The request without headers and body: errors are stored, logged and pickled."""
        return self._request

    @request.setter
    def request(self, request: Request | None) -> None:
        self._request = request and evolve(request, headers={}, body=None)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        if self.request is None:
            return f"{self.message}. {self.hint}" if self.hint else self.message
        text = f"{self.request.operation}: {self.message} [{self.request}]"
        return f"{text} {self.hint}" if self.hint else text


def _rebuilt(cls: type[PlanetError], args: tuple[object, ...], state: Mapping[str, object]) -> PlanetError:
    """Make a pickled error again, whatever arguments its class takes."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidRequest(PlanetError, ValueError):
    """An argument or a setting cannot be right, so nothing was sent."""


class MissingCredentials(InvalidRequest):
    """There is no API key, token or secret."""


class ClientClosed(PlanetError):
    """The client was closed before the response came; whether the server acted is not known."""

    may_have_acted = True


class DeadlineExceeded(PlanetError, TimeoutError):
    """A request took longer than `Config.deadline`, queued and with all its attempts, which the notes list.

    `may_have_acted` is False where it was still queued, so that the server has seen nothing.
    """


class TransportError(PlanetError):
    """No whole response came; whether the server acted on the request is not known."""

    transient = True
    may_have_acted = True


class ConnectError(TransportError):
    """No connection could be made, so the server has seen nothing."""

    may_have_acted = False


class ConnectionLost(TransportError):
    """The connection broke off after the request was sent."""


class TransportTimeout(TransportError, TimeoutError):
    """Nothing moved on the connection for longer than `Config` allows."""


class StatusError(PlanetError):
    """The API responded with an error status.

    Attributes:
        status: The HTTP status.
        field_errors: What the API says is wrong, by the name of the field.
        body: The first 2,000 characters of the response.
        request_id: The server's name for the request, to quote to Planet's support; or None.
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
        self.field_errors: dict[str, Sequence[str]] = dict(field_errors)
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
    """404: no such resource, or it belongs to another user."""


class Conflict(StatusError):
    """409: not possible in the present state of the resource, or a queue is full."""


class TooManyRequests(StatusError):
    """429: more requests than allowed; nothing was done."""

    transient = True


class QuotaExceeded(StatusError):
    """429: the quota is used up; a later attempt fails as well, until there is more of it."""


class ServerError(StatusError):
    """5xx: the server failed, perhaps after it had acted."""

    transient = True
    may_have_acted = True


class DecodeError(PlanetError):
    """The response is not what the API documents; the message says what is wrong, and where."""


class BodyTooLarge(PlanetError):
    """The response is longer than `Config.max_body_bytes`, so it was not read to its end."""

    may_have_acted = True


class PagingError(PlanetError):
    """The links of a list lead in a circle, to another origin, or on to nothing new without an end."""


class UnsettledCreate(PlanetError):
    """The response to a create was lost, and looking it up did not show whether it was created.

    `candidates` are the ids of those that may be it.
    """

    may_have_acted = True

    def __init__(self, message: str, *, hint: str = "", candidates: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.candidates: tuple[str, ...] = tuple(candidates)


class StatusUnreachable(PlanetError):
    """The state that was waited for cannot be reached any more; the message says which one was."""


class ImagingSearchFailed(PlanetError):
    """A search for imaging windows failed; `error_code` is the API's, or None."""

    def __init__(self, message: str, *, error_code: str | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code


class WaitTimeout(PlanetError, TimeoutError):
    """A wait took longer than its timeout; what it waited for may still happen."""


class OrderNotDownloadable(PlanetError):
    """The order has nothing to download: it failed, is unfinished, or was delivered somewhere else.

    `error_hints` are the API's reasons for its failure; `delivered_to` is the cloud or the host that has the
    files, empty in all other cases.
    """

    def __init__(
        self, message: str, *, hint: str = "", error_hints: Sequence[str] = (), delivered_to: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.error_hints: tuple[str, ...] = tuple(error_hints)
        self.delivered_to = delivered_to


class AssetNotDownloadable(PlanetError):
    """An asset is not published, may not be downloaded, or is not active; the message says which.

    `missing_permission` is the permission that is missing, or "".
    """

    def __init__(self, message: str, *, hint: str = "", missing_permission: str = "") -> None:
        super().__init__(message, hint=hint)
        self.missing_permission = missing_permission


class LedgerError(PlanetError):
    """The ledger of a job cannot be read or written any more, or is of no use to this job."""


class LedgerUnusable(LedgerError):
    """The ledger cannot be opened: it is no ledger, damaged, of another version, or its database refuses."""


class SharedStateError(PlanetError):
    """The database of `Config.shared` cannot be used: its address, a right or its version is wrong."""


class SharedStateLost(SharedStateError):
    """The database of `Config.shared` has not been reached for 30 seconds; nothing is sent without it."""


class DownloadError(PlanetError):
    """A file could not be fetched, or could not be kept."""


class ChecksumMismatch(DownloadError):
    """The downloaded bytes are not those of the manifest."""


class UnsafeName(DownloadError):
    """The server named a file that would be written outside the target folder."""


class UnknownKeyWarning(UserWarning):
    """A key of a request is unknown here and resembles a known one; it is sent as it is."""


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
    """Return the class of error for an HTTP status."""
    return _BY_STATUS.get(status, ServerError if status >= _SERVER_ERRORS else StatusError)


def type_name(value: object) -> str:
    """Return the name of the type of a value; the value itself can be a secret."""
    cls = value if isinstance(value, type) else type(value)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    return f"the class {name}" if isinstance(value, type) else f"{name!r}"
