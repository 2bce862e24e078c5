"""Jobs that share a ledger, in one event loop and in virtual time: what each does, and yields."""

from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from planet_async import (
    AmazonS3,
    ApiKey,
    Config,
    InvalidRequest,
    LedgerError,
    Order,
    OrderRequest,
    Outcome,
    Planet,
    Request,
    Response,
    SceneProduct,
    SharedStateError,
    exactly_once,
)
from planet_async.cli.demo import verify_order
from planet_async.jobs.entry import Stage
from planet_async.jobs.ledger import DatabaseLedger, read_entries
from planet_async.models.orders import DownloadedOrder
from planet_async.simulator import Fault, Limits, OrderPlan, Simulator
from planet_async.testing import FakeClock

pytestmark = [pytest.mark.anyio, pytest.mark.no_cover]

SCENE = SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")
BUCKET = AmazonS3(
    bucket="b", aws_region="r", aws_access_key_id="k", aws_secret_access_key="hidden", path_prefix="p"
)
Outcomes = list[Outcome[DownloadedOrder]]


def fields(number: int) -> list[OrderRequest]:
    return [OrderRequest(f"field {each}", [SCENE]) for each in range(number)]


class Machines:
    """A simulated Planet, a ledger, and the machines that use both, each with a folder."""

    def __init__(self, clock: FakeClock, address: str | Path, folder: Path) -> None:
        self.clock = clock
        self.address = address
        self.folder = folder
        self.simulator = Simulator(
            clock=clock,
            limits=Limits.unlimited(),
            file_bytes=64,
            plan=OrderPlan(queue_seconds=10, run_seconds=60),
        )

    def client(self, transport: Any = None) -> Planet:
        exactly_once._registries.set({})  # as in another process
        return Planet(
            Config(rates={}, max_attempts=2, durable=False),
            credentials=ApiKey("any"),
            transport=transport or self.simulator,
            clock=self.clock,
        )

    async def run(self, requests: Iterable[Any], machine: str = "one", transport: Any = None) -> Outcomes:
        async with self.client(transport) as planet:
            job = planet.orders.run(requests, self.folder / machine, ledger=self.address)
            async with aclosing(job):  # type: ignore[type-var]
                return [outcome async for outcome in job]

    async def work(self, machine: str = "one", transport: Any = None) -> Outcomes:
        async with self.client(transport) as planet:
            job = planet.orders.work(self.folder / machine, ledger=self.address)
            async with aclosing(job):  # type: ignore[type-var]
                return [outcome async for outcome in job]

    @property
    def placed(self) -> Counter[str]:
        return Counter(order.name for order in self.simulator.orders.values() if order.state != "cancelled")

    def orders(self, machine: str) -> set[str]:
        """Return the ids of the orders that a machine has, whole."""
        found = {folder.name for folder in (self.folder / machine).glob("*-*") if folder.is_dir()}
        for order_id in found:
            assert not verify_order(self.folder / machine / order_id).problems
        return found

    async def fill(self, requests: list[OrderRequest]) -> None:
        """Enter requests into the ledger, and send none."""
        with anyio.CancelScope() as scope:
            await self.run(requests, transport=Stopping(self.simulator, scope.cancel))


class Stopping:
    """A network that stops its job at the first create, before it is sent, or when it was acted on."""

    def __init__(self, simulator: Simulator, stop: Any, *, after: bool = False) -> None:
        self._simulator, self._stop, self._after = simulator, stop, after

    async def send(self, request: Request) -> Response:
        if request.operation == "orders.create":
            if self._after:
                await (await self._simulator.send(request)).aclose()
            self._stop()
            await anyio.sleep_forever()
        return await self._simulator.send(request)

    async def aclose(self) -> None:
        """Do nothing."""


