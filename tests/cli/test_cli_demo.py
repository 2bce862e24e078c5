"""`planet-async demo`: the newcomer's first sight must be right, and must say so when it is not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from cli.commanded import Run
from planet_async import Schedule
from planet_async.cli.demo import make_simulator, plan, templates, verify_order
from planet_async.simulator import Fault, OrderPlan, ServerRequest, Simulator

Tamper = Callable[[Simulator], None]


@pytest.fixture
def tampered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tamper], list[Simulator]]:
    """Have the demo run against a simulator with something wrong, whose orders take no time."""

    def tamper(how: Tamper) -> list[Simulator]:
        made: list[Simulator] = []

        def make() -> Simulator:
            simulator = make_simulator()
            simulator.__init__(  # type: ignore[misc]
                limits=simulator._gate._limits, plan=quick, file_bytes=1000, seed=len(made)
            )
            how(simulator)
            made.append(simulator)
            return simulator

        monkeypatch.setattr("planet_async.cli.demo.make_simulator", make)
        monkeypatch.setattr("planet_async.cli.demo._SCHEDULE", Schedule(first=0.02, longest=0.02))
        return made

    return tamper


def quick(order: dict[str, str], number: int) -> OrderPlan:
    made = plan(order, number)
    return made if made.queue_seconds > 10 else evolve(made, queue_seconds=0, run_seconds=0)


def test_it_does_the_main_job(tampered: Callable[[Tamper], list[Simulator]], run: Run) -> None:
    """It orders, waits, downloads, verifies and cancels; its numbers are the simulator's."""
    made = tampered(lambda _: None)
    ran = run("demo", "--orders", 10)
    assert ran.code == 0, ran.err
    report, simulator = ran.json, made[0]
    assert report["ok"] is True
    assert all(check["ok"] for check in report["checks"])
    assert report["orders"] == {"cancelled": 2, "partial": 1, "success": 9}
    assert report["cancelled"] == 2
    assert report["requests"] == dict(simulator.requests)
    assert report["requests"]["orders.create"] == 12
    assert report["requests"]["storage.get"] == report["files"] == report["checksums_verified"] + 10
    assert report["bytes"] > 10_000
    assert report["folder"] is None
    for step in ("Finding scenes: 1 of 1", "Downloading: 10 of 10", "Verifying files: 10 of 10"):
        assert f"planet-async: {step}" in ran.err


