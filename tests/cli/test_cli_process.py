"""The command as a process of its own: signals, pipes, and serving."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli.commanded import Run, Terminal, run_in
from planet_async.simulator import Simulator
from planet_async.simulator.http import ServerResponse

COMMAND = [sys.executable, "-m", "planet_async.cli"]
RequestFile = Callable[..., Path]


@contextmanager
def started(*args: object, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*COMMAND, *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ctrl_c(
    monkeypatch: pytest.MonkeyPatch,
    base_url: str,
    simulator: Simulator,
    request_file: RequestFile,
    tmp_path: Path,
) -> None:
    """Ctrl-C in a download: exit code 130, no traceback, what arrived is kept as .part, the ids are told."""
    all_chunks = ServerResponse.chunks
    go_on = threading.Event()

    def half_of_them(answer: ServerResponse) -> Iterator[bytes]:
        for number, chunk in enumerate(all_chunks(answer)):
            if number == 30:
                go_on.wait(20)
            yield chunk

    monkeypatch.setattr(simulator, "_file_bytes", 4_000_000)
    monkeypatch.setattr(ServerResponse, "chunks", half_of_them)
    folder = tmp_path / "data"
    try:
        with started("orders", "run", request_file(), "--to", folder, PL_BASE_URL=base_url) as process:
            until(lambda: any(part.stat().st_size for part in folder.rglob("*.tif.part")))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
    finally:
        go_on.set()
    [order_id] = simulator.orders
    assert (process.returncode, out) == (130, "")
    assert err == (
        "planet-async: the orders placed go on; fetch them later with:"
        f" planet-async orders download {order_id} --to {folder}\n"
        "planet-async: interrupted\n"
    )
    assert [part.name for part in folder.rglob("*.tif.part")] == [
        "20221221_084022_18_2414_ortho_visual.tif.part"
    ]


def test_ctrl_c_while_the_command_is_loaded(tmp_path: Path) -> None:
    """It takes a moment, in which there is no traceback either."""
    (tmp_path / "rich.py").write_text("raise KeyboardInterrupt")
    ran = subprocess.run(
        [sys.executable, "-m", "planet_async.cli", "--help"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "planet-async: interrupted\n")


def test_simulate(request_file: RequestFile) -> None:
    """`simulate` says where it is, serves the command, and ends cleanly on SIGTERM and on Ctrl-C."""
    for ending in (signal.SIGTERM, signal.SIGINT):
        with started(
            "simulate", "--port", 0, "--storage-port", 0, "--queue-seconds", 0, "--run-seconds", 0
        ) as server:
            assert server.stdout is not None
            served = json.loads(server.stdout.readline())
            if ending is signal.SIGTERM:
                run = [*COMMAND, "--base-url", served["base_url"], "orders", "create", str(request_file())]
                ran = subprocess.run(
                    run, capture_output=True, env={**os.environ, "PL_API_KEY": "any"}, timeout=20, check=True
                )
                assert json.loads(ran.stdout)["name"] == "farm"
            server.send_signal(ending)
            assert server.wait(10) == 0
            assert server.stderr is not None
            assert server.stderr.read() == ""


def test_simulate_calls_webhooks_on_this_machine_only(request_file: RequestFile) -> None:
    """What one tries out may name the webhook of the real thing, which must not hear of simulated orders."""
    called: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            called.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as hook:
        threading.Thread(target=hook.serve_forever).start()
        urls = ["http://hooks.example/", f"http://127.0.0.1:{hook.server_port}/"]
        notified = [{"notifications": {"webhook": {"url": url, "per_order": True}}} for url in urls]
        plan = ("--queue-seconds", 0, "--run-seconds", 0)
        try:
            with started("simulate", "--port", 0, "--storage-port", 0, *plan) as server:
                assert server.stdout is not None
                url = json.loads(server.stdout.readline())["base_url"]
                ids = [create(url, request_file(**fields)) for fields in notified]
                until(lambda: bool(called))
                server.send_signal(signal.SIGINT)
                assert server.wait(10) == 0
        finally:
            hook.shutdown()
    assert [json.loads(body)["order_id"] for body in called] == ids[1:]


def create(url: str, file: Path) -> str:
    command = [*COMMAND, "--base-url", url, "orders", "create", str(file)]
    environment = {**os.environ, "PL_API_KEY": "any"}
    ran = subprocess.run(command, capture_output=True, env=environment, timeout=20, check=True)
    return str(json.loads(ran.stdout)["id"])


def test_simulate_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person is told what to type in another terminal; Ctrl-C is the normal end."""

    class Impatient(Terminal):
        def __init__(self, ending: signal.Signals) -> None:
            super().__init__()
            self._ending = ending

        def write(self, text: str) -> int:
            if "Ctrl-C ends it" in text:
                signal.raise_signal(self._ending)
            return super().write(text)

    before = signal.getsignal(signal.SIGTERM)
    for ending in (signal.SIGINT, signal.SIGTERM):
        args = ("simulate", "--port", "0", "--storage-port", "0", "--unlimited")
        ran = run_in(monkeypatch, args, Impatient(ending), Terminal(), "")
        assert (ran.code, ran.err) == (0, "")
        assert "export PL_BASE_URL=http://127.0.0.1:" in ran.out
        assert "export PL_API_KEY=any" in ran.out
    assert signal.getsignal(signal.SIGTERM) is before


def test_simulate_in_the_background_of_a_script() -> None:
    """There Ctrl-C is ignored, and `kill` ends it all the same."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a fixture sets it back
    with started("simulate", "--port", 0, "--storage-port", 0) as server:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())
        server.send_signal(signal.SIGINT)
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0


def test_a_port_that_is_taken(base_url: str, run: Run) -> None:
    """A port that is in use is one line."""
    ran = run("simulate", "--port", base_url.rpartition(":")[2])
    assert ran.code == 1
    assert "cannot listen on 127.0.0.1:" in ran.err


def test_a_pipe_that_closes_early(base_url: str, request_file: RequestFile) -> None:
    """A reader that goes away, such as `head`, ends the command in silence."""
    environment = {"PL_BASE_URL": base_url}
    with started("orders", "create", request_file("one"), request_file("two"), **environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(10) == 1
        process.stdout = None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full on this system")
def test_a_full_disk(base_url: str) -> None:
    """Output to a full disk is one line, also when Python ends."""
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*COMMAND, "orders", "stats"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PL_BASE_URL": base_url},
            timeout=20,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr == "planet-async: [Errno 28] No space left on device\n"
