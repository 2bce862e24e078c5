"""The page about object stores tells the truth: its examples run, with moto's S3 server."""

import ast
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from documents import ROOT, blocks

from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve

if TYPE_CHECKING:
    from s3 import S3

PAGE = ROOT / "docs/how-to/delivery-to-object-stores.md"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_examples_run(
    s3: "S3", monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each block runs as it stands, after those before it; the second finds what the first has uploaded."""
    s3.new_bucket("fields")
    names: dict[str, object] = {}
    monkeypatch.setenv("PL_API_KEY", "any")
    monkeypatch.chdir(tmp_path)
    simulator = Simulator(limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0, run_seconds=0))
    with serve(simulator) as url:
        monkeypatch.setenv("PL_BASE_URL", url)
        for block in blocks(PAGE, "python"):
            result = eval(compile(block, PAGE.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if inspect.isawaitable(result):
                await result
    [order_id] = simulator.orders
    objects = {key for key in s3.objects() if key.startswith(f"2026/{order_id}/")}
    printed = set(re.findall(r"'s3://fields/(.*?)'", capsys.readouterr().out))
    assert printed == objects == s3.objects().keys()
    assert not list(tmp_path.rglob("*.tif"))
