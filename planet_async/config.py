"""`Config`: every setting of a client, in one immutable record."""

import os
from collections.abc import Callable, Iterable, Mapping
from math import inf
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypedDict
from urllib.parse import SplitResult, urlsplit

from attrs import Attribute, field, frozen
from attrs.validators import optional

from planet_async.errors import InvalidRequest
from planet_async.http import without_query
from planet_async.redaction import database_without_secrets


def _must(be: str, holds: Callable[[Any], bool]) -> "Callable[[object, Attribute[Any], Any], None]":
    def check(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not holds(value):
            raise InvalidRequest(f"{attribute.name} must be {be}, not {value!r}")

    return check


_positive = _must("greater than 0", lambda value: isinstance(value, Real) and float(value) > 0)
_at_least_1 = _must("at least 1", lambda value: isinstance(value, Real) and float(value) >= 1)
_count = _must("a whole number of at least 1", lambda value: isinstance(value, Integral) and int(value) >= 1)
_count_or_infinite = _must(
    "a whole number of at least 1",
    lambda value: value == inf or (isinstance(value, Integral) and int(value) >= 1),
)
_boolean = _must("True or False", lambda value: isinstance(value, bool))


@frozen
class Window:
    """A rate: at most `limit` requests in any `seconds`."""

    limit: int = field(validator=_count)
    seconds: float = field(default=1.0, validator=_positive)


Rates = Mapping[str, tuple[Window, ...]]
"""How many requests may be sent, by the name of an operation or of an API."""

DOCUMENTED_RATES: Rates = MappingProxyType(
    {
        "orders": (Window(3),),
        "orders.create": (Window(3),),
        "orders.get": (Window(3),),
        "orders.list": (Window(3),),
        "orders.cancel": (Window(3),),
        "orders.cancel_many": (Window(5),),
        "orders.download": (Window(5),),
        "orders.stats": (Window(5),),
        "tasking": (Window(40), Window(300, 60.0)),
        "data": (Window(10),),
        "data.activate": (Window(5),),
        "data.download": (Window(15),),
        "destinations": (Window(3),),
        # No limit is documented for these: a modest guess.
        "features": (Window(5),),
        "basemaps": (Window(5),),
        "quota": (Window(5),),
        "subscriptions": (Window(5),),
        "reports": (Window(2),),
    }
)
"""The rate limits of one key: https://docs.planet.com/develop/apis/rate-limiting/"""

MACHINE = "machine"
"""The value of `Config.shared` for all programs of this user on this machine."""

ClientCert = str | tuple[str, str] | tuple[str, str, str]
"""The path of a PEM file; or of certificate and key; or these and the password of the key."""


@frozen
class Schedule:
    """How often to poll something unfinished.

    After `first` seconds, then after `factor` times as long each time, never longer than `longest` seconds.
    """

    first: float = field(default=2.0, validator=_positive)
    factor: float = field(default=1.5, validator=_at_least_1)
    longest: float = field(default=30.0, validator=_positive)

    def pause(self, polls: int) -> float:
        """Return the seconds to wait after that many polls."""
        return float(min(self.longest, self.first * self.factor ** min(polls - 1, 64)))


_schedule = _must("a Schedule", lambda value: isinstance(value, Schedule))
_PROXY_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:  # its text may hold a part of a password
        return urlsplit("")
    return parts


def _base_url_of_env() -> str:
    return os.environ.get("PL_BASE_URL") or "https://api.planet.com"


def _base_url(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"the base URL must be text, not {value!r}")
    parts = _split(value)
    if parts.username or parts.password or parts.query or "@" in value:
        raise InvalidRequest("the base URL must hold no credential and no query")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidRequest(f"the base URL must look like https://api.planet.com, not {value!r}")
    return value.rstrip("/")


def _check_proxy(_: object, _attribute: "Attribute[str | None]", value: object) -> None:
    if value is None:
        return
    text = value if isinstance(value, str) and value.isprintable() and " " not in value else ""
    parts = _split(text)
    # A raw "/", "?" or "#" in a password would make the rest of it look like a path, which is shown.
    rest = parts.path + parts.query + parts.fragment
    if parts.scheme not in _PROXY_SCHEMES or not parts.hostname or rest not in {"", "/"}:
        raise InvalidRequest(
            "proxy must look like http://proxy.example.com:3128 or socks5://user:password@host:1080",
            hint="Its scheme is http, https, socks5 or socks5h; special characters in the user name and "
            "the password are percent-encoded.",
        )


def _shared_of_env() -> str | None:
    value = os.environ.get("PL_SHARED", "").strip()
    return None if value.lower() == "none" else value or MACHINE


def _check_shared(_: object, _attribute: "Attribute[str | None]", value: object) -> None:
    is_address = isinstance(value, str) and value.startswith(("postgresql://", "postgres://"))
    if value is not None and value != MACHINE and not is_address:
        raise InvalidRequest(  # the value may hold a password, and is not shown
            f'shared must be "{MACHINE}", an address like postgresql://host/database, or None',
            hint='By default it is PL_SHARED of the environment, where "none" stands for None.',
        )


def _shown_shared(value: str | None) -> str:
    return repr(value if value is None or value == MACHINE else database_without_secrets(value))


def _ca_file(value: object) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | Path):
        raise InvalidRequest(f"ca_file must be the path of a file, not {value!r}")
    _check_file("ca_file", Path(value))
    return Path(value)