@pytest.fixture(params=["file", "postgres"])
def machines(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> Machines:
    address = tmp_path / "fields.ledger"
    if request.param == "postgres":
        return Machines(clock, str(request.getfixturevalue("postgres")), tmp_path)
    return Machines(clock, address, tmp_path)


@pytest.fixture
def machine(clock: FakeClock, tmp_path: Path) -> Machines:
    return Machines(clock, tmp_path / "fields.ledger", tmp_path)


async def test_two_jobs_of_one_list(machines: Machines) -> None:
    """A job that is started again while the first one lives orders nothing twice; each yields all."""
    outcomes: dict[str, Outcomes] = {}

    async def run(name: str, requests: Iterable[OrderRequest]) -> None:
        outcomes[name] = await machines.run(requests)

    async with anyio.create_task_group() as group:
        group.start_soon(run, "first", fields(12))
        await machines.clock.sleep(5)
        group.start_soon(run, "second", iter([*fields(12), *fields(1)]))
    assert machines.placed == Counter(request.name for request in [*fields(12), *fields(1)])
    ids = {name: {outcome.id for outcome in of_job} for name, of_job in outcomes.items()}
    assert len(ids["first"]) == 12
    assert len(outcomes["second"]) == len(ids["second"]) == 13
    assert ids["first"] < ids["second"] == machines.orders("one")
    for outcome in outcomes["second"]:
        assert all(path.is_file() for path in outcome.unwrap().paths)


async def test_workers_beside_a_job(machines: Machines) -> None:
    """Machines with folders of their own share the requests of a job, each once, until all are done."""
    outcomes: list[Outcomes] = []

    async def work(name: str) -> None:
        outcomes.append(await machines.work(name))

    await machines.fill(fields(18))
    async with anyio.create_task_group() as group:
        for name in ("one", "two", "three"):
            group.start_soon(work, name)
    assert machines.placed == Counter(request.name for request in fields(18))
    assert sum(map(len, outcomes)) == 18
    of_machines = [machines.orders(name) for name in ("one", "two", "three")]
    assert sum(map(len, of_machines)) == len(set().union(*of_machines)) == 18
    assert {entry.stage for entry, _ in read_entries(machines.address)} == {Stage.DOWNLOADED}
    assert await machines.work() == []


async def test_a_machine_that_dies_in_a_create(machines: Machines) -> None:
    """Another one goes on: what was being sent is looked up, and not sent again."""
    await machines.fill(fields(3))
    with anyio.CancelScope() as scope:
        await machines.work(transport=Stopping(machines.simulator, scope.cancel, after=True))
    before = machines.placed
    assert before
    outcomes = await machines.work("two")
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert machines.placed == Counter(request.name for request in fields(3))
    assert machines.orders("two") == machines.simulator.orders.keys()


async def test_a_job_that_was_taken_for_dead_in_a_create(machines: Machines) -> None:
    """It ends with an error that names what it placed; that order is cancelled where another was placed."""
    await machines.fill(fields(1))

    class Frozen(Stopping):
        async def send(self, request: Request) -> Response:
            if request.operation == "orders.create":
                await machines.clock.sleep(1000)
            return await self._simulator.send(request)

    async def freeze() -> None:
        with pytest.raises(LedgerError, match=r"took this one for dead.*was cancelled.*Start it again"):
            await machines.work(transport=Frozen(machines.simulator, None))

    ledgers: list[DatabaseLedger] = []
    enter = DatabaseLedger.__aenter__

    async def noted(ledger: DatabaseLedger) -> DatabaseLedger:
        ledgers.append(ledger)
        return await enter(ledger)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseLedger, "__aenter__", noted)
        patch.setattr(DatabaseLedger, "hold", lambda _: anyio.sleep_forever())
        async with anyio.create_task_group() as group:
            group.start_soon(freeze)
            await machines.clock.sleep(100)
            await ledgers[0]._shared.aclose()  # as where its machine cannot be reached any more
            [outcome] = await machines.work("two")
            assert outcome.error is None
    states = {order.id: order.state for order in machines.simulator.orders.values()}
    assert states.pop(outcome.id) == "success"
    assert [*states.values()] == ["cancelled"]


async def test_what_another_job_has_just_tried(machine: Machines) -> None:
    """A request that was refused is reported by a job that comes to it later, and not sent once more."""
    machine.simulator.faults.add(Fault(operation="orders.create", status=403, delay=1))
    outcomes: list[Outcomes] = []

    async def run() -> None:
        outcomes.append(await machine.run(fields(4)))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        group.start_soon(run)
    assert machine.simulator.requests["orders.create"] == 4
    for of_job in outcomes:
        assert [str(outcome.error).count("403") for outcome in of_job] == [1] * 4
    machine.simulator.faults.clear()
    assert await machine.work() == []  # by choice only: `ledger retry`


async def test_a_worker_tries_each_failure_once(machine: Machines) -> None:
    """What fails for a reason that may pass is tried by one worker, and by those that start later."""
    machine.simulator.faults.add(Fault(operation="storage.get", status=403))
    await machine.fill(fields(3))
    outcomes: list[Outcomes] = []

    async def work() -> None:
        outcomes.append(await machine.work())

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        group.start_soon(work)
    assert [outcome.error is not None for of_job in outcomes for outcome in of_job] == [True] * 3
    machine.simulator.faults.clear()
    machine.clock.advance(1)
    assert [outcome.error for outcome in await machine.work()] == [None] * 3
    assert machine.placed == Counter(request.name for request in fields(3))


async def test_requests_with_secrets(machine: Machines) -> None:
    """A ledger does not keep them: only a job that has the request can send it, and any can go on."""
    requests = [*fields(1), OrderRequest("secret", [SCENE], delivery=BUCKET)]
    await machine.fill(requests)
    refused, done = sorted(await machine.work(), key=lambda outcome: outcome.error is None)
    assert done.error is None
    assert isinstance(refused.error, InvalidRequest)
    assert refused.id == "secret"
    assert "holds secrets" in str(refused.error)
    assert machine.placed == {"field 0": 1}

    def stop(_: Order) -> None:
        scope.cancel()

    with anyio.CancelScope() as scope:
        async with machine.client() as planet:
            job = planet.orders.run(requests[1:], machine.folder, ledger=machine.address, on_update=stop)
            async with aclosing(job):  # type: ignore[type-var]
                await anext(aiter(job))
    assert machine.placed == {"field 0": 1, "secret": 1}
    [outcome] = await machine.work("two")
    assert "amazon_s3 b/p" in outcome.unwrap().delivered_to


async def test_shared_state_that_is_lost(machine: Machines) -> None:
    """The job ends with that error, and its entries stay as they are."""

    class Lost(Stopping):
        async def send(self, request: Request) -> Response:
            if request.operation == "orders.create":
                raise SharedStateError("the database of shared state is gone")
            return await self._simulator.send(request)

    with pytest.raises(SharedStateError, match="is gone"):
        await machine.run(fields(3), transport=Lost(machine.simulator, None))
    for entry, _ in read_entries(machine.address):
        assert (entry.stage in {Stage.INTENDED, Stage.SENDING}, entry.error) == (True, None)
    assert [outcome.error for outcome in await machine.run(fields(3))] == [None] * 3


async def test_an_address_of_another_database(machine: Machines) -> None:
    """It is an InvalidRequest that does not show it."""
    async with machine.client() as planet:
        for wrong in ("mysql://me:s3cret@host/jobs", "s3://bucket/s3cret"):
            with pytest.raises(InvalidRequest, match="postgresql://host/database") as caught:
                planet.orders.work("data", ledger=wrong)
            assert "s3cret" not in str(caught.value)
