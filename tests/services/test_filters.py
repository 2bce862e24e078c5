"""Filters: each is declared once, and the services check and send it by its declaration."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, get_type_hints

import numpy as np
import pytest

from planet_async import (
    ApiKey,
    CaptureFilters,
    InvalidRequest,
    OrderFilters,
    Planet,
    ReportFilters,
    ResultFilters,
    SubscriptionFilters,
    TaskingFilters,
)
from planet_async.simulator import Limits, Simulator
from planet_async.testing import FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

ID = "00000000-0000-4000-8000-000000000000"
DECLARED: dict[str, type] = {
    "orders.list": OrderFilters,
    "subscriptions.list": SubscriptionFilters,
    "subscriptions.results": ResultFilters,
    "tasking.list": TaskingFilters,
    "tasking.list_captures": CaptureFilters,
    "reports.list": ReportFilters,
}
EMPTY = {"orders": [], "subscriptions": [], "results": [], "reports": [], "count": 0}
ORDER = {"products": [{"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual"}]}
TIME = datetime(2026, 1, 1, tzinfo=UTC)
VALUES: tuple[Any, ...] = (True, 7, TIME, "2026-01-01T00:00:00Z", "2026-05-01", ID, "word", {"type": "Point"})


@pytest.mark.parametrize("name", DECLARED)
async def test_every_declared_filter_is_sent_under_its_own_name(name: str) -> None:
    """Whatever the class declares is a parameter of the list, with a value that fits its type."""
    service, _, method = name.partition(".")
    transport = FakeTransport(lambda _: reply(json=EMPTY))
    planet = Planet(credentials=ApiKey("any"), transport=transport, clock=FakeClock())
    for filter_name in get_type_hints(DECLARED[name]):
        sent = 0
        for value in VALUES:
            arguments = (ID,) if method == "results" else ()
            try:
                listed = getattr(getattr(planet, service), method)(*arguments, **{filter_name: value})
            except InvalidRequest:
                continue
            await listed.collect()
            sent += filter_name in dict(transport.requests[-1].params)
        assert sent, filter_name


LISTS: tuple[tuple[str, str], ...] = (
    ("orders", "created_on"),
    ("subscriptions", "created"),
    ("tasking", "created_time__gt"),
)


def sent(service: str, name: str, value: object) -> str:
    """Return the text that a filter becomes."""
    transport = FakeTransport([])
    planet = Planet(credentials=ApiKey("any"), transport=transport, clock=FakeClock())
    listed = getattr(planet, service).list(**{name: value})
    return str(dict(listed._first.params)[name])


@pytest.mark.parametrize(("service", "name"), LISTS)
@pytest.mark.parametrize(
    "value",
    [
        TIME,
        "2026-01-01T00:00:00Z",
        str(TIME),
        "2026-01-01 00:00:00+00:00",
        "2026-01-01T02:00+02:00",
        "20260101T000000Z",
        "2026-W01-4T00:00:00Z",
        "2025-12-31 19:00:00-05:00",
        TIME.astimezone(timezone(timedelta(hours=9))),
    ],
)
def test_a_time_is_sent_as_rfc_3339(service: str, name: str, value: object) -> None:
    """The API reads nothing else: what only Python reads is rewritten, so `str(datetime)` will do."""
    assert sent(service, name, value) == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("service", ["orders", "subscriptions"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (f"{TIME}/..", "2026-01-01T00:00:00Z/.."),
        (f"../{TIME}", "../2026-01-01T00:00:00Z"),
        ((TIME, None), "2026-01-01T00:00:00Z/.."),
        ([None, TIME], "../2026-01-01T00:00:00Z"),
        (f"{TIME}/2026-02-01T01:00+01:00", "2026-01-01T00:00:00Z/2026-02-01T00:00:00Z"),
        ((TIME, TIME + timedelta(microseconds=5)), "2026-01-01T00:00:00Z/2026-01-01T00:00:00.000005Z"),
    ],
)
def test_an_interval_is_sent_as_rfc_3339(service: str, value: object, text: str) -> None:
    """As a text or as a pair: the ends are written as instants are."""
    assert sent(service, dict(LISTS)[service], value) == text


@pytest.mark.parametrize("service", ["orders", "subscriptions"])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("2026-02-01T00:00:00Z/2026-01-01T00:00:00Z", "ends before it starts"),
        ("2026-02-01 00:00:00+00:00/2026-02-01T00:00:00+01:00", "ends before it starts"),
        ((TIME, TIME - timedelta(seconds=1)), "ends before it starts"),
        ((datetime(2026, 1, 1), TIME), "with its zone"),  # noqa: DTZ001 - that is the point
        ((TIME, datetime(2026, 1, 2)), "with its zone"),  # noqa: DTZ001
        (("2026-01-01T00:00:00Z", None), "expected a time or a pair"),
        ((None, "2026-01-01T00:00:00Z"), "expected a time or a pair"),
        ((TIME, "2026-02-01T00:00:00Z"), "expected a time or a pair"),
        ((date(2026, 1, 1), TIME), "expected a time or a pair"),
        ((TIME, 5), "expected a time or a pair"),
        ((TIME,), "expected a time or a pair"),
        ((TIME, None, TIME), "expected a time or a pair"),
        ({TIME, None}, "expected a time or a pair"),
        (date(2026, 1, 1), "expected a time or a pair"),
        (1767225600, "expected a time or a pair"),
        ("2026-01-01", "with its zone"),
        ("2026-01-01/..", "with its zone"),
        ("2026-01-01T00:00:00Z/", "expected a time like"),
        ("2026-01-01T00:00:00Z/2026-02-01T00:00:00Z/..", "no interval"),
        ("../..", "no interval"),
        ("now", "expected a time like"),
        ("", "expected a time like"),
        (datetime.max.replace(tzinfo=timezone(-timedelta(hours=9))), "beyond the years"),
    ],
)
def test_a_time_that_cannot_be_right_is_refused(service: str, value: object, says: str) -> None:
    """An InvalidRequest that names the filter, whatever came: never an error of Python's."""
    name = dict(LISTS)[service]
    with pytest.raises(InvalidRequest, match=f"{name}: .*{says}"):
        sent(service, name, value)