def _check_client_cert(_: object, attribute: "Attribute[ClientCert | None]", value: object) -> None:
    match value:
        case None:
            return
        case str(certificate):
            paths = [certificate]
        case (str(certificate), str(key)) | (str(certificate), str(key), str()):
            paths = [certificate, key]
        case _:  # it may hold a password, and is not shown
            raise InvalidRequest(
                "client_cert must be a path, (certificate, key), or (certificate, key, password)",
                hint="Each of them is text.",
            )
    for path in paths:
        _check_file(attribute.name, Path(path))


def _check_file(name: str, path: Path) -> None:
    try:
        is_file = path.exists() and not path.is_dir()
    except (OSError, ValueError):
        is_file = False
    if not is_file:
        raise InvalidRequest(f"{name}: there is no file {str(path)!r}")


def _shown_cert(value: ClientCert | None) -> str:
    return repr((*value[:2], "...") if isinstance(value, tuple) and value[2:] else value)


def _shown_proxy(value: str | None) -> str:
    return repr(value and without_query(value))


def _rates(value: Mapping[str, Iterable[Window]]) -> Rates:
    try:
        # A dict, since a MappingProxyType can be neither pickled nor copied.
        rates = {name: tuple(windows) for name, windows in value.items()}
    except (AttributeError, TypeError):
        rates = None
    if rates is None or not all(isinstance(window, Window) for line in rates.values() for window in line):
        raise InvalidRequest(
            "rates must map the names of operations to tuples of Window",
            hint='Like this: rates={"orders.create": (Window(3),)}',
        )
    return rates


