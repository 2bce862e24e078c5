"""Rate limits: how many requests of an operation a second the simulator lets pass."""

import math
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Self

from attrs import frozen

from planet_async.simulator.exchange import Answer, message
from planet_async.simulator.times import after, seconds_between

_SECONDS = 1.0
DOCUMENTED: Mapping[str, int] = MappingProxyType(
    {
        "orders.create": 3,
        "orders.cancel": 3,
        "orders.get": 3,
        "orders.list": 3,
        "orders.download": 5,
        "orders.cancel_many": 5,
        "orders.stats": 5,
        "orders.spec": 10,
        "tasking": 40,
    }
)


@frozen
class Limits:
    """How many requests of each operation pass in any second.

    An operation without a rate has that of its API, as all of Tasking together; else it has no limit.

    What is above the limit gets a 429 with either the ``Retry-After`` header (`hint="header"`) or the text
    ``max rate reached: retry-in 200ms`` (`hint="body"`).  The rates are those documented.

        Simulator(limits=Limits.unlimited())
    """

    rates: Mapping[str, int] = DOCUMENTED
    hint: Literal["header", "body"] = "header"

    @classmethod
    def unlimited(cls) -> Self:
        """Let everything pass."""
        return cls({})


class Gate:
    """Applies `Limits`, by a window of one second that slides with the simulator's time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._passed = {name: deque[int](maxlen=count) for name, count in limits.rates.items()}

    def check(self, operation: str, now: int) -> Answer | None:
        """Note the request and give None, or the 429."""
        passed = self._passed.get(operation)
        if passed is None:
            passed = self._passed.get(operation.partition(".")[0])
        if passed is None:
            return None
        if len(passed) == passed.maxlen and (wait := seconds_between(now, after(passed[0], _SECONDS))) > 0:
            return self._too_many(wait)
        passed.append(now)  # a refused request does not count [L]
        return None

    def _too_many(self, wait: float) -> Answer:
        if self._limits.hint == "body":
            text = f"max rate reached: retry-in {math.ceil(wait * 1000)}ms"
            return Answer(429, {"content-type": "text/plain"}, text.encode())
        answer = message(429, "Rate limit exceeded")
        answer.headers["retry-after"] = str(math.ceil(wait))
        return answer
