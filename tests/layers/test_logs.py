"""What the client logs: by part, at a level that fits, with fields, and without queries."""

import logging
from pathlib import Path
from typing import Any

import anyio
import pytest
from spine import API, KEY

from planet_async import ApiKey, Config, Planet, Window
from planet_async.errors import ConnectionLost, PlanetError
from planet_async.simulator import OrderPlan, Simulator
from planet_async.testing import Answer, FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

PATH = "/compute/ops/orders/v2"


def planet(*answers: Answer, **config: Any) -> Planet:
    settings = {"rates": {}, **config}
    return Planet(
        Config(**settings), credentials=ApiKey(KEY), transport=FakeTransport(answers), clock=FakeClock()
    )


async def test_each_request_is_a_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """It says operation, status, milliseconds and attempt, in its text and as fields, and no query."""
    caplog.set_level(logging.DEBUG, "planet_async.http")
    async with planet(ConnectionLost("broke off"), reply(200)) as client:
        await client.request("GET", PATH, params={"token": "hidden"})
    assert [record.getMessage() for record in caplog.records] == [
        f"orders.request: GET {API}{PATH}: ConnectionLost in 0 ms, attempt 1",
        f"orders.request: GET {API}{PATH}: 200 in 0 ms, attempt 2",
    ]
    fields = vars(caplog.records[1])
    expected = {"operation": "orders.request", "http_method": "GET", "http_status": 200, "attempt": 2}
    assert fields.items() >= {**expected, "url": API + PATH, "seconds": 0.0}.items()
    assert vars(caplog.records[0]).items() >= {"error_type": "ConnectionLost", "http_status": None}.items()
    assert "hidden" not in str([vars(record) for record in caplog.records])


async def test_nothing_is_logged_at_info_where_nothing_goes_wrong(caplog: pytest.LogCaptureFixture) -> None:
    """An application at INFO stays quiet."""
    caplog.set_level(logging.INFO)
    async with planet(reply(200)) as client:
        await client.request("GET", PATH)
    assert not [record for record in caplog.records if record.name.startswith("planet_async")]


@pytest.mark.parametrize(
    ("answers", "levels"),
    [
        ([reply(503), reply(503), reply(503), reply(200)], [logging.INFO, logging.INFO, logging.WARNING]),
        ([reply(429, headers={"Retry-After": "6"}), reply(200)], [logging.WARNING]),
        ([reply(429, headers={"Retry-After": "1"}), reply(200)], [logging.INFO]),
    ],
)
async def test_a_retry_is_a_warning_when_it_is_unusual(
    answers: list[Answer], levels: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """That is when it waits longer than 5 s, or after the third failure; else it is INFO."""
    caplog.set_level(logging.INFO, "planet_async")
    async with planet(*answers, max_attempts=5, first_backoff=0.01) as client:
        await client.request("GET", PATH)
    found = [record for record in caplog.records if record.name == "planet_async.retry"]
    assert [record.levelno for record in found] == levels
    assert {"attempt", "retry_in", "http_status", "error_type"} <= vars(found[0]).keys()


async def test_a_long_queue_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line when a request has to be queued for more than 5 s, and another one for the next such queue."""
    caplog.set_level(logging.INFO, "planet_async.rate_limit")
    client = Planet(
        Config(rates={"orders": (Window(1, 1.0),)}),
        credentials=ApiKey(KEY),
        transport=FakeTransport(lambda _: reply(200)),
        clock=FakeClock(),
    )
    async with client:
        for lines in (1, 2):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(client.request, "GET", PATH)
            assert len(caplog.records) == lines
    record = caplog.records[0]
    assert "orders.request waits for 5 s or longer for its turn at 1 request a second" in record.getMessage()
    assert vars(record)["queued_requests"] > 10
    assert vars(record)["queued_seconds"] > 5


async def test_logging_never_shows_what_a_server_says_of_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """Neither text nor fields hold the credential, where a refusal repeats it."""
    caplog.set_level(1)
    async with planet(reply(503, body=f"bad {KEY}"), reply(500, body=KEY), max_attempts=2) as client:
        with pytest.raises(PlanetError):
            await client.request("GET", PATH)
    assert len(caplog.records) >= 3
    assert KEY not in str([vars(record) for record in caplog.records])


async def test_a_job_logs_the_stages_of_its_orders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each stage is one line at DEBUG, and a failure one at INFO, with the name and the id of the order."""
    caplog.set_level(logging.DEBUG, "planet_async.jobs")
    product = {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "visual"}
    requests = [{"name": name, "products": [product]} for name in ("right", "wrong")]

    def plan(order: Any, _: int) -> OrderPlan:
        return OrderPlan(
            queue_seconds=1, run_seconds=1, state="failed" if order["name"] == "wrong" else "success"
        )

    clock = FakeClock()
    client = Planet(credentials=ApiKey(KEY), transport=Simulator(clock=clock, plan=plan), clock=clock)
    async with client:
        outcomes = [each async for each in client.orders.run(requests, to=tmp_path)]
    assert len(outcomes) == 2
    found = sorted(
        (vars(record)["order_name"], record.levelname, record.getMessage().partition(":")[0])
        for record in caplog.records
    )
    assert found == [
        ("right", "DEBUG", "right is downloaded"),
        ("right", "DEBUG", "right is ordered"),
        ("right", "DEBUG", "right is success"),
        ("wrong", "DEBUG", "wrong is failed"),
        ("wrong", "DEBUG", "wrong is ordered"),
        ("wrong", "INFO", "wrong failed"),
    ]
    assert {vars(each)["order_id"] for each in caplog.records} == {outcome.id for outcome in outcomes}
