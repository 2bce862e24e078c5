"""`Config`: every knob in one frozen record."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Self
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen, validators

from planet_async.errors import InvalidRequest

_POSITIVE = validators.gt(0)


@frozen
class Window:
    """A rate: at most `limit` requests in any `seconds`."""

    limit: int = field(validator=_POSITIVE)
    seconds: float = field(default=1.0, validator=_POSITIVE)


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
    """How often to look at something unfinished: after `first` seconds, then `factor` times as long each time.

    No pause is longer than `longest` seconds.
    """

    first: float = field(default=2.0, validator=_POSITIVE)
    factor: float = field(default=1.5, validator=validators.ge(1))
    longest: float = field(default=30.0, validator=_POSITIVE)

    def pause(self, looks: int) -> float:
        """Give the seconds to wait after that many looks."""
        return float(min(self.longest, self.first * self.factor ** min(looks - 1, 64)))


def _base_url(value: str) -> str:
    return value.rstrip("/")


@frozen(kw_only=True)
class Config:
    """How a client behaves; times are seconds.

    `deadline` bounds one call with all its retries and waiting for its turn; `read_timeout` is how long nothing
    may arrive.  `rates` holds the windows of an operation (``"orders.create"``) or of a whole API
    (``"orders"``, for its operations that have none); ``{}`` lifts all limits.

        Config(read_timeout=120, max_connections=32)
    """

    base_url: str = field(default="https://api.planet.com", converter=_base_url)
    connect_timeout: float = field(default=10.0, validator=_POSITIVE)
    read_timeout: float = field(default=60.0, validator=_POSITIVE)
    max_connections: int = field(default=16, validator=_POSITIVE)
    max_attempts: int = field(default=6, validator=_POSITIVE)
    first_backoff: float = field(default=0.5, validator=_POSITIVE)
    longest_backoff: float = field(default=30.0, validator=_POSITIVE)
    deadline: float = field(default=300.0, validator=_POSITIVE)
    rates: Rates = DOCUMENTED_RATES
    schedule: Schedule = Schedule()

    @base_url.validator
    def _check_base_url(self, _: "Attribute[str]", value: str) -> None:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidRequest(f"the base URL must look like https://api.planet.com, not {value!r}")
        if parts.username or parts.password or parts.query:
            raise InvalidRequest("the base URL must hold no credential and no query")

    @classmethod
    def from_env(cls) -> Self:
        """Take the defaults, with `PL_BASE_URL` from the environment where it is set."""
        base_url = os.environ.get("PL_BASE_URL")
        return cls(base_url=base_url) if base_url else cls()
