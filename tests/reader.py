"""`Reader`: runs the examples of a document as somebody would who reads it, in this process."""

import ast
import codeop
import inspect
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from cli.commanded import run_in
from documents import Example

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Reader:
    """Types the examples of one document, one after the other.

    Files, which have a title, are written.  Other Python is run with top-level `await`: as a whole, or pasted
    into `python -m asyncio`, line by line.
    A line of the console that begins with ``$`` is run; other languages are only shown.
    """

    def __init__(self, folder: Path, portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, Any] = {}
        self.printed: str = ""
        self._folder = folder
        self._portal = portal
        self._monkeypatch = monkeypatch

    def follow(self, example: Example, *, paste: bool = False) -> None:
        """Do what an example says."""
        if example.file:
            (self._folder / example.file).write_text(example.text)
        if example.language == "python":
            if example.file:
                self._check_imports(example)
            elif paste:
                self._paste(example.text)
            else:
                flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                self._run(compile(example.text, "<example>", "exec", flags=flags))
        elif example.language == "console":
            for line, shown in _commands(example.text):
                _check_shown(shown, self.run(line))

    def _check_imports(self, example: Example) -> None:
        """Run a file unless it is a script: then a line of the console runs it."""
        if "asyncio.run(" not in example.text and "def test_" not in example.text:
            self.names |= runpy.run_path(str(self._folder / example.file))

    def _paste(self, text: str) -> None:
        """Run a text as `python -m asyncio` does: by each line that completes a statement."""
        compiler = codeop.CommandCompiler()
        compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        lines: list[str] = []
        for line in [*text.splitlines(), ""]:
            lines.append(line)
            code = compiler("\n".join(lines), "<example>", "single")
            if code is not None:
                self._run(code)
                lines = []
        assert not "".join(lines).strip(), "the example is incomplete"

    def _run(self, code: CodeType) -> None:
        self.names.setdefault("__builtins__", __builtins__)
        result = FunctionType(code, self.names)()
        if inspect.iscoroutine(result):
            self._portal.call(_awaited, result)

    def run(self, line: str) -> str:
        """Run a line of a shell, commands in a pipe, and return what it prints, if not into a file."""
        words = list(shlex.shlex(line, posix=True, punctuation_chars="|>"))
        output = ""
        target = ""
        if ">" in words:
            *words, _, target = words
        for command in _split(words, "|"):
            output = self._one(command, output)
        if target:
            (self._folder / target).write_text(output)
            output = ""
        self.printed += output
        return output

    def _one(self, words: list[str], stdin: str) -> str:
        match words:
            case ["planet-async", *args]:
                out, err = io.StringIO(), io.StringIO()
                ran = run_in(self._monkeypatch, tuple(args), out, err, stdin)
                assert ran.code == 0, ran.err
                return ran.out
            case ["python", script] if script.endswith(".py"):
                return self._script(script)
            case ["pytest", *args]:
                return self._tests(args)
        raise AssertionError(f"an example runs what tests cannot: {shlex.join(words)}")

    def _tests(self, args: list[str]) -> str:
        """Run tests in a process of their own, with the plugin of anyio only: others take seconds to load."""
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "anyio", *args]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def _script(self, script: str) -> str:
        written = io.StringIO()
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", written)
            runpy.run_path(str(self._folder / script), run_name="__main__")
        return written.getvalue()


async def _awaited(coroutine: Any) -> object:
    return await coroutine


def _commands(text: str) -> list[tuple[str, list[str]]]:
    """Return the lines that follow the prompts, each with the output that is shown."""
    found: list[tuple[str, list[str]]] = []
    for line in re.sub(r"\\\n *|(?<=\|)\n *", " ", text).splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


def _check_shown(shown: list[str], output: str) -> None:
    """Compare the output that a page shows with the real one: all its lines are there, in their order.

    Ids of orders, and how columns are padded, may differ.
    """
    real = iter(map(_comparable, output.splitlines()))
    for line in shown:
        assert line == "..." or _comparable(line) in real, f"the page shows {line!r}, but it is:\n{output}"


def _comparable(line: str) -> str:
    return " ".join(_UUID.sub("ID", line).split())


def _split(words: list[str], mark: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == mark:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts
