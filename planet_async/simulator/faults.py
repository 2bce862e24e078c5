"""Faults on demand, and rate limits."""

import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal, Self

from attrs import evolve, field, frozen, validators

from planet_async.config import Window
from planet_async.http import NO_HEADERS
from planet_async.simulator.context import after, seconds_between
from planet_async.simulator.http import Dropped, Hung, ServerRequest, ServerResponse, message


@frozen(kw_only=True)
class Fault:
    """A failure of the requests that it matches.

    It matches requests by `operation`, `method`, `path` and `when`, all of those that are set: the first
    `times` of them, or all; and of these a share of `probability`, drawn with the simulator's seed.

    After `delay` seconds of the simulator's clock one thing happens: the connection is `refused`, or dropped
    (`drop`), or stays silent (`hang`), or `status`, `headers` and `body` are sent.  Without a `status` the
    real response is sent, with `headers` added and its body replaced by `body`.

        simulator.faults.add(Fault(operation="orders.create", drop=True, after=True, times=1))
        simulator.faults.add(Fault(status=503, headers={"retry-after": "2"}, probability=0.1))
        simulator.faults.add(Fault(operation="orders.get", body=b"<html>"))
        simulator.faults.add(Fault(operation="storage.get", cut=1000, times=3))
        simulator.faults.add(Fault(operation="orders.create", status=504, acts_after=11.0, times=1))

    Args:
        operation: For example ``"orders.get"`` or ``"storage.get"``.
        path: A pattern, in which ``*`` stands for anything.
        when: Decides by the request.
        after: The server acts on the request before the fault happens; else it does not.
        acts_after: The server acts on the request after all, that many seconds after the fault.
        cut: Break the connection after that many bytes of the body.
        bytes_per_second: Send the body that slowly.
    """

    operation: str | None = None
    method: str | None = None
    path: str | None = None
    when: Callable[[ServerRequest], bool] | None = None
    times: int | None = field(default=None, validator=validators.optional(validators.ge(1)))
    probability: float = field(default=1.0, validator=[validators.ge(0.0), validators.le(1.0)])

    after: bool = False
    acts_after: float | None = field(default=None, validator=validators.optional(validators.ge(0.0)))
    delay: float = field(default=0.0, validator=validators.ge(0.0))
    refused: bool = False
    drop: bool = False
    hang: bool = False
    status: int | None = field(
        default=None, validator=validators.optional([validators.ge(200), validators.le(599)])
    )
    headers: Mapping[str, str] = NO_HEADERS
    body: bytes | None = None
    cut: int | None = field(default=None, validator=validators.optional(validators.ge(0)))
    bytes_per_second: float | None = field(default=None, validator=validators.optional(validators.gt(0.0)))

    def matches(self, request: ServerRequest) -> bool:
        """Return whether this fault is meant for the request."""
        return (
            self.operation in {None, request.operation}
            and self.method in {None, request.method}
            and (self.path is None or fnmatchcase(request.path, self.path))
            and (self.when is None or self.when(request))
        )

    @property
    def acts(self) -> bool:
        """Return whether the server carries the request out."""
        return self.after or not (self.refused or self.drop or self.hang or self.status is not None)

    def apply(self, response: ServerResponse | None) -> ServerResponse:
        """Return what is sent instead of the response; raise Dropped or Hung where nothing is."""
        if self.refused or self.drop:
            raise Dropped(refused=self.refused)
        if self.hang:
            raise Hung
        if response is None or self.status is not None:
            response = ServerResponse(self.status or 500)
        response.headers.update((name.lower(), value) for name, value in self.headers.items())
        if self.body is not None:
            response.body, response.start, response.stop = self.body, 0, None
        response.cut, response.bytes_per_second = self.cut, self.bytes_per_second
        return response


class Faults:
    """The faults in force, in the order added: the first that matches a request happens to it."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - it has to be repeatable
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def take(self, request: ServerRequest) -> Fault | None:
        """Return the fault that happens to this request, and count it."""
        for place, fault in enumerate(self._faults):
            if not fault.matches(request):
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            if fault.times is not None:
                left = evolve(fault, times=fault.times - 1) if fault.times > 1 else None
                self._faults[place : place + 1] = [] if left is None else [left]
            return fault
        return None


Rate = int | tuple[Window, ...]
DOCUMENTED: Mapping[str, Rate] = MappingProxyType(
    {
        "orders.create": 3,
        "orders.cancel": 3,
        "orders.get": 3,
        "orders.list": 3,
        "orders.download": 5,
        "orders.cancel_many": 5,
        "orders.stats": 5,
        "orders.spec": 10,
        "destinations": 3,
        "data": 10,  # [M], as the next two
        "data.activate": 5,
        "data.download": 15,
        "tasking": (Window(40), Window(300, 60.0)),
    }
)


@frozen
class Limits:
    """How many requests are allowed, by operation: a number in any second, or several windows.

    An operation without a rate has that of its API, shared by all such operations of it; else no limit.
    The default rates are those documented.

        Simulator(limits=Limits({"orders": 3, "tasking": (Window(40), Window(300, 60.0))}))
        Simulator(limits=Limits.unlimited())

    Args:
        rates: The rates by operation or API.
        hint: Where a 429 says how long to wait: in the ``Retry-After`` header, or in a body
            ``max rate reached: retry-in 200ms``.
    """

    rates: Mapping[str, Rate] = DOCUMENTED
    hint: Literal["header", "body"] = "header"

    @classmethod
    def unlimited(cls) -> Self:
        """Return limits that allow everything."""
        return cls({})


class Gate:
    """Applies `Limits`, by windows that slide with the simulator's time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._passed = {name: _windows(rate) for name, rate in limits.rates.items()}

    def check(self, operation: str, now: int) -> ServerResponse | None:
        """Count the request and return None, or the 429."""
        windows = self._passed.get(operation)
        if windows is None:
            windows = self._passed.get(operation.partition(".")[0], [])
        full = (after(passed[0], seconds) for seconds, passed in windows if len(passed) == passed.maxlen)
        if (wait := seconds_between(now, max(full, default=now))) > 0:
            return self._too_many(wait)
        for _, passed in windows:
            passed.append(now)  # a refused request does not count [L]
        return None

    def _too_many(self, wait: float) -> ServerResponse:
        if self._limits.hint == "body":
            text = f"max rate reached: retry-in {math.ceil(wait * 1000)}ms"
            return ServerResponse(429, {"content-type": "text/plain"}, text.encode())
        response = message(429, "Rate limit exceeded")
        response.headers["retry-after"] = str(math.ceil(wait))
        return response


def _windows(rate: Rate) -> list[tuple[float, deque[int]]]:
    windows = (Window(rate),) if isinstance(rate, int) else rate
    return [(window.seconds, deque(maxlen=window.limit)) for window in windows]
