"""The page of `planet-async simulate`: what it shows, and what a browser makes of it."""

import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import httpx
import pytest

from planet_async.simulator import Fault, Limits, OrderPlan
from planet_async.simulator.page import Served, WatchedSimulator
from planet_async.simulator.server import serve
from simulator.simulated import CREDENTIAL, ORDERS, scenes

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def served() -> list[Served]:
    return []


@pytest.fixture
def simulator(served: list[Served]) -> WatchedSimulator:
    return WatchedSimulator(
        on_served=served.append, limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=3600)
    )


@pytest.fixture
def client(simulator: WatchedSimulator) -> Iterator[httpx.Client]:
    with (
        serve(simulator) as url,
        httpx.Client(base_url=url, headers=CREDENTIAL, timeout=5, trust_env=False) as client,
    ):
        yield client


def test_the_state_of_the_page(
    client: httpx.Client, simulator: WatchedSimulator, served: list[Served]
) -> None:
    """It has the newest orders and requests, also those that got no response, and no request for itself."""
    order_id = client.post(ORDERS, json=scenes()).json()["id"]
    simulator.faults.add(Fault(operation="orders.get", drop=True, times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{ORDERS}/{order_id}", params={"token": "s3cret"})
    state = client.get("/_page/state").json()
    assert (state["states"], [order["id"] for order in state["orders"]]) == ({"queued": 1}, [order_id])
    assert [(each["operation"], each["status"]) for each in state["requests"]] == [
        ("orders.get", "dropped"),
        ("orders.create", 202),
    ]
    assert [each.operation for each in served] == ["orders.create", "orders.get"]
    assert "s3cret" not in client.get("/_page/state").text
    assert client.get("/_page/state").json()["operations"] == {"orders.create": 1, "orders.get": 1}


def test_orders_that_are_there_already(simulator: WatchedSimulator) -> None:
    """They are as old as if they had been placed one after the other, without regard to limits."""
    simulator.add_past_orders([scenes(name=f"field {number}") for number in range(9)], 600.0)
    created = [order.created for order in simulator.orders.values()]
    assert all(600e6 <= later - earlier < 601e6 for earlier, later in pairwise(created))
    states = Counter(order.state for order in simulator.orders.values())
    assert states == {"queued": 5, "running": 1, "success": 3}
    assert not simulator.requests


@pytest.mark.no_cover
@pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is not installed on this system")
def test_a_browser_shows_orders_as_they_change(client: httpx.Client, simulator: WatchedSimulator) -> None:
    """Orders and requests appear by themselves; their names are shown as text; no script fails."""
    sync_api = pytest.importorskip("playwright.sync_api")
    problems: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.goto(f"{simulator.base_url}/")
        page.get_by_text("Live: ").wait_for()
        order_id = client.post(ORDERS, json=scenes(name=HOSTILE)).json()["id"]
        row = page.locator("#orders tr", has_text=order_id)
        row.wait_for()
        assert HOSTILE in row.inner_text()
        client.put(f"{ORDERS}/{order_id}")
        page.locator("#orders tr", has_text="cancelled").wait_for()
        assert "orders.cancel" in page.locator("#requests").inner_text()
        browser.close()
    assert not problems
