"""`progress=True`: a bar in a notebook or on a terminal, and nothing anywhere else."""

import builtins
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from planet_async.downloads.remote_file import Progress, ProgressCallback
from planet_async.errors import InvalidRequest, type_name

_TITLE = "download"


class _Bar(Protocol):
    def show(self, received: int, size: int) -> None: ...

    def close(self) -> None: ...


class ProgressBar:
    """The meaning of the parameter `progress`: the `callback`, and the bar that it draws on, if any.

    The bar is for all files together, and appears with their first bytes; leaving the context closes it.
    """

    def __init__(self, progress: ProgressCallback | bool | None) -> None:
        if not (progress is None or isinstance(progress, bool) or callable(progress)):
            raise InvalidRequest(f"progress must be True or a function, not {type_name(progress)}")
        self.callback: ProgressCallback | None = None
        if callable(progress):
            self.callback = progress
        elif progress and (kind := _kind_of_bar()):
            self._kind = kind
            self.callback = self._show
        self._bar: _Bar | None = None
        self._files: dict[str, tuple[int, int]] = {}  # what was received of each, and its size
        self._received = self._size = 0  # of all files: to add them up each time would block the event loop

    def __enter__(self) -> ProgressCallback | None:
        return self.callback

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def _show(self, progress: Progress) -> None:
        self._bar = self._bar or self._kind()
        received, size = self._files.get(progress.name, (0, 0))
        now = (progress.received, progress.received if progress.size is None else progress.size)
        self._files[progress.name] = now
        self._received += now[0] - received
        self._size += now[1] - size
        self._bar.show(self._received, self._size)


def _kind_of_bar() -> Callable[[], _Bar] | None:
    """Return what makes the bar that fits; None where none does, or its library is not installed."""
    if not (in_notebook := _in_notebook()) and not sys.stderr.isatty():
        return None
    kinds: list[Callable[[], Callable[[], _Bar]]] = [_tqdm, _rich] if in_notebook else [_rich, _tqdm]
    for kind in kinds:
        try:
            return kind()
        except ImportError:
            continue
    return None


def _in_notebook() -> bool:
    get_ipython = getattr(builtins, "get_ipython", None)  # IPython puts it there for its users
    return get_ipython is not None and "IPKernelApp" in getattr(get_ipython(), "config", {})


def _tqdm() -> Callable[[], _Bar]:
    from tqdm.auto import tqdm  # noqa: PLC0415 - need not be installed

    class TqdmBar:
        def __init__(self) -> None:
            self._bar = tqdm(desc=_TITLE, unit="B", unit_scale=True)

        def show(self, received: int, size: int) -> None:
            self._bar.total = size
            self._bar.update(received - self._bar.n)

        def close(self) -> None:
            self._bar.close()

    return TqdmBar


def _rich() -> Callable[[], _Bar]:
    from rich.console import Console  # noqa: PLC0415 - need not be installed
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn  # noqa: PLC0415
    from rich.progress import Progress as Display  # noqa: PLC0415

    class RichBar:
        def __init__(self) -> None:
            columns = (TextColumn(_TITLE), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._display = Display(*columns, console=Console(stderr=True))
            self._task = self._display.add_task("")
            self._display.start()

        def show(self, received: int, size: int) -> None:
            self._display.update(self._task, completed=received, total=size)

        def close(self) -> None:
            self._display.stop()

    return RichBar
