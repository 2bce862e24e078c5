"""Faults on demand: what can go wrong between a client and a server, and when it does."""

import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal, Self

from attrs import define, field, frozen, validators

from planet_async.config import Window
from planet_async.http import NO_HEADERS
from planet_async.simulator.http import Dropped, Hung, ServerRequest, ServerResponse, message
from planet_async.simulator.world import after, seconds_between


@frozen(kw_only=True)
class Fault:
    """Something that goes wrong with the requests it fits.

    Which requests: `operation` (``"orders.get"``, ``"storage.get"``), `method`, `path` (``*`` stands for
    anything) and `when`, all of those that are given; the first `times` of them, or all; and of these a share
    of `probability`, drawn with the simulator's seed.

    What happens, first `delay` seconds of the simulator's clock, then one of: the connection is `refused`,
    or dropped (`drop`), or stays silent (`hang`), or `status`, `headers` and `body` are answered.  With
    `after` the request has been acted on before it happens, else it has not.  Without a `status` the real
    answer comes, with `headers` added and `body` in the place of its own; `cut` breaks an answer off after
    that many bytes of the body.

        simulator.faults.add(Fault(operation="orders.create", drop=True, after=True, times=1))
        simulator.faults.add(Fault(status=503, headers={"retry-after": "2"}, probability=0.1))
        simulator.faults.add(Fault(operation="orders.get", body=b"<html>"))
        simulator.faults.add(Fault(operation="storage.get", cut=1000, times=3))
    """

    operation: str | None = None
    method: str | None = None
    path: str | None = None
    when: Callable[[ServerRequest], bool] | None = None
    times: int | None = field(default=None, validator=validators.optional(validators.ge(1)))
    probability: float = field(default=1.0, validator=[validators.ge(0.0), validators.le(1.0)])

    after: bool = False
    delay: float = field(default=0.0, validator=validators.ge(0.0))
    refused: bool = False
    drop: bool = False
    hang: bool = False
    status: int | None = None
    headers: Mapping[str, str] = NO_HEADERS
    body: bytes | None = None
    cut: int | None = field(default=None, validator=validators.optional(validators.ge(0)))

    def fits(self, call: ServerRequest) -> bool:
        """Tell whether this fault is meant for the call."""
        return (
            self.operation in {None, call.operation}
            and self.method in {None, call.method}
            and (self.path is None or fnmatchcase(call.path, self.path))
            and (self.when is None or self.when(call))
        )

    @property
    def acts(self) -> bool:
        """Whether the server does what was asked."""
        return self.after or not (self.refused or self.drop or self.hang or self.status is not None)

    def apply(self, answer: ServerResponse | None) -> ServerResponse:
        """Give what is answered instead; raises Dropped or Hung where nothing is."""
        if self.refused or self.drop:
            raise Dropped(refused=self.refused)
        if self.hang:
            raise Hung
        if answer is None or self.status is not None:
            answer = ServerResponse(self.status or 500)
        answer.headers.update((name.lower(), value) for name, value in self.headers.items())
        if self.body is not None:
            answer.body = self.body
        answer.cut = self.cut
        return answer


@define
class _Entry:
    fault: Fault
    left: int | None


class Faults:
    """The faults in force, in the order added: the first that fits a request happens to it."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable is what it has to be
        self._entries: list[_Entry] = []

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        self._entries.append(_Entry(fault, fault.times))

    def clear(self) -> None:
        """Make everything work again."""
        self._entries.clear()

    def take(self, call: ServerRequest) -> Fault | None:
        """Give the fault that happens to this call, and count it."""
        for entry in self._entries:
            fault = entry.fault
            if not fault.fits(call) or (fault.probability < 1 and self._random.random() >= fault.probability):
                continue
            if entry.left is not None:
                entry.left -= 1
                if entry.left == 0:
                    self._entries.remove(entry)
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
        "tasking": (Window(40), Window(300, 60.0)),
    }
)


@frozen
class Limits:
    """How many requests of each operation pass: a number in any second, or windows that must all have room.

    An operation without a rate has that of its API, as all of Tasking together; else it has no limit.

    What is above the limit gets a 429 with either the ``Retry-After`` header (`hint="header"`) or the text
    ``max rate reached: retry-in 200ms`` (`hint="body"`).  The rates are those documented.

        Simulator(limits=Limits({"orders": 3, "tasking": (Window(40), Window(300, 60.0))}))
        Simulator(limits=Limits.unlimited())
    """

    rates: Mapping[str, Rate] = DOCUMENTED
    hint: Literal["header", "body"] = "header"

    @classmethod
    def unlimited(cls) -> Self:
        """Let everything pass."""
        return cls({})


class Gate:
    """Applies `Limits`, by windows that slide with the simulator's time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._passed = {name: _windows(rate) for name, rate in limits.rates.items()}

    def check(self, operation: str, now: int) -> ServerResponse | None:
        """Note the request and give None, or the 429."""
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
        answer = message(429, "Rate limit exceeded")
        answer.headers["retry-after"] = str(math.ceil(wait))
        return answer


def _windows(rate: Rate) -> list[tuple[float, deque[int]]]:
    windows = (Window(rate),) if isinstance(rate, int) else rate
    return [(window.seconds, deque(maxlen=window.limit)) for window in windows]
