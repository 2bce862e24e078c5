"""The web application of the how-to works: what pages of docs/ promise beyond that their examples run."""

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import ROOT, examples
from starlette.testclient import TestClient

from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve

BACKENDS = ROOT / "docs/how-to/web-backends.md"
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
        monkeypatch.chdir(tmp_path)
        yield simulator


def test_the_application_runs(tmp_path: Path) -> None:
    """Orders are placed, listed and watched; errors of Planet's API become errors of the application."""
    (app,) = (example for example in examples(BACKENDS) if example.file == "app.py")
    (tmp_path / app.file).write_text(app.text)
    names = runpy.run_path(str(tmp_path / app.file))
    with TestClient(names["app"]) as client:
        order = client.post("/orders", json=REQUEST).json()
        assert order["name"] == "field 7"
        assert [each["id"] for each in client.get("/orders").json()] == [order["id"]]
        events = client.get(f"/orders/{order['id']}/events").text
        assert '"state":"success"' in events.replace(" ", "")
        assert "token=" not in events
        assert client.post("/orders", json={"name": "x"}).status_code == 422
        wrong = {**PRODUCT, "item_type": "x"}
        assert client.post("/orders", json={"name": "x", "products": [wrong]}).status_code == 502
