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
from planet_async import Config, Planet
from planet_async.cli import runner
from planet_async.simulator import Fault, Simulator
from planet_async.simulator.http import ServerResponse

PATIENCE = 60  # seconds, for a machine that is busy
COMMAND = [sys.executable, "-m", "planet_async"]
SIMULATE = ("simulate", "--port", 0, "--storage-port", 0, "--json")
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
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("file_bytes", [4_000_000])
@pytest.mark.parametrize(
    ("number", "word"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated"), (signal.SIGHUP, "terminated")],
)
def test_a_signal_ends_a_job(
    number: signal.Signals,
    word: str,
    *,
    monkeypatch: pytest.MonkeyPatch,
    base_url: str,
    simulator: Simulator,
    request_file: RequestFile,
    tmp_path: Path,
) -> None:
    """Ended in a download: no traceback, what arrived is kept as .part, all placed ids are printed."""
    all_chunks = ServerResponse.chunks
    go_on = threading.Event()

    def half_of_them(answer: ServerResponse) -> Iterator[bytes]:
        for chunk_number, chunk in enumerate(all_chunks(answer)):
            if chunk_number == 30:
                go_on.wait(2 * PATIENCE)
            yield chunk

    monkeypatch.setattr(ServerResponse, "chunks", half_of_them)
    folder = tmp_path / "the data"
    try:
        with started("orders", "run", request_file(), "--to", folder, PL_BASE_URL=base_url) as process:
            until(lambda: any(part.stat().st_size for part in folder.rglob("*.tif.part")))
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE)
    finally:
        go_on.set()
    [order_id] = simulator.orders
    assert (process.returncode, out) == (128 + number, "")
    assert err == (
        f"planet-async: order {order_id} is placed: farm\n"
        "planet-async: the orders placed go on; fetch them later with:"
        f" planet-async orders download {order_id} --to '{folder}'\n"
        f"planet-async: {word}\n"
    )
    assert [part.name for part in folder.rglob("*.tif.part")] == [
        "20221221_084022_18_2414_ortho_visual.tif.part"
    ]


def test_a_signal_closes_the_ledger(
    base_url: str, simulator: Simulator, request_file: RequestFile, run: Run, tmp_path: Path
) -> None:
    """The orders are printed as they are placed, and the same command resumes the job."""
    ledger = tmp_path / "fields.ledger"
    files = [request_file(f"waits-{each}") for each in range(3)]
    job = ("orders", "run", *files, "--to", tmp_path / "data", "--ledger", ledger)
    with started(*job, PL_BASE_URL=base_url) as process:
        assert process.stderr is not None
        placed = {process.stderr.readline().split()[2] for _ in files}
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    assert placed == set(simulator.orders)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.endswith("run the same command again to resume the job\nplanet-async: terminated\n")
    entries = run("ledger", "show", ledger).json_lines
    assert {entry["id"] for entry in entries} == placed
    for order_id in placed:
        run("orders", "cancel", order_id)
    run(*job)
    assert set(simulator.orders) == placed


def test_a_signal_restores_the_terminal(base_url: str, request_file: RequestFile, tmp_path: Path) -> None:
    """The cursor is shown again."""
    with started(
        *("orders", "run", request_file("waits"), "--to", tmp_path / "data"),
        PL_BASE_URL=base_url,
        TTY_COMPATIBLE="1",
        FORCE_COLOR="1",
    ) as process:
        assert process.stderr is not None
        shown = process.stderr.read(6)
        process.send_signal(signal.SIGTERM)
        shown += process.communicate(timeout=PATIENCE)[1]
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_a_signal_while_an_order_is_created(
    base_url: str, simulator: Simulator, request_file: RequestFile
) -> None:
    """Whether it was placed cannot be known: the message says so, and where to look."""
    simulator.faults.add(Fault(operation="orders.create", hang=True, after=True))
    with started("orders", "create", request_file(), PL_BASE_URL=base_url) as process:
        until(lambda: simulator.orders)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (143, "")
    assert "it was being created, and may exist: see `planet-async orders list --name farm`" in err


def test_what_is_ignored_stays_ignored(
    base_url: str, request_file: RequestFile, simulator: Simulator, run: Run
) -> None:
    """Below `nohup`, the end of the terminal does not end the command."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        order_id = run("orders", "create", request_file("waits")).json["id"]
        with started("orders", "wait", order_id, PL_BASE_URL=base_url) as process:
            until(lambda: simulator.requests["orders.get"])
            process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 143
    finally:
        signal.signal(signal.SIGHUP, before)


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


@pytest.fixture
def any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that run in this process connect as they do by themselves, with some key."""
    monkeypatch.setattr(runner, "open_planet", lambda each: Planet(Config(base_url=each.base_url)))
    monkeypatch.setenv("PL_API_KEY", "any")


