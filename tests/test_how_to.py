"""What the pages about notebooks and web backends show runs, against a simulated Planet."""

import ast
import inspect
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import ROOT, blocks
from starlette.testclient import TestClient

from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve

NOTEBOOKS = ROOT / "docs/how-to/notebooks-and-frames.md"
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


@pytest.mark.asyncio
@pytest.mark.parametrize("page", [NOTEBOOKS, BACKENDS], ids=lambda page: page.stem)
async def test_the_cells_run(page: Path) -> None:
    """One after the other, as they stand."""
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        code = compile(block, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result


def test_the_application_runs(tmp_path: Path) -> None:
    """Orders are placed, listed and watched; errors of Planet's API become errors of the application."""
    files = re.findall(r'^```python title="(.*?)"\n(.*?)^```', BACKENDS.read_text(), re.DOTALL | re.MULTILINE)
    for name, text in files:
        (tmp_path / name).write_text(text)
        names = runpy.run_path(str(tmp_path / name))
        if name != "app.py":
            continue
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
