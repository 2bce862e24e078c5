"""Merging two ledgers, and having failed requests sent again."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from planet_async.errors import LedgerError
from planet_async.jobs.entry import Entry, KeptFile, Stage
from planet_async.jobs.ledger import DatabaseLedger, read_entries
from planet_async.jobs.upkeep import Merged, merge, send_again
from planet_async.testing import FakeClock


def write(ledger: str | Path, *entries: dict[str, Any]) -> None:
    """Enter requests, one by its name each, with what became of them."""

    async def write() -> None:
        async with DatabaseLedger(ledger, FakeClock(), durable=False) as open_ledger:
            for values in entries:
                request = open_ledger.request(values["name"], b'{"name":"%s"}' % values["name"].encode())
                entry = await open_ledger.take(request)
                assert entry is not None
                await open_ledger.save(evolve(entry, **values), release=True)

    anyio.run(write)


def shown(ledger: str | Path) -> list[tuple[str, int, str, str | None]]:
    return sorted(
        (entry.name, entry.occurrence, entry.stage, entry.order_id) for entry, _ in read_entries(ledger)
    )


@pytest.fixture(params=["file", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return tmp_path / "target"


def test_two_ledgers_of_one_job(target: str | Path, tmp_path: Path) -> None:
    """Of two entries the further one counts, two orders are both kept, and doing it again changes nothing."""
    files = (KeptFile("id-1/a.tif", 7, "sha256:00"),)
    source = tmp_path / "source"
    write(
        source,
        {"name": "further here", "stage": Stage.DOWNLOADED, "order_id": "id-1", "files": files},
        {"name": "further there", "stage": Stage.INTENDED},
        {"name": "perhaps sent", "stage": Stage.SENDING, "sent": 5.0},
        {"name": "only here", "stage": Stage.ORDERED, "order_id": "id-2"},
        {"name": "both", "stage": Stage.FINISHED, "order_id": "id-3"},
        {"name": "both", "stage": Stage.ORDERED, "order_id": "id-4"},
        {"name": "the same", "stage": Stage.FINISHED, "order_id": "id-5"},
        {"name": "failed", "stage": Stage.FAILED, "error": "no", "error_type": "Forbidden"},
    )
    write(
        target,
        {"name": "further here", "stage": Stage.ORDERED, "order_id": "id-1"},
        {"name": "further there", "stage": Stage.DOWNLOADED, "order_id": "id-6"},
        {"name": "perhaps sent", "stage": Stage.INTENDED},
        {"name": "both", "stage": Stage.DOWNLOADED, "order_id": "id-4"},
        {"name": "only there", "stage": Stage.INTENDED},
        {"name": "the same", "stage": Stage.FINISHED, "order_id": "id-5"},
    )
    assert merge(source, target) == Merged(added=2, updated=2, doubled=1)
    expected = [
        ("both", 1, "downloaded", "id-4"),
        ("both", 2, "finished", "id-3"),
        ("failed", 1, "failed", None),
        ("further here", 1, "downloaded", "id-1"),
        ("further there", 1, "downloaded", "id-6"),
        ("only here", 1, "ordered", "id-2"),
        ("only there", 1, "intended", None),
        ("perhaps sent", 1, "sending", None),
        ("the same", 1, "finished", "id-5"),
    ]
    assert shown(target) == expected
    entries = {entry.name: entry for entry, _ in read_entries(target)}
    assert (entries["further here"].files, entries["failed"].error) == (files, "no")
    assert merge(source, target) == Merged()
    assert shown(target) == expected
    new = tmp_path / "new"
    assert merge(target, new).added == len(expected)
    assert shown(new) == expected


def test_a_ledger_in_use_is_not_merged(tmp_path: Path) -> None:
    """What a job goes on with could be ordered by two."""
    write(tmp_path / "idle", {"name": "a", "stage": Stage.INTENDED})

    async def work() -> None:
        async with DatabaseLedger(tmp_path / "used", FakeClock(), durable=False):
            for source, target in (("used", "idle"), ("idle", "used")):
                with pytest.raises(LedgerError, match=r"a job is using the ledger .*used"):
                    merge(tmp_path / source, tmp_path / target)

    anyio.run(work)
    assert merge(tmp_path / "used", tmp_path / "idle") == Merged()


def test_what_failed_is_sent_again(target: str | Path) -> None:
    """Without the order that it had; what a job is at work on, or has been changed since, is left."""
    write(
        target,
        {"name": "a", "stage": Stage.FAILED, "order_id": "id-1", "order_state": "failed", "error": "no"},
        {"name": "b", "stage": Stage.FAILED, "error": "no"},
        {"name": "c", "stage": Stage.FAILED, "error": "no"},
    )
    failed = [entry for entry, _ in read_entries(target)]

    async def work() -> Entry | None:
        async with DatabaseLedger(target, FakeClock(), durable=False) as ledger:
            ledger._started = 1e12  # the entries are from before
            entry = await ledger.take(ledger.request("b", b'{"name":"b"}'))
            assert send_again(target, failed[:2]) == 1
            return entry

    assert anyio.run(work) is not None
    assert shown(target) == [
        ("a", 1, "intended", None),
        ("b", 1, "failed", None),
        ("c", 1, "failed", None),
    ]
    assert send_again(target, failed) == 2
