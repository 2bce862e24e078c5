"""Rate limits: how many requests of an operation the simulator lets pass in its windows of time."""

import math
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Self

from attrs import frozen

from planet_async.config import Window
from planet_async.simulator.exchange import Answer, message
from planet_async.simulator.times import after, seconds_between

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

    def check(self, operation: str, now: int) -> Answer | None:
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

    def _too_many(self, wait: float) -> Answer:
        if self._limits.hint == "body":
            text = f"max rate reached: retry-in {math.ceil(wait * 1000)}ms"
            return Answer(429, {"content-type": "text/plain"}, text.encode())
        answer = message(429, "Rate limit exceeded")
        answer.headers["retry-after"] = str(math.ceil(wait))
        return answer


def _windows(rate: Rate) -> list[tuple[float, deque[int]]]:
    windows = (Window(rate),) if isinstance(rate, int) else rate
    return [(window.seconds, deque(maxlen=window.limit)) for window in windows]
