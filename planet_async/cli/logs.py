"""The logs of the library on standard error: lines for people, or JSON for programs.

By default there is at most a line a second, such as that an attempt has failed; ``-v`` shows them all,
``-vv`` each request, ``-q`` errors only.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from attrs import frozen
from rich.text import Text

from planet_async.cli.output import MESSAGES, MessageHandler, clean, in_command, stderr, write_message

_SECONDS = 1.0  # between two lines: a hundred requests that all fail need only one
_SECONDS_PIPED = 10.0
_PATIENCE_PIPED = 5.0  # a short failure that was overcome is not worth a line in the log of a script
_DEBUG_FROM = 2  # of -v
_OF_ALL_RECORDS = {*vars(logging.makeLogRecord({})), "message", "asctime"}


@frozen
class Logs:
    """How much of the logs is shown, and how: the options `-v`, `-q` and `--log-format`."""

    verbose: int = 0
    quiet: bool = False
    as_json: bool = False

    @property
    def has_progress(self) -> bool:
        """True if progress may be shown on a terminal."""
        return not (self.quiet or self.as_json)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show what the library logs, and what the command itself says."""
        logger, handler = logging.getLogger("planet_async"), self._handler()
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if self.verbose >= _DEBUG_FROM else logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)

    def _handler(self) -> logging.Handler:
        handler = JsonLines() if self.as_json else LogLines(is_brief=not self.verbose)
        if self.quiet:
            handler.addFilter(_is_quiet)
        return handler


def _is_quiet(record: logging.LogRecord) -> bool:
    """Return whether a record is shown with -q: an error, or what the command warns of itself."""
    return record.levelno >= (logging.WARNING if record.name == MESSAGES.name else logging.ERROR)


class LogLines(MessageHandler):
    """Writes a log record on one line.

    A brief one writes at most one line a second; where it is piped, one in ten seconds.
    """

    def __init__(self, *, is_brief: bool = True) -> None:
        super().__init__()
        self._is_brief = is_brief
        self._on_terminal = sys.stderr.isatty()
        self._next = 0.0 if self._on_terminal else time.time() + _PATIENCE_PIPED

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; a brief one unless the last one was only just written."""
        if record.name == MESSAGES.name:
            write_message(record.levelno, record.getMessage())
            return
        message = clean(in_command(record.getMessage()))
        if not self._is_brief:
            moment = f"{datetime.fromtimestamp(record.created).astimezone():%H:%M:%S}"
            self._write_line(f"{moment} {record.levelname} {record.name}: {message}", prefix="")
        elif record.created >= self._next:
            self._next = record.created + (_SECONDS if self._on_terminal else _SECONDS_PIPED)
            self._write_line(message, prefix="planet-async: ")

    def _write_line(self, line: str, *, prefix: str) -> None:
        if not self._on_terminal:
            return _write(f"{prefix}{line}\n")
        console = stderr()
        with console.capture() as captured:
            if self._is_brief:
                console.print(Text(line, "dim"), no_wrap=True, overflow="ellipsis")
            else:
                console.print(Text(line, "dim"), soft_wrap=True)
        return _write(captured.get())


class JsonLines(MessageHandler):
    """Writes a log record as a JSON document on one line, with its fields."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {name: value for name, value in vars(record).items() if name not in _OF_ALL_RECORDS}
        document = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": in_command(record.getMessage()),
            **fields,
        }
        _write(json.dumps(document, default=str) + "\n")


def _write(line: str) -> None:
    with suppress(OSError):
        # Not by a console, which would write across the bars of a job: sys.stderr puts it above them.
        sys.stderr.write(line)
