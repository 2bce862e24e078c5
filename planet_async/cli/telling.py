"""What a person is told while a command seems to stand still: dim lines on standard error."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.text import Text

from planet_async.cli.output import clean, stderr

_SECONDS = 1.0  # between two lines: a hundred orders that are all refused are one story


@contextmanager
def telling() -> Iterator[None]:
    """Show what the library logs, such as what is tried again; nothing where that is no terminal."""
    logger, lines = logging.getLogger("planet_async"), _Lines()
    level = logger.level
    if sys.stderr.isatty():
        logger.addHandler(lines)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._last = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if record.created - self._last < _SECONDS:
            return
        self._last = record.created
        console = stderr()
        with console.capture() as line:
            console.print(Text(clean(record.getMessage()), "dim"), no_wrap=True, overflow="ellipsis")
        # Not by the console, which would write across the bars of a job: sys.stderr puts it above them.
        sys.stderr.write(line.get())