@pytest.mark.usefixtures("any_key")
def test_simulate(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are orders of all states, what should fail fails, one key is refused, and requests are logged.

    It ends cleanly on SIGHUP, and in the tests below on Ctrl-C and SIGTERM.
    """
    options = ("--orders", 30, "--seed", 7, "--fault", "operation=orders.stats,status=503,times=1")
    with started(*SIMULATE, *options) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        url = json.loads(server.stdout.readline())["base_url"]
        orders = run("--base-url", url, "orders", "list").json_lines
        assert {order["state"] for order in orders} == {
            *["queued", "running", "success", "partial", "failed"]
        }
        assert run("--base-url", url, "orders", "stats").code == 0  # tried again
        monkeypatch.setenv("PL_API_KEY", "refused")
        assert "401" in run("--base-url", url, "orders", "stats").err
        server.send_signal(signal.SIGHUP)
        assert server.wait(PATIENCE) == 0
        log = [line.split() for line in server.stderr.read().splitlines()]
    assert [(line[1], line[4]) for line in log] == [
        ("200", "orders.list"),
        ("503", "orders.stats"),
        ("200", "orders.stats"),
        ("401", "orders.stats"),
    ]
    product = {"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual"}
    same = Simulator(seed=7)
    same.add_past_orders([{"name": "a", "products": [product]}] * 30, 1.0)
    assert {*same.orders} == {order["id"] for order in orders}


@pytest.mark.parametrize(
    "fault", ["operation=order.get,drop", "nonsense", "status=much", "status=9", "probability=2"]
)
def test_a_fault_that_cannot_be(fault: str, run: Run) -> None:
    """It is wrong input, said before anything is served."""
    assert run("simulate", "--fault", fault).code == 2


@pytest.mark.usefixtures("any_key")
def test_simulate_calls_webhooks_on_this_machine_only(run: Run, request_file: RequestFile) -> None:
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
            with started(*SIMULATE, *plan) as server:
                assert server.stdout is not None
                url = json.loads(server.stdout.readline())["base_url"]
                create = ("--base-url", url, "orders", "create")
                ids = [run(*create, request_file(**fields)).json["id"] for fields in notified]
                until(lambda: bool(called))
                server.send_signal(signal.SIGINT)
                assert server.wait(PATIENCE) == 0
        finally:
            hook.shutdown()
    assert [json.loads(body)["order_id"] for body in called] == ids[1:]


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
    with started(*SIMULATE) as server:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())
        server.send_signal(signal.SIGINT)
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0


@pytest.mark.parametrize(("option", "other"), [("--port", "--storage-port"), ("--storage-port", "--port")])
def test_a_port_that_is_taken(option: str, other: str, base_url: str, run: Run) -> None:
    """A port that is in use is one line, which names the option."""
    ran = run("simulate", option, base_url.rpartition(":")[2], other, 0)
    assert ran.code == 1
    assert "cannot listen on 127.0.0.1:" in ran.err
    assert f"Choose another {option}." in ran.err


@pytest.mark.parametrize("words", [["stats"], ["create", "one"]], ids=" ".join)
def test_a_pipe_that_closes_early(base_url: str, request_file: RequestFile, words: list[str]) -> None:
    """A reader that goes away, such as `head`, ends the command in silence."""
    assert closed_early(base_url, [request_file(word) if word == "one" else word for word in words]) == ""


def test_a_pipe_that_closes_while_orders_are_created(base_url: str, request_file: RequestFile) -> None:
    """What is said then is only which order may exist: when the other create ends is a matter of luck."""
    shown = closed_early(base_url, ["create", request_file("one"), request_file("two")])
    for line in shown.splitlines():
        assert "it was being created, and may exist: see `planet-async orders list --name" in line


def closed_early(base_url: str, words: list[str | Path]) -> str:
    """Run a command whose reader goes away at once, which is exit code 1; return what it says of it."""
    with started("orders", *words, PL_BASE_URL=base_url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        shown = process.stderr.read()
        assert process.wait(PATIENCE) == 1
        process.stdout = None
    return str(shown)


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
            timeout=PATIENCE,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr == "planet-async: [Errno 28] No space left on device\n"
