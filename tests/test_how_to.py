"""The web applications that the README and the guides show do what they say, for a client over HTTP."""

import os
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, examples
from starlette.testclient import TestClient

from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve

README = ROOT / "README.md"
BACKENDS = ROOT / "docs/how-to/web-backends.md"
WEBHOOKS = ROOT / "docs/how-to/webhooks.md"
PRODUCT = {
    "item_ids": ["20221221_084022_18_2414"],
    "item_type": "PSScene",
    "product_bundle": "analytic_udm2",
}
REQUEST = {"name": "field 7", "products": [PRODUCT]}


@pytest.fixture(autouse=True)
def planet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Simulator]:
    simulator = Simulator(plan=OrderPlan(queue_seconds=0, run_seconds=0), limits=Limits.unlimited())
    with serve(simulator) as url:
        monkeypatch.setenv("PL_API_KEY", "any")
        monkeypatch.setenv("PL_BASE_URL", url)
        monkeypatch.setenv("WEBHOOK_TOKEN", "ngWJy2OiIOuDyN59cl4zSt0b_c0T2XLefW8XiiWgfOs")
        monkeypatch.setattr("planet_async.config.Schedule.pause", lambda *_: 0.05)
        monkeypatch.chdir(tmp_path)
        yield simulator


def application(page: Path, folder: Path) -> Any:
    """Return the application that a page shows as `app.py`."""
    (text,) = [example.text for example in examples(page) if example.file == "app.py"]
    (folder / "app.py").write_text(text)
    return runpy.run_path(str(folder / "app.py"))["app"]


def test_the_backend_runs(tmp_path: Path) -> None:
    """Orders are placed, listed and watched; errors of Planet's API become errors of the application."""
    with TestClient(application(BACKENDS, tmp_path)) as client:
        order = client.post("/orders", json=REQUEST).json()
        assert order["name"] == "field 7"
        assert [each["id"] for each in client.get("/orders").json()] == [order["id"]]
        events = client.get(f"/orders/{order['id']}/events").text
        assert '"state":"success"' in events.replace(" ", "")
        assert "token=" not in events
        assert client.post("/orders", json={"name": "x"}).status_code == 422
        wrong = {**PRODUCT, "item_type": "x"}
        assert client.post("/orders", json={"name": "x", "products": [wrong]}).status_code == 502


def test_the_backend_with_webhooks_runs(tmp_path: Path, planet: Simulator) -> None:
    """An order names its webhook, and a call of Planet's is received; one without the token is not."""
    with TestClient(application(WEBHOOKS, tmp_path)) as client:
        assert client.post("/fields/seven").json()["state"] == "success"
        (order,) = planet.orders.values()
        token = os.environ["WEBHOOK_TOKEN"]
        assert client.post(f"/planet/{token}/orders", json={"id": order.id}).is_success
        assert client.post("/planet/another/orders", json={"id": order.id}).is_client_error


def test_the_application_of_the_readme_runs(tmp_path: Path) -> None:
    """It responds when an order is finished."""
    with TestClient(application(BACKENDS, tmp_path)) as client:
        order = client.post("/orders", json=REQUEST).json()
    with TestClient(application(README, tmp_path)) as client:
        found = client.get(f"/orders/{order['id']}").json()
    assert (found["id"], found["state"]) == (order["id"], "success")