@frozen(kw_only=True)
class Config:
    """The settings of a client; times are in seconds.

        Config(read_timeout=120, proxy="http://proxy.example.com:3128", ca_file="company.pem")

    Args:
        base_url: Where the API is. By default `PL_BASE_URL` of the environment, or else
            https://api.planet.com.
        connect_timeout: How long making a connection may take, TLS included.
        read_timeout: How long nothing may arrive before a response counts as lost. The head of a response
            may take twice as long in all.
        proxy: The URL of an HTTP, HTTPS or SOCKS5 proxy for all requests, instead of those of the
            environment: ``"http://user:password@proxy.example.com:3128"``. User and password are never shown.
        ca_file: A PEM file with certificate authorities to trust besides those of the system, such as a
            company's.
        client_cert: The certificate to identify with (mTLS): the path of a PEM file that holds certificate
            and key, or ``(certificate, key)``, or ``(certificate, key, password of the key)``. The password
            is never shown.
        trust_env: Whether `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and
            `SSL_CERT_DIR` of the environment count.
        max_connections: How many requests of the API may be with the server at once; more wait in a queue.
        max_downloads: How many streamed bodies, of downloads and of `open()`, may be open at once. They are
            counted apart from `max_connections`, so that `get` and `create` go through at once while files
            arrive.
        max_body_bytes: How long the body of a response may be, decompressed. The body may also become at most
            a hundred times as long by decompression, beyond 4 MiB. Downloads and CSV are not limited.
        max_attempts: How often a request may be sent in all, whatever it failed with, 429 included; 1 means
            that nothing is sent again. The default outlasts half a minute of trouble on average, and the 429s
            that several processes with one key cause each other. A create whose response was lost is sent
            again, once it was looked up and not found, while fewer attempts than this have failed; a download
            continues while fewer in a row have brought no new byte. Not counted are redirects, a new access
            token after a 401, a new link for an expired one, and polling.
        first_backoff: The longest pause before the second attempt; it doubles with each further one.
        longest_backoff: The longest pause between two attempts, unless the server asks for more.
        retry_for: How long after its first failure a request may still be sent again, however long it was
            queued before.
        deadline: How long a request may take in all: queued, at every attempt, and in the pauses between
            them. The body of a download is not part of it. None: no limit.
        consistency_delay: How long a resource may be missing from the service's lists after it was created.
            A create whose response was lost is sent again only when the lists have not shown it for so long.
        rates: How many requests may be sent: the windows of an operation (``"orders.create"``), or of all
            operations of an API (``"orders"``) that have none of their own. ``{}`` lifts all limits.
        shared: Who keeps to the rates together, and never takes one create for another: ``"machine"``, all
            programs of this user on this machine; ``"postgresql://user:password@host/database"``, all that
            use that database, on any machines (extra ``[shared]``); None, the clients of an event loop only.
            By default `PL_SHARED` of the environment, where "none" stands for None, or else "machine". Other
            clocks, credentials that are objects of other libraries, and transports that are not derived from
            one of this package keep to the event loop. Programs with other `rates` have a rate of their own.
        durable: Whether what a job has reported, its files and its ledger, outlasts a power failure. False
            spares waiting for the disk.
        schedule: How often to poll what takes minutes, such as orders.
        tasking_schedule: How often to poll tasking orders, which take days.

    Raises:
        InvalidRequest: a value makes no sense, or names a file that does not exist.
    """

    base_url: str = field(factory=_base_url_of_env, converter=_base_url)
    connect_timeout: float = field(default=10.0, validator=_positive)
    read_timeout: float = field(default=60.0, validator=_positive)
    proxy: str | None = field(default=None, validator=_check_proxy, repr=_shown_proxy)
    ca_file: Path | None = field(default=None, converter=_ca_file)
    client_cert: ClientCert | None = field(default=None, validator=_check_client_cert, repr=_shown_cert)
    trust_env: bool = field(default=True, validator=_boolean)
    max_connections: int = field(default=16, validator=_count)
    max_downloads: int = field(default=16, validator=_count)
    max_body_bytes: int = field(default=64 << 20, validator=_count)
    max_attempts: int = field(default=8, validator=_count_or_infinite)
    first_backoff: float = field(default=0.5, validator=_positive)
    longest_backoff: float = field(default=30.0, validator=_positive)
    retry_for: float = field(default=300.0, validator=_positive)
    deadline: float | None = field(default=None, validator=optional(_positive))
    consistency_delay: float = field(default=30.0, validator=_positive)
    rates: Rates = field(default=DOCUMENTED_RATES, converter=_rates)
    shared: str | None = field(factory=_shared_of_env, validator=_check_shared, repr=_shown_shared)
    durable: bool = field(default=True, validator=_boolean)
    schedule: Schedule = field(default=Schedule(), validator=_schedule)
    tasking_schedule: Schedule = field(
        default=Schedule(first=60.0, factor=1.5, longest=900.0), validator=_schedule
    )


class Options(TypedDict, total=False):
    """The fields of `Config` that can differ from call to call: see `Planet.with_options`."""

    max_body_bytes: int
    max_attempts: int
    first_backoff: float
    longest_backoff: float
    retry_for: float
    deadline: float | None
    consistency_delay: float
    schedule: Schedule
    tasking_schedule: Schedule
