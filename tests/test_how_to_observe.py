"""The page about logs and OpenTelemetry tells the truth: its examples run, and its loggers exist."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from documents import ROOT, blocks

from planet_async.simulator import Limits, Simulator
from planet_async.simulator.server import serve

PAGE = ROOT / "docs/how-to/logging-and-opentelemetry.md"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_examples_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Each block runs as it stands, after those before it."""
    names: dict[str, object] = {}
    monkeypatch.setenv("PL_API_KEY", "any")
    with serve(Simulator(limits=Limits.unlimited())) as url:
        monkeypatch.setenv("PL_BASE_URL", url)
        for block in blocks(PAGE, "python"):
            result = eval(compile(block, PAGE.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if inspect.isawaitable(result):
                await result
    assert "attempt 1" in caplog.text
    printed = capsys.readouterr()
    assert '"name": "orders.stats"' in printed.err
    assert "Counter({'orders.stats': 1})" in printed.out


def test_the_loggers_are_those_of_the_package() -> None:
    """The table names each logger, and no other."""
    sources = "".join(path.read_text() for path in Path(ROOT / "planet_async").rglob("*.py"))
    of_command = {"planet_async.cli"}
    loggers = set(re.findall(r'getLogger\("(planet_async\.\w+)"\)', sources)) - of_command
    table = PAGE.read_text().partition("## Logs")[2].partition("```")[0]
    assert set(re.findall(r"`(planet_async\.\w+)`", table)) == loggers
