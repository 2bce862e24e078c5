"""Whatever is passed to a public method: a result or a PlanetError, and never another error."""

import inspect
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from planet_async import (
    ApiKey,
    Config,
    InvalidRequest,
    OrderResult,
    Orders,
    Planet,
    PlanetError,
    Reports,
    Request,
    Response,
    Subscriptions,
    Tasking,
)
from planet_async.testing import FakeClock

pytestmark = pytest.mark.anyio

ID = "00000000-0000-4000-8000-000000000000"
POLYGON = {"type": "Polygon", "coordinates": [[[7.0, 46.5], [7.1, 46.5], [7.1, 46.6], [7.0, 46.5]]]}
POINT = {"type": "Point", "coordinates": [149.44135, 28.4924]}
ORDER = {"name": "x", "products": [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual"}]}
SUBSCRIPTION = {
    "name": "x",
    "source": {
        "type": "soil_water_content",
        "parameters": {"id": "a", "geometry": POLYGON, "start_time": "2026-01-01T00:00:00Z"},
    },
}
TASKING = {"name": "x", "geometry": POINT}
WINDOWS = {"geometry": POINT, "pl_number": "PL-1", "product": "Assured Tasking"}
ARGUMENTS: dict[str, Any] = {
    "order_id": ID,
    "subscription_id": ID,
    "bulk_id": ID,
    "window_id": ID,
    "capture_id": ID,
    "report_id": "7",
    "report": "7",
    "order": ID,
    "order_ids": [ID],
    "subscription_ids": [ID],
    "status": "running",
    "changes": {"name": "y"},
    "result": OrderResult("a", location="https://api.planet.com/x"),
}
REQUESTS: dict[str, dict[str, Any]] = {
    "orders.create": {"request": ORDER},
    "orders.run": {"requests": [ORDER]},
    "subscriptions.create": {"request": SUBSCRIPTION},
    "subscriptions.create_bulk": {"requests": [SUBSCRIPTION]},
    "subscriptions.update": {"request": SUBSCRIPTION},
    "tasking.create": {"request": TASKING},
    "tasking.create_bulk": {"orders": [TASKING]},
    "tasking.preview_pricing": {"order": TASKING},
    "tasking.preview_pricing_many": {"orders": [TASKING]},
    "tasking.search_imaging_windows": {"request": WINDOWS},
}


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __hash__ = None  # type: ignore[assignment]


EAST, WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))
AWARE, NAIVE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2)  # noqa: DTZ001 - that is the point
MIXED: tuple[Any, ...] = (
    *((NAIVE, AWARE), (AWARE, NAIVE), ("2026-01-01T00:00:00Z", None), (AWARE, "x"), (AWARE,), (1, 2)),
    *(NAIVE, date(2026, 1, 1), datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)),
    *(datetime.max.replace(tzinfo=WEST), datetime.min.replace(tzinfo=EAST)),
)
PLAIN: tuple[Any, ...] = (
    *(
        object(),
        Incomparable(),
        type,
        len,
        5.5,
        math.nan,
        math.inf,
        -1,
        0,
        10**30,
        10**5000,
        -(10**5000),
        True,
        1j,
        b"x",
        bytearray(b"x"),
    ),
    *(
        "",
        "x",
        "\0",
        "\ud800",
        "../x",
        "x" * 10_000,
        "2026-01-01T00:00:00",
        "2026-02-01T00:00Z/2026-01-01T00:00Z",
    ),
    *(
        [],
        (),
        {},
        set(),
        [None],
        [object()],
        {"a": object()},
        {1: 2},
        [[]],
        range(3),
        ["\ud800"],
        {"\ud800": 1},
    ),
    *(
        None,
        Path("\0"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("1.5"),
        Fraction(1, 3),
        np.int64(2),
        np.float64("nan"),
    ),
    *(np.array([1, 2]), np.array(1), np.bool_(True), np.datetime64("2026-01-01"), SimpleNamespace(id=5)),
)
JUNK: list[Callable[[], Any]] = [
    *(lambda value=value: value for value in (*PLAIN, *MIXED)),
    *(lambda: iter([1]), lambda: (each for each in ["x", object()])),
]


class Refuses:
    """A server that has nothing, and counts the requests."""

    def __init__(self) -> None:
        self.requests = 0

    async def send(self, request: Request) -> Response:
        self.requests += 1
        return Response(404, body=b"{}")

    async def aclose(self) -> None:
        pass


async def used(found: Any) -> None:
    """Await, iterate or open what a method returns."""
    if inspect.isawaitable(found):
        found = await found
    if isinstance(found, AbstractAsyncContextManager):
        async with found:
            return
    if isinstance(found, AsyncIterator):
        async for _ in found:
            pass
    elif hasattr(found, "collect"):
        await found.collect()


def parameters(method: Any) -> Iterator[str]:
    """Yield the names of all parameters, those of declared filters among them."""
    hints = get_type_hints(method)
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            (declared,) = get_args(hints[name])
            yield from get_type_hints(declared)
        elif name != "self":
            yield name


SERVICES = {"orders": Orders, "subscriptions": Subscriptions, "tasking": Tasking, "reports": Reports}
CASES = [
    (f"{service}.{name}", parameter)
    for service, cls in SERVICES.items()
    for name, method in inspect.getmembers(cls, inspect.isfunction)
    if not name.startswith("_")
    for parameter in parameters(method)
]


@pytest.mark.no_cover
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(("name", "parameter"), CASES)
async def test_only_planet_errors(
    name: str, parameter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every public method, every parameter: junk in one of them, and what is right in the others."""
    monkeypatch.chdir(tmp_path)  # some junk is the name of a file
    service, _, method = name.partition(".")
    needed = {
        each: REQUESTS.get(name, {}).get(each, ARGUMENTS.get(each, tmp_path))
        for each, declared in inspect.signature(getattr(SERVICES[service], method)).parameters.items()
        if declared.default is declared.empty and declared.kind is not declared.VAR_KEYWORD and each != "self"
    }
    server = Refuses()
    config = Config(max_attempts=1, rates={})
    planet = Planet(config, credentials=ApiKey("any"), transport=server, clock=FakeClock())
    call = getattr(getattr(planet, service), method)
    for number, make in enumerate(JUNK):
        server.requests = 0
        junk = make()
        try:
            await used(call(**{**needed, parameter: junk}))
        except InvalidRequest:
            assert not server.requests, (junk, "was sent")
        except PlanetError:
            pass
        except BaseException as error:
            raise AssertionError(f"{type(junk)}, the {number}th") from error