@pytest.mark.parametrize("number", [5, np.int64(5), np.uint8(5), np.array(5)])
async def test_a_number_may_be_of_any_type_of_whole_numbers(number: Any) -> None:
    """Such as those that numpy and pandas hold, wherever a number is taken."""
    transport = FakeTransport(lambda _: reply(json=EMPTY))
    planet = Planet(credentials=ApiKey("any"), transport=transport, clock=FakeClock())
    await planet.orders.list(page_size=number, user_id=number).collect(limit=number)
    await planet.subscriptions.list(page_size=number).collect()
    await planet.subscriptions.results(ID, page_size=number).collect()
    await planet.tasking.list(page_size=number, offset=number, concurrency=number).collect()
    await planet.tasking.list(filters={"rank": number, "rank__in": [number]}).collect()
    await planet.reports.list(org_id=number, page_size=number, after=number, offset=number).collect()
    params = [text for request in transport.requests for name, text in request.params if name != "ordering"]
    assert {text for text in params if text != "all"} == {"5"}


@pytest.mark.parametrize("number", [0, -1, math.nan, math.inf, 5.0, np.float64(5), "5", True, Decimal(5), []])
def test_what_is_no_size_of_a_page_is_refused(number: Any) -> None:
    """Nothing is rounded, or taken for a number that is none."""
    planet = Planet(credentials=ApiKey("any"), transport=FakeTransport([]), clock=FakeClock())
    for service in (planet.orders, planet.subscriptions, planet.tasking, planet.reports):
        with pytest.raises(InvalidRequest, match="page_size must be"):
            service.list(page_size=number)


@pytest.mark.parametrize("timeout", [-1, math.nan, -math.inf, "5", True, 1j, [], np.float64("nan")])
async def test_what_is_no_timeout_is_refused(timeout: Any) -> None:
    """By every wait, and nothing is sent."""
    transport = FakeTransport([])
    planet = Planet(credentials=ApiKey("any"), transport=transport, clock=FakeClock())
    for call in (
        lambda: planet.orders.wait(ID, timeout=timeout),
        lambda: planet.orders.wait_many([ID], timeout=timeout),
        lambda: planet.subscriptions.wait(ID, "running", timeout=timeout),
        lambda: planet.subscriptions.wait_many([ID], "running", timeout=timeout),
        lambda: planet.tasking.wait(ID, timeout=timeout),
        lambda: planet.tasking.wait_many([ID], timeout=timeout),
    ):
        with pytest.raises(InvalidRequest, match="timeout must be a number of seconds"):
            await call()  # type: ignore[misc]
    assert not transport.requests


@pytest.mark.no_cover
async def test_three_hundred_orders_are_one_request(clock: FakeClock) -> None:
    """A list takes pages of 500 by default, where the API by itself has 20."""
    simulator = Simulator(clock=clock, limits=Limits.unlimited())
    async with Planet(credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        for number in range(300):
            await planet.orders.create({**ORDER, "name": f"{number}"})
        assert len(await planet.orders.list().collect()) == 300
    assert simulator.requests["orders.list"] == 1
