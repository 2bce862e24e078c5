"""`Config`: every knob in one frozen record."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self, TypedDict
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen
from attrs.validators import optional

from planet_async.errors import InvalidRequest


def _positive(_: object, attribute: "Attribute[Any]", value: float) -> None:
    if not value > 0:
        raise InvalidRequest(f"{attribute.name} must be greater than 0, not {value}")


def _at_least_1(_: object, attribute: "Attribute[Any]", value: float) -> None:
    if not value >= 1:
        raise InvalidRequest(f"{attribute.name} must be at least 1, not {value}")


@frozen
class Window:
    """A rate: at most `limit` requests in any `seconds`."""

    limit: int = field(validator=_at_least_1)
    seconds: float = field(default=1.0, validator=_positive)


Rates = Mapping[str, tuple[Window, ...]]

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
        # No limit is documented for these two: a modest guess.
        "subscriptions": (Window(5),),
        "reports": (Window(2),),
    }
)
"""What the APIs allow one key: https://docs.planet.com/develop/apis/rate-limiting/"""


@frozen
class Schedule:
    """How often to look at something unfinished.

    After `first` seconds, then after `factor` times as long each time, never longer than `longest` seconds.
    """

    first: float = field(default=2.0, validator=_positive)
    factor: float = field(default=1.5, validator=_at_least_1)
    longest: float = field(default=30.0, validator=_positive)

    def pause(self, looks: int) -> float:
        """Give the seconds to wait after that many looks."""
        return float(min(self.longest, self.first * self.factor ** min(looks - 1, 64)))


def _base_url(value: str) -> str:
    return value.rstrip("/")


def _copy(rates: Rates) -> Rates:
    return {**rates}  # a dict can be pickled, and is not changed with the mapping that was given


def _base_url_of_env() -> str:
    return os.environ.get("PL_BASE_URL") or "https://api.planet.com"


@frozen(kw_only=True)
class Config:
    """How a client behaves; times are seconds.

    `base_url` is that of the environment (`PL_BASE_URL`) where it is set, whatever else is given here.
    `read_timeout` is how long nothing may arrive, twice of which the head of an answer may take, and
    `max_body_bytes` how long an answer may be, downloads and CSV apart.  `deadline` is how long a request may
    take in all: its turn in line, every try, the pauses between; the body of a download is no part of it.
    `retry_for` is how long after its first failure a request may still be tried again, however long it stood
    in line before.

    `rates` holds the windows of an operation (``"orders.create"``) or of a whole API (``"orders"``, for its
    operations that have none); ``{}`` lifts all limits.  A create whose answer was lost is sent again when
    the service has not listed it for `consistency_delay`.  `schedule` says how often to look at what takes
    minutes, `tasking_schedule` at tasking orders, which take days.

        Config(read_timeout=120, max_connections=32)
    """

    base_url: str = field(factory=_base_url_of_env, converter=_base_url)
    connect_timeout: float = field(default=10.0, validator=_positive)
    read_timeout: float = field(default=60.0, validator=_positive)
    max_connections: int = field(default=16, validator=_at_least_1)
    max_body_bytes: int = field(default=256 << 20, validator=_at_least_1)
    max_attempts: int = field(default=6, validator=_at_least_1)
    first_backoff: float = field(default=0.5, validator=_positive)
    longest_backoff: float = field(default=30.0, validator=_positive)
    retry_for: float = field(default=300.0, validator=_positive)
    deadline: float | None = field(default=None, validator=optional(_positive))
    consistency_delay: float = field(default=10.0, validator=_positive)
    rates: Rates = field(default=DOCUMENTED_RATES, converter=_copy)
    schedule: Schedule = Schedule()
    tasking_schedule: Schedule = Schedule(first=60.0, factor=1.5, longest=900.0)

    @base_url.validator
    def _check_base_url(self, _: "Attribute[str]", value: str) -> None:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidRequest(f"the base URL must look like https://api.planet.com, not {value!r}")
        if parts.username or parts.password or parts.query:
            raise InvalidRequest("the base URL must hold no credential and no query")

    @classmethod
    def from_env(cls) -> Self:
        """Take the defaults, with `PL_BASE_URL` from the environment where it is set; as `Config()` does."""
        return cls()


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