@pytest.mark.no_cover
def test_it_shows_a_table(
    tampered: Callable[[Tamper], list[Simulator]],
    on_terminal: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person sees the steps, the summary and the checks; --to keeps the files."""
    tampered(lambda _: None)
    monkeypatch.setenv("COLUMNS", "80")
    ran = on_terminal("demo", "--orders", 7, "--to", tmp_path / "kept")
    assert ran.code == 0
    for shown in (
        "Orders",
        "Files",
        "Requests",
        "Seconds",
        "SHA-256",
        "chosen orders",
        "links to files",
        "which their requests allow",
        "What next",
        "planet-async simulate",
        "Everything was checked",
    ):
        assert shown in ran.out
    assert ran.out.count("\n") < 22  # two lines are above
    for shown in (
        "rate limits",
        "Finding scenes",
        "Placing orders",
        "Cancelling these",
        "Waiting",
        "Downloading",
        "Verifying",
    ):
        assert shown in ran.err
    folders = list((tmp_path / "kept").iterdir())
    assert len(folders) == 7
    assert all((folder / "manifest.json").is_file() for folder in folders)


def lost_cancel(simulator: Simulator) -> None:
    body = b'{"result": {"succeeded": {"count": 1}, "failed": {"count": 0, "failures": []}}}'
    simulator.faults.add(Fault(operation="orders.cancel_many", status=200, body=body))


def corrupt_file(simulator: Simulator) -> None:
    unlucky: list[str] = []

    def is_unlucky(call: ServerRequest) -> bool:
        if call.path.endswith(".tif") and not unlucky:
            unlucky.append(call.path)
        return call.path in unlucky

    simulator.faults.add(Fault(operation="storage.get", when=is_unlucky, body=b"II*\0garbage"))


def refused_order(simulator: Simulator) -> None:
    simulator.faults.add(Fault(operation="orders.create", status=400, body=b'{"message": "no"}', times=1))


def slowed_down(simulator: Simulator) -> None:
    simulator.faults.add(Fault(operation="orders.get", status=429, headers={"retry-after": "0"}, times=1))


def failing_cancel(simulator: Simulator) -> None:
    simulator.faults.add(Fault(operation="orders.cancel_many", status=400, body=b'{"message": "no"}'))


def failing_search(simulator: Simulator) -> None:
    simulator.faults.add(Fault(operation="data.search", status=400, body=b'{"message": "no"}'))


def missing_order(simulator: Simulator) -> None:
    simulator.faults.add(Fault(operation="orders.get", status=404, body=b'{"message": "gone"}', times=1))


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("tamper", "check"),
    [
        (failing_search, "scenes to order were found"),
        (lost_cancel, "only the chosen orders were cancelled"),
        (failing_cancel, "only the chosen orders were cancelled"),
        (corrupt_file, "each order came with all its files"),
        (missing_order, "each order came with all its files"),
        (refused_order, "each order was placed once"),
        (slowed_down, "nothing was refused"),
    ],
)
def test_it_fails_when_something_is_wrong(
    tamper: Tamper, check: str, tampered: Callable[[Tamper], list[Simulator]], run: Run
) -> None:
    """Any deviation ends in exit code 1, and the line says which check failed."""
    tampered(tamper)
    ran = run("demo", "--orders", 4)
    assert ran.code == 1
    assert ran.json["ok"] is False
    assert check in [failed["title"] for failed in ran.json["checks"] if not failed["ok"]]
    assert f"planet-async: the demo failed: {check}: " in ran.err
    assert "Traceback" not in ran.err


def test_it_shows_what_failed(tampered: Callable[[Tamper], list[Simulator]], on_terminal: Run) -> None:
    """A person sees the failed check among the others."""
    tampered(lost_cancel)
    ran = on_terminal("demo", "--orders", 4)
    assert ran.code == 1
    assert "✘" in ran.out
    assert "checks failed." in ran.out


@pytest.mark.no_cover
def test_it_notices_an_order_that_it_did_not_place(
    tampered: Callable[[Tamper], list[Simulator]], run: Run
) -> None:
    """An order at the simulator that the client knows nothing of, as after a doubled POST, fails the demo."""

    def placed_unseen(call: ServerRequest) -> bool:
        return call.operation == "orders.create" and b"stays-queued" in call.body

    tampered(
        lambda simulator: simulator.faults.add(Fault(when=placed_unseen, after=True, status=400, times=1))
    )
    ran = run("demo", "--orders", 4)
    assert ran.code == 1
    assert "each order was placed once" in ran.err


def test_it_needs_a_folder(run: Run, tmp_path: Path) -> None:
    """A folder that cannot be made is wrong usage, reported before anything starts."""
    (tmp_path / "file").write_text("")
    ran = run("demo", "--to", tmp_path / "file" / "kept")
    assert (ran.code, ran.out) == (2, "")
    assert "is a file" in " ".join(ran.err.replace("│", " ").split())


def test_verifying_sees_every_change(tmp_path: Path) -> None:
    """A changed, a missing and an unknown file are each told; so is a manifest that is none."""
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    names = ("good", "changed", "missing")
    files = [{"path": f"a/{name}", "digests": {"sha256": sha256}} for name in names]
    (tmp_path / "manifest.json").write_text(json.dumps({"files": files}))
    (tmp_path / "a").mkdir()
    for name, content in (("good", "abc"), ("changed", "abd"), ("unknown", "abc")):
        (tmp_path / "a" / name).write_text(content)
    verified = verify_order(tmp_path)
    assert verified.files == 1
    assert [problem.removeprefix(str(tmp_path)) for problem in verified.problems] == [
        "/a/unknown is not in the manifest",
        "/a/missing is missing",
        "/a/changed has another sha256 than its manifest says",
    ]
    (tmp_path / "manifest.json").write_text("[]")
    assert "cannot be checked" in verify_order(tmp_path).problems[0]


def test_the_shipped_requests_are_valid() -> None:
    """The request files are valid, and cover scenes, basemaps, tools, an archive and a partial order."""
    bodies = {template.file: template.body for template in templates()}
    assert {body["source_type"] for body in bodies.values()} == {"scenes", "basemaps"}
    tools = {name for body in bodies.values() for tool in body.get("tools", ()) for name in tool}
    assert {"clip", "reproject", "harmonize", "bandmath", "toar", "composite", "merge"} <= tools
    assert any(body.get("delivery", {}).get("single_archive") for body in bodies.values())
    assert any(body.get("order_type") == "partial" for body in bodies.values())
    products = [product for body in bodies.values() for product in body["products"]]
    assert any("geometry" in product for product in products)
    assert any("quad_ids" in product for product in products)
    assert len({body["name"] for body in bodies.values()}) == len(bodies)
