"""`orders.run`: many orders, a ledger, and interruptions at any moment."""

import gc
import os
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from spine import others_take_turns

from planet_async import (
    AmazonS3,
    ApiKey,
    BadRequest,
    Config,
    Conflict,
    DownloadError,
    InvalidRequest,
    LedgerError,
    Order,
    OrderRequest,
    OrderState,
    Planet,
    Request,
    Response,
    SceneProduct,
    SentinelHub,
    TransportTimeout,
    UnsettledCreate,
    exactly_once,
)
from planet_async.cli.demo import verify_order
from planet_async.downloads.part_file import Folder
from planet_async.jobs.entry import Entry, Stage
from planet_async.jobs.job import CheckedRequest, Job, QueueGate
from planet_async.jobs.ledger import DatabaseLedger, Ledger, read_entries
from planet_async.models.orders import DownloadedFiles, OrderCounts, OrderStats
from planet_async.simulator import Fault, Limits, OrderPlan, ServerRequest, Simulator
from planet_async.testing import FakeClock, reply

pytestmark = pytest.mark.anyio

SCENE = SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")
REFUSED = OrderRequest("refused", [SceneProduct(["a"], "NoSuchType", "visual")])


def fields(number: int) -> list[OrderRequest]:
    return [OrderRequest(f"field {each}", [SCENE]) for each in range(number)]


def names(requests: Iterable[OrderRequest]) -> Counter[str]:
    return Counter(request.name for request in requests)


class Service:
    """A simulated Planet, a folder and a ledger; each job has a client of its own.

    What the one before has created is forgotten, as by another process, unless `same_process`.
    """

    def __init__(self, clock: FakeClock, folder: Path, **settings: Any) -> None:
        self.clock = clock
        self.simulator = Simulator(
            clock=clock,
            limits=Limits.unlimited(),
            file_bytes=64,
            **{"plan": OrderPlan(queue_seconds=10, run_seconds=60), **settings},
        )
        self.same_process = False
        self.durable = False  # the disk of the machine may be slow
        self.folder = folder / "data"
        self.ledger = folder / "fields.ledger"

    def client(self, transport: Any = None) -> Planet:
        if not self.same_process:
            exactly_once._registries.set({})
        return Planet(
            Config(rates={}, max_attempts=2, durable=self.durable),
            credentials=ApiKey("any"),
            transport=transport or self.simulator,
            clock=self.clock,
        )

    async def run(self, requests: Any, *, transport: Any = None, **options: Any) -> dict[str, Any]:
        """Return the outcomes by id."""
        async with self.client(transport) as planet:
            job = planet.orders.run(requests, self.folder, **{"ledger": self.ledger, **options})
            async with aclosing(job):  # type: ignore[type-var]
                return {outcome.id: outcome async for outcome in job}

    @property
    def placed(self) -> Counter[str]:
        return Counter(order.name for order in self.simulator.orders.values())

    @property
    def entries(self) -> dict[str, Entry]:
        return {entry.name: entry for entry, _ in read_entries(self.ledger)}

    def check_files(self, orders: int) -> None:
        folders = [folder for folder in self.folder.iterdir() if folder.is_dir()]
        assert len(folders) == orders
        for folder in folders:
            assert not verify_order(folder).problems


@pytest.fixture
def service(clock: FakeClock, tmp_path: Path) -> Service:
    return Service(clock, tmp_path)


async def test_a_finished_job_is_reported_again_without_a_request(service: Service) -> None:
    """The same ledger again: the same outcomes and files, and no request."""
    first = await service.run(fields(5))
    sent = service.simulator.requests.total()
    again = await service.run(iter(fields(5)))
    assert service.simulator.requests.total() == sent
    assert {id_: outcome.unwrap().paths for id_, outcome in again.items()} == {
        id_: outcome.unwrap().paths for id_, outcome in first.items()
    }
    order = next(iter(again.values())).unwrap().order
    assert (order.id in first, order.state, order.name[:5]) == (True, OrderState.SUCCESS, "field")


