"""`Budget`: what one credential may do: lines to wait in, and retries in store.

All clients of one credential in one event loop share it, for the service counts by credential.
"""

from collections.abc import Hashable
from weakref import WeakValueDictionary

from anyio.lowlevel import RunVar

from planet_async._loops import PerLoop
from planet_async.clock import Clock
from planet_async.config import Config, Rates
from planet_async.credentials import Credentials
from planet_async.http import Request, origin
from planet_async.layers.line import Line

_ALLOWANCE = 20.0  # retries that an origin has in store at first, and at most
_EARNED = 0.1  # retries that each answered request adds: a sick service gets a tenth more load, not six times


class Budget:
    """The lines and the retries of one credential."""

    def __init__(self, rates: Rates, clock: Clock) -> None:
        self._lines = {name: Line(windows, clock) for name, windows in rates.items() if windows}
        self._retries: dict[tuple[str, str, int], float] = {}

    def line(self, operation: str) -> Line | None:
        """Give the line of an operation, or that of its API; None where it need not wait."""
        return self._lines.get(operation) or self._lines.get(operation.partition(".")[0])

    def spend_retry(self, request: Request) -> bool:
        """Take one retry from those of the request's origin, unless they are used up."""
        left = self._retries.get(origin(request.url), _ALLOWANCE)
        if left < 1:
            return False
        self._retries[origin(request.url)] = left - 1
        return True

    def earn_retry(self, request: Request) -> None:
        """Add a part of a retry to those of the request's origin, which has answered."""
        key = origin(request.url)
        self._retries[key] = min(_ALLOWANCE, self._retries.get(key, _ALLOWANCE) + _EARNED)


class SharedBudget:
    """The way to the budget that a client shares with others: equal credential, address, rates and clock.

    It is found, or made, by the event loop in which it is first asked for, since a client may be made before
    there is one; it is forgotten with its last client.
    """

    def __init__(self, credentials: Credentials, config: Config, clock: Clock) -> None:
        self._rates = config.rates
        self._clock = clock
        rates = frozenset((name, tuple(windows)) for name, windows in config.rates.items())
        self._key = _Key(_hashable(credentials), origin(config.base_url), rates, _hashable(clock))
        self._budgets = PerLoop(self._found)

    def here(self) -> Budget:
        """Return the budget of the running event loop."""
        return self._budgets.here()

    def _found(self) -> Budget:
        budgets = _budgets.get(None)
        if budgets is None:
            _budgets.set(budgets := WeakValueDictionary())
        found = budgets.get(self._key)
        if found is None:
            found = budgets[self._key] = Budget(self._rates, self._clock)
        return found


class _Key:
    """Says whether two clients share; its `repr` shows none of what it holds."""

    def __init__(self, *parts: Hashable) -> None:
        self._parts = parts
        self._hash = hash(parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._parts == other._parts


class _Identity:
    """Stands for what cannot be hashed: equal only where it is the very same."""

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def __hash__(self) -> int:
        return id(self._thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self._thing is other._thing


def _hashable(thing: object) -> Hashable:
    try:
        hash(thing)
    except TypeError:
        return _Identity(thing)
    return thing


_budgets: RunVar["WeakValueDictionary[_Key, Budget]"] = RunVar("planet_async.budgets")
