"""`progress=True` draws a bar where somebody looks at one, and nothing anywhere else."""

import builtins
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from planet_async import InvalidRequest, Planet, Progress
from planet_async.downloads.progress_bar import ProgressBar

ORDER = {
    "name": "field 7",
    "products": [
        {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
    ],
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Shell:
    def __init__(self) -> None:
        self.config = {"IPKernelApp": object()}


def _draw() -> None:
    with ProgressBar(True) as on_progress:
        if on_progress is not None:
            for received in (10, 5, 1000):  # 5: begun again
                on_progress(Progress("a", received, 1000))
                on_progress(Progress("b", received, None))


def test_nothing_is_shown_to_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """In a log file or a pipe a bar is noise."""
    _draw()
    assert not capsys.readouterr().err


def test_a_terminal_has_a_bar_of_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts the bytes of all files, and is closed at the end."""
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    _draw()
    assert "2.0/2.0 kB" in terminal.getvalue()


def test_a_notebook_has_a_bar_of_tqdm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that notebooks know; the kernel's standard error is no terminal."""
    monkeypatch.setattr(builtins, "get_ipython", Shell, raising=False)
    _draw()
    assert "2.00k/2.00k" in capsys.readouterr().err


@pytest.mark.parametrize("in_notebook", [False, True])
def test_without_libraries_there_is_no_bar(monkeypatch: pytest.MonkeyPatch, in_notebook: bool) -> None:
    """A download does not fail for want of a bar."""
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    for name in ("tqdm.auto", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    if in_notebook:
        monkeypatch.setattr(builtins, "get_ipython", Shell, raising=False)
    _draw()
    assert not terminal.getvalue()


@pytest.mark.anyio
async def test_downloads_and_jobs_have_one(
    planet: Planet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same parameter everywhere, and still takes a function."""
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    order = await planet.orders.create(ORDER)
    await planet.orders.wait(order.id)
    await planet.orders.download(order.id, tmp_path, progress=True)
    assert "download" in terminal.getvalue()
    terminal.truncate(0)
    async for outcome in planet.orders.run([{**ORDER, "name": "b"}], tmp_path, progress=True):
        outcome.unwrap()
    assert "download" in terminal.getvalue()
    wrong: Any = 7
    seen: list[Progress] = []
    for call in (planet.orders.download, planet.reports.download):
        with pytest.raises(InvalidRequest, match="progress must be True or a function"):
            await call("1", tmp_path, progress=wrong)
    await planet.orders.download(order.id, tmp_path / "again", progress=seen.append)
    assert seen
