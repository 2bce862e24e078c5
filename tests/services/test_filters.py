"""Filters: each is declared once, and the services check and send it by its declaration."""

from datetime import UTC, datetime
from typing import Any, get_type_hints

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
TIME = datetime(2026, 1, 1, tzinfo=UTC)
VALUES: tuple[Any, ...] = (True, 7, TIME, "2026-01-01T00:00:00Z", "2026-05-01", ID, "word", {"type": "Point"})


@pytest.mark.parametrize("name", DECLARED)
async def test_every_declared_filter_is_sent_under_its_own_name(name: str) -> None:
    """Whatever the class declares is a parameter of the list, with a value that fits its type."""
    service, _, method = name.partition(".")
    for filter_name in get_type_hints(DECLARED[name]):
        sent = 0
        for value in VALUES:
            body: dict[str, list[object]] = {"orders": [], "subscriptions": [], "results": [], "reports": []}
            transport = FakeTransport([reply(json={**body, "count": 0})])
            planet = Planet(credentials=ApiKey("any"), transport=transport, clock=FakeClock())
            arguments = (ID,) if method == "results" else ()
            try:
                listed = getattr(getattr(planet, service), method)(*arguments, **{filter_name: value})
            except InvalidRequest:
                continue
            await listed.collect()
            sent += filter_name in dict(transport.requests[0].params)
        assert sent, filter_name