async def test_what_the_ledger_contains(service: Service) -> None:
    """Ids, states, and each file with the size and checksum of the manifest."""
    await service.run(fields(1))
    entry = service.entries["field 0"]
    [order_id] = service.simulator.orders
    assert (entry.order_id, entry.order_state, entry.stage) == (order_id, "success", Stage.DOWNLOADED)
    for file in entry.files:
        assert (service.folder / file.path).stat().st_size == file.size
        assert file.path.endswith("manifest.json") or file.checksum.startswith("sha256:")


async def test_a_missing_file_is_downloaded_again(service: Service) -> None:
    """What was downloaded and has been removed is downloaded once more, and not ordered."""
    first = await service.run(fields(3))
    lost = next(iter(first.values())).unwrap().paths[0]
    lost.unlink()
    before = service.simulator.requests["storage.get"]
    again = await service.run(fields(3))
    assert all(outcome.error is None for outcome in again.values())
    assert lost.exists()
    assert service.placed == names(fields(3))
    assert service.simulator.requests["storage.get"] - before <= 2
    service.check_files(3)


async def test_a_file_removed_too_soon_fails_its_own_order_only(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program moves files as they appear: the next job downloads them again."""
    keep, taken = DatabaseLedger.keep, list[Path]()

    async def taken_before(ledger: DatabaseLedger, entry: Entry, to: Any, files: DownloadedFiles) -> None:
        if not taken:
            taken.append(files[0])
            files[0].unlink()
        await keep(ledger, entry, to, files)

    monkeypatch.setattr(DatabaseLedger, "keep", taken_before)
    outcomes = await service.run(fields(3))
    [error] = [outcome.error for outcome in outcomes.values() if outcome.error]
    assert isinstance(error, DownloadError)
    assert str(taken[0]) in str(error)
    again = await service.run(fields(3))
    assert not [outcome.error for outcome in again.values() if outcome.error]
    assert service.placed == names(fields(3))
    service.check_files(3)


async def test_a_failed_order_is_reported_again_and_a_refused_one_sent_again(service: Service) -> None:
    """All have their reason in the ledger; only a request without an order can succeed the next time."""
    service = Service(
        service.clock,
        service.folder.parent,
        plan=lambda *_: OrderPlan(state="failed", error_hints=["no clear pixel"]),
    )
    requests = [OrderRequest("fails", [SCENE]), REFUSED, {"name": "wrong"}]
    first = await service.run(iter(requests))
    [failed] = service.simulator.orders
    assert isinstance(first["refused"].error, BadRequest)
    assert isinstance(first["wrong"].error, InvalidRequest)
    entries = service.entries
    assert {name: entry.error_type for name, entry in entries.items()} == {
        "fails": "OrderNotDownloadable",
        "refused": "BadRequest",
        "wrong": "InvalidRequest",
    }
    assert all(entry.stage is Stage.FAILED for entry in entries.values())
    service.simulator.requests.clear()
    again = await service.run(iter(requests))
    assert service.simulator.requests == {"orders.create": 1}
    assert again.keys() == first.keys() == {failed, "refused", "wrong"}
    assert "no clear pixel" in str(again[failed].error)
    assert "Bad item type" in str(again["refused"].error)


async def test_the_reason_of_a_failed_order_needs_no_request(service: Service) -> None:
    """A further request could fail, and the ledger would keep that as the reason."""
    service.simulator = Simulator(
        clock=service.clock, plan=OrderPlan(state="failed", error_hints=["no clear pixel"])
    )

    def break_polls(order: Order) -> None:
        if order.state.is_final:
            service.simulator.faults.add(Fault(operation="orders.get", status=500))

    outcomes = await service.run(fields(1), on_update=break_polls)
    assert ["no clear pixel" in str(outcome.error) for outcome in outcomes.values()] == [True]
    assert "no clear pixel" in str(service.entries["field 0"].error)


@pytest.mark.no_cover
async def test_a_long_sequence_is_checked_in_parts(service: Service) -> None:
    """The event loop is not blocked; an invalid one at the end is raised, and nothing is sent or saved."""
    async with others_take_turns() as turns:
        with pytest.raises(InvalidRequest, match="products"):
            await service.run([*fields(1_000), {"name": "wrong"}])
    assert turns() >= 900
    assert not service.simulator.requests
    assert service.entries == {}


@pytest.mark.parametrize("fault", [Fault(refused=True), Fault(status=401), Fault(status=403)])
async def test_a_request_that_may_succeed_later_is_sent_again(service: Service, fault: Fault) -> None:
    """Requests that reached no server, or had a wrong key, are sent by the next job."""
    service.simulator.faults.add(fault)
    first = await service.run(fields(3))
    assert all(outcome.error is not None for outcome in first.values())
    assert not service.placed
    service.simulator.faults.clear()
    again = await service.run(fields(3))
    assert all(outcome.error is None for outcome in again.values())
    assert service.placed == names(fields(3))


async def test_a_download_that_failed_is_tried_again(service: Service) -> None:
    """The order exists: the next job only downloads its files."""
    service.simulator.faults.add(Fault(operation="storage.get", status=403))
    first = await service.run(fields(2))
    assert {outcome.error is None for outcome in first.values()} == {False}
    assert {entry.stage for entry in service.entries.values()} == {Stage.FINISHED}
    service.simulator.faults.clear()
    assert all(outcome.error is None for outcome in (await service.run(fields(2))).values())
    assert service.placed == names(fields(2))
    service.check_files(2)


class Dying:
    """A network that stops, with its client, at the n-th request: before or after the service has acted."""

    def __init__(self, simulator: Simulator, dies_at: int, *, after: bool, die: Callable[[], None]) -> None:
        self._simulator, self._left, self._after, self._die = simulator, dies_at, after, die

    async def send(self, request: Request) -> Response:
        self._left -= 1
        if self._left < 0:
            if self._left == -1 and self._after:
                await (await self._simulator.send(request)).aclose()
            self._die()
            await anyio.sleep_forever()
        return await self._simulator.send(request)

    async def aclose(self) -> None:
        """Do nothing."""


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("anyio_backend", "after"), [("asyncio", False), ("trio", True)], indirect=["anyio_backend"]
)
async def test_killed_at_each_request(clock: FakeClock, tmp_path: Path, after: bool) -> None:
    """A job killed at its n-th request, and started again, has placed each order once: for each n."""
    requests = [*fields(1), *fields(1)]
    for step in count():
        service = Service(clock, tmp_path / str(step))
        service.ledger.parent.mkdir()
        with anyio.CancelScope() as scope:
            await service.run(
                requests, transport=Dying(service.simulator, step, after=after, die=scope.cancel)
            )
        clock.advance(300)
        outcomes = await service.run(requests)
        assert all(outcome.error is None for outcome in outcomes.values()), outcomes
        assert service.placed == names(requests)
        service.check_files(len(requests))
        if not scope.cancelled_caught:
            break
    assert step > 10


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("anyio_backend", "after", "same_process"),
    [("asyncio", False, False), ("asyncio", True, True), ("trio", True, False), ("trio", False, True)],
    indirect=["anyio_backend"],
)
async def test_killed_at_each_save(
    clock: FakeClock, tmp_path: Path, same_process: bool, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job killed at its n-th save, before or after it, can be continued: for each n."""
    requests = [*fields(1), *fields(1)]
    save, left = DatabaseLedger.save, 0

    async def dying_save(ledger: DatabaseLedger, entry: Entry, **options: bool) -> None:
        nonlocal left
        left -= 1
        if left < 0 and not after:
            raise RuntimeError("killed")
        await save(ledger, entry, **options)
        if left < 0:
            raise RuntimeError("killed")

    for step in count():
        service = Service(clock, tmp_path / str(step))
        service.ledger.parent.mkdir()
        left = step
        service.same_process = same_process
        with monkeypatch.context() as patch:
            patch.setattr(DatabaseLedger, "save", dying_save)
            try:
                await service.run(requests)
            except RuntimeError:
                done = False
            else:
                done = True
        outcomes = await service.run(requests)
        assert all(outcome.error is None for outcome in outcomes.values()), outcomes
        assert service.placed == names(requests)
        service.check_files(len(requests))
        if done:
            break
    assert step == 4 * len(requests)


async def test_what_was_sent_last_may_be_listed_late(service: Service) -> None:
    """A job started at once after it was killed waits until its last order must be listed."""
    with anyio.CancelScope() as scope:
        await service.run(fields(1), transport=Dying(service.simulator, 0, after=True, die=scope.cancel))
    listed_from = service.clock.monotonic() + 9

    class Late(Dying):
        async def send(self, request: Request) -> Response:
            if request.operation == "orders.list" and service.clock.monotonic() < listed_from:
                return reply(json={"orders": []})
            return await super().send(request)

    await service.run(fields(1), transport=Late(service.simulator, 1_000, after=False, die=scope.cancel))
    assert service.placed == names(fields(1))


async def test_an_unsettled_create_is_looked_up_by_the_next_job(service: Service) -> None:
    """Where the lookup fails, the request is neither sent again nor counted as failed."""
    with anyio.CancelScope() as scope:
        await service.run(fields(1), transport=Dying(service.simulator, 0, after=True, die=scope.cancel))
    service.simulator.faults.add(Fault(operation="orders.list", status=400))
    outcome = (await service.run(fields(1)))["field 0"]
    assert isinstance(outcome.error, UnsettledCreate)
    assert service.entries["field 0"].stage is Stage.SENDING
    service.simulator.faults.clear()
    [outcome] = (await service.run(fields(1))).values()
    assert outcome.error is None
    assert service.placed == names(fields(1))


async def test_an_order_of_the_ledger_is_not_adopted(service: Service) -> None:
    """Of two equal requests one was placed just before the job was killed: the other is placed, too."""
    requests = [*fields(1), *fields(1)]
    with anyio.CancelScope() as scope:
        async with service.client() as planet:
            job = planet.orders.run(
                requests[:1], service.folder, ledger=service.ledger, on_update=lambda _: scope.cancel()
            )
            await anext(aiter(job))
    del job
    service.simulator.faults.add(Fault(operation="orders.create", drop=True, times=1))
    outcomes = await service.run(requests)
    assert len(outcomes) == 2
    assert service.placed == names(requests)


@pytest.mark.no_cover
async def test_a_full_queue_is_waited_for(clock: FakeClock, tmp_path: Path) -> None:
    """With a 409 for each order too many, all are placed in the end, with few wasted requests."""
    service = Service(clock, tmp_path, max_queued=3)
    outcomes = await service.run(fields(15))
    assert all(outcome.error is None for outcome in outcomes.values())
    assert service.placed == names(fields(15))
    refusals = service.simulator.responses["orders.create", 409]
    assert 0 < refusals <= 50
    assert service.simulator.requests["orders.stats"] <= 30


async def test_a_queue_that_others_fill(clock: FakeClock, tmp_path: Path) -> None:
    """While another program keeps it full, the counts are polled now and then, and little else is sent."""
    service = Service(
        clock,
        tmp_path,
        max_queued=2,
        plan=lambda body, _: OrderPlan(queue_seconds=3600 if "other" in body["name"] else 1, run_seconds=1),
    )
    async with service.client() as planet:
        for _ in range(2):
            await planet.orders.create(OrderRequest("other", [SCENE]))
    await service.run(fields(2))
    assert clock.monotonic() >= 3600
    assert service.simulator.requests["orders.create"] < 2 + 80
    assert service.placed == names(fields(2)) + Counter(other=2)


async def test_a_conflict_that_is_not_about_the_queue(service: Service) -> None:
    """A 409 where nothing is queued or running is permanent: it is the outcome."""
    service.simulator.faults.add(Fault(operation="orders.create", status=409))
    outcomes = await service.run(fields(2))
    assert [type(outcome.error) for outcome in outcomes.values()] == [Conflict, Conflict]


@pytest.mark.parametrize("full", [True, False])
async def test_a_service_that_stops_responding_ends_the_job(
    clock: FakeClock, tmp_path: Path, full: bool
) -> None:
    """Each request has an error as its outcome, even where only "the queue is full" is returned."""

    class Silent:
        async def send(self, request: Request) -> Response:
            await clock.sleep(1 if full else 60)
            if full and request.operation == "orders.create":
                return reply(409, json={"message": "too many orders"})
            raise TransportTimeout("no response", request=request)

        async def aclose(self) -> None:
            pass

    expected = Conflict if full else UnsettledCreate
    with clock.move_on_after(3600) as scope:
        outcomes = await Service(clock, tmp_path).run(fields(20), transport=Silent())
        assert [type(outcome.error) for outcome in outcomes.values()] == [expected] * 20
    assert not scope.cancelled_caught


@pytest.mark.no_cover
async def test_a_placed_order_is_not_polled_at_once(service: Service) -> None:
    """The response showed its state, and the lists report its end: its links are fetched, and no more."""
    await service.run(fields(30))
    assert service.simulator.requests["orders.get"] <= 30 + 5
    assert service.placed == names(fields(30))


@pytest.mark.no_cover
async def test_max_queued_bounds_the_unfinished_orders(clock: FakeClock, tmp_path: Path) -> None:
    """At any time; more are sent as others finish."""
    service: Service
    most = 0

    def plan(_: object, number: int) -> OrderPlan:
        nonlocal most
        states = Counter(order.state for order in service.simulator.orders.values())
        most = max(most, 1 + states["queued"] + states["running"])
        return OrderPlan(queue_seconds=number % 5, run_seconds=20)

    service = Service(clock, tmp_path, plan=plan)
    await service.run(fields(20), max_queued=4)
    assert most == 4
    assert service.placed == names(fields(20))
    with pytest.raises(InvalidRequest, match="at least 1"):
        await service.run(fields(1), max_queued=0)
    with pytest.raises(InvalidRequest, match="at least 1"):
        await service.run(fields(1), concurrency=0)


@pytest.mark.no_cover
async def test_requests_are_read_as_they_can_be_placed(service: Service) -> None:
    """Of endless requests only those in progress are read; after a `break` none."""
    read = 0

    async def endless() -> AsyncIterator[OrderRequest]:
        nonlocal read
        for number in count():
            read += 1
            yield OrderRequest(f"field {number}", [SCENE])

    async with service.client() as planet:
        job = planet.orders.run(endless(), service.folder, max_queued=5)
        done = 0
        async for outcome in job:
            assert outcome.error is None
            done += 1
            assert read <= done + 5 + 8 + 5
            if done == 20:
                break
        del job
        await anyio.wait_all_tasks_blocked()
        before = read, service.simulator.requests.total()
        await anyio.wait_all_tasks_blocked()
        assert before == (read, service.simulator.requests.total())
    gc.collect()


async def test_an_error_of_the_requests_is_raised_last(service: Service) -> None:
    """What was read before is finished first; then the error is raised as it is."""

    def broken() -> Iterator[OrderRequest]:
        yield from fields(3)
        raise ZeroDivisionError

    async with service.client() as planet:
        job = aiter(planet.orders.run(broken(), service.folder, ledger=service.ledger))
        assert len([(await anext(job)).unwrap() for _ in range(3)]) == 3
        with pytest.raises(ZeroDivisionError):
            await anext(job)


async def test_a_ledger_that_cannot_be_written_ends_the_job(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the ledger a job could place an order twice: it ends with one error."""

    async def full(*_: object) -> None:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(DatabaseLedger, "save", full)
    with pytest.raises(LedgerError, match="the disk is full"):
        await service.run(fields(5))
    assert not service.simulator.requests


async def test_on_update_is_called_for_each_order(service: Service) -> None:
    """When it is placed, or found in the ledger, and when it is finished."""
    seen: list[Order] = []
    outcomes = await service.run(fields(2), on_update=seen.append)
    assert Counter((order.id, order.state) for order in seen) == Counter(
        (id_, state) for id_ in outcomes for state in ("queued", "success")
    )
    seen.clear()
    await service.run(fields(2), on_update=seen.append)
    assert {(order.id, order.state) for order in seen} == {(id_, "success") for id_ in outcomes}


@pytest.mark.no_cover
async def test_memory_does_not_grow_with_the_job(tmp_path: Path) -> None:
    """Three thousand requests, read from a generator, take no more memory than the first thousand."""
    clock = FakeClock()
    held: dict[int, int] = {}
    number = 0

    async def requests() -> AsyncGenerator[CheckedRequest]:
        for each in range(3_000):
            yield CheckedRequest(f"field {each}", b"{}" * 100)

    async def create(_: bytes) -> Order:
        nonlocal number
        number += 1
        return Order(str(number), OrderState.QUEUED)

    async def wait(order_id: str, _: bool) -> Order:
        await anyio.lowlevel.checkpoint()
        return Order(order_id, OrderState.SUCCESS)

    async def download(_: Order) -> DownloadedFiles:
        await anyio.lowlevel.checkpoint()
        return DownloadedFiles()

    async def stats() -> OrderStats:
        return OrderStats(OrderCounts(0, 0), OrderCounts(0, 0))

    async def nothing(*_: object) -> None:
        return None

    job = Job(
        requests(),
        Ledger(),
        Folder(tmp_path),
        QueueGate(stats, clock, Config().schedule),
        clock,
        create=create,
        recover=nothing,
        sender=str,
        claim=lambda _: None,
        release=lambda _: None,
        keep=nothing,
        hand_over=nothing,
        cancel=nothing,
        wait=wait,
        download=download,
        date=nothing,
        consistency_delay=10,
        max_queued=100,
        concurrency=4,
    )
    done = 0

    async def send(_: object) -> None:
        nonlocal done
        done += 1
        if done in {1_000, 3_000}:
            gc.collect()
            held[done] = sys.getallocatedblocks()

    await job.run(send)
    assert done == 3_000
    assert held[3_000] - held[1_000] < 1_000


BUCKET = AmazonS3(
    bucket="b", aws_region="r", aws_access_key_id="k", aws_secret_access_key="hidden", path_prefix="p"
)


@pytest.mark.parametrize(
    ("where", "place"),
    [({"delivery": BUCKET}, "amazon_s3 b/p"), ({"hosting": SentinelHub()}, "sentinel_hub")],
)
@pytest.mark.parametrize("with_ledger", [True, False])
async def test_an_order_delivered_elsewhere_is_a_success(
    service: Service, where: dict[str, Any], place: str, with_ledger: bool
) -> None:
    """It has no paths, and says where the files are; a ledger reports it again without a request."""
    requests = [OrderRequest(f"field {number}", [SCENE], **where) for number in range(2)]
    options: dict[str, Any] = {} if with_ledger else {"ledger": None}
    outcomes = await service.run(requests, **options)
    sent = service.simulator.requests.total()
    assert len(outcomes) == 2
    for _ in range(2):
        for outcome in outcomes.values():
            delivered = outcome.unwrap()
            assert (delivered.paths, delivered.unverified, delivered.order.state) == ((), (), "success")
            assert place in delivered.delivered_to
            assert "hidden" not in repr(delivered)
        if not with_ledger:
            return
        outcomes = await service.run(requests, **options)
    assert service.simulator.requests.total() == sent
    assert {entry.stage for entry in service.entries.values()} == {Stage.DOWNLOADED}
    assert place in service.entries["field 0"].delivered_to


async def test_a_cloud_order_that_failed_is_a_failure(clock: FakeClock, tmp_path: Path) -> None:
    """It was not delivered."""
    service = Service(
        clock, tmp_path, plan=OrderPlan(state="failed", error_hints=["no access to the bucket"])
    )
    [outcome] = (await service.run([OrderRequest("field 7", [SCENE], delivery=BUCKET)])).values()
    assert "no access to the bucket" in str(outcome.error)


@pytest.mark.parametrize(
    "wrong", [{"name": "field 7", "products": []}, fields(1)[0], "field.json", b"", None, 5, np.array(1)]
)
async def test_a_single_request_is_refused(service: Service, wrong: Any) -> None:
    """A mapping would be read as its keys: it is an InvalidRequest that says so, and nothing is sent."""
    async with service.client() as planet:
        with pytest.raises(InvalidRequest, match="Pass a list"):
            planet.orders.run(wrong, service.folder)
    assert not service.simulator.requests


@pytest.mark.parametrize("wrong", ["field.json", None, 5, ["name"]])
async def test_an_invalid_request(service: Service, wrong: Any) -> None:
    """In a list it is raised; in an iterator it is the outcome."""
    with pytest.raises(InvalidRequest):
        await service.run([wrong])
    [outcome] = (await service.run(iter([wrong]))).values()
    assert isinstance(outcome.error, InvalidRequest)
    assert not service.simulator.requests


async def test_files_that_cannot_be_verified_are_named(service: Service) -> None:
    """In the outcome, in the ledger, and when the ledger reports the order again; or they are an error."""

    def no_digests(call: ServerRequest) -> bool:
        return call.path.endswith("manifest.json")

    listed = b'{"files": []}'
    service.simulator.faults.add(Fault(operation="storage.get", when=no_digests, body=listed))
    first = await service.run(fields(1), require_checksums=True)
    assert "cannot be verified" in str([outcome.error for outcome in first.values()])
    for _ in range(2):
        [outcome] = (await service.run(fields(1))).values()
        delivered = outcome.unwrap()
        assert {*delivered.unverified} == {path for path in delivered.paths if path.name != "manifest.json"}
    files = service.entries["field 0"].files
    assert {file.unverified for file in files} == {True, False}
    assert [file.path[-13:] for file in files if not file.unverified] == ["manifest.json"]
    assert service.placed == names(fields(1))


@pytest.mark.skipif(sys.platform != "linux", reason="the test looks up open files in /proc")
async def test_what_the_ledger_calls_downloaded_outlasts_a_power_failure(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file before its renaming, and then each folder, is synchronized before the ledger is written."""
    service.durable = True
    events: list[tuple[str, Path]] = []
    fsync, replace, keep = os.fsync, Path.replace, DatabaseLedger.save

    def noted_fsync(descriptor: int) -> None:
        events.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        events.append(("name", target))
        return replace(path, target)

    async def noted_save(ledger: DatabaseLedger, entry: Entry, **options: bool) -> None:
        if entry.stage is Stage.DOWNLOADED:
            events.append(("note", service.folder))
        await keep(ledger, entry, **options)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    monkeypatch.setattr(DatabaseLedger, "save", noted_save)
    [outcome] = (await service.run(fields(1))).values()
    for path in outcome.unwrap().paths:
        named = events.index(("name", path))
        assert ("sync", path.with_name(path.name + ".part")) in events[:named]
        for folder in path.relative_to(service.folder.parent).parents:
            synced = events.index(("sync", service.folder.parent / folder), named)
            assert synced < events.index(("note", service.folder))


class SetBack(FakeClock):
    """The clock of a machine that was set; the service has another one."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        self._clock, self._by = clock, timedelta(seconds=seconds)

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def now(self) -> datetime:
        return self._clock.now() + self._by

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def move_on_after(self, seconds: float) -> Any:
        return self._clock.move_on_after(seconds)


@pytest.mark.parametrize("seconds", [-3600, -300, 300, 3600])
async def test_a_clock_that_was_set_before_the_restart(
    clock: FakeClock, tmp_path: Path, seconds: float
) -> None:
    """A job that is killed after its create, and started again when the clock was set, orders once."""
    service = Service(clock, tmp_path)
    with anyio.CancelScope() as scope:
        await service.run(fields(1), transport=Dying(service.simulator, 0, after=True, die=scope.cancel))
    assert service.placed == names(fields(1))
    clock.advance(200)
    service.clock = SetBack(clock, seconds)
    [outcome] = (await service.run(fields(1))).values()
    assert outcome.error is None
    assert service.placed == names(fields(1))


class DyingAtCreate(Dying):
    """The same, but only creates are counted."""

    async def send(self, request: Request) -> Response:
        if request.operation != "orders.create":
            return await self._simulator.send(request)
        return await super().send(request)


@pytest.mark.parametrize("seconds", [-3600, -300, 300, 3600])
async def test_a_clock_that_was_wrong_and_is_right_again(
    clock: FakeClock, tmp_path: Path, seconds: float
) -> None:
    """The service's time is saved with each request, as soon as a response has it."""
    service = Service(clock, tmp_path)
    service.clock = SetBack(clock, seconds)
    with anyio.CancelScope() as scope:
        network = DyingAtCreate(service.simulator, 1, after=True, die=scope.cancel)
        await service.run(fields(2), transport=network, max_queued=1)
    assert service.entries["field 1"].sent_date is not None
    assert service.entries["field 1"].order_id is None
    clock.advance(200)
    service.clock = clock
    outcomes = await service.run(fields(2))
    assert [outcome.error for outcome in outcomes.values()] == [None, None]
    assert service.placed == names(fields(2))


async def test_a_service_that_does_not_send_its_time(service: Service) -> None:
    """What was being sent is looked up nevertheless."""
    with anyio.CancelScope() as scope:
        await service.run(fields(1), transport=Dying(service.simulator, 0, after=True, die=scope.cancel))
    service.simulator.faults.add(Fault(operation="orders.stats", status=500))
    [outcome] = (await service.run(fields(1))).values()
    assert outcome.error is None
    assert service.placed == names(fields(1))
