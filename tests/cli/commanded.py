"""What the command's tests share: a way to run it in process, and a terminal that remembers."""

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer
from attrs import frozen

from planet_async.cli import main
from planet_async.cli.app import app


class Terminal(io.StringIO):
    """Says that it is a terminal, and keeps what was written."""

    def isatty(self) -> bool:
        return True


@frozen
class Ran:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ran]


_COMMANDS: Any = typer.main.get_command(app)


def has_formats(args: tuple[object, ...]) -> bool:
    """Return whether the command that is called has the option --format."""
    command = _COMMANDS
    for word in args:
        command = getattr(command, "commands", {}).get(word, command)
    return any("--format" in parameter.opts for parameter in command.params)


def run_in(
    monkeypatch: pytest.MonkeyPatch, args: tuple[object, ...], out: io.StringIO, err: io.StringIO, stdin: str
) -> Ran:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
    code = ended.value.code
    assert isinstance(code, int | None)
    return Ran(code or 0, out.getvalue(), err.getvalue())
