"""Rate limiters that share a database: one pace for all threads, processes and machines."""

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from attrs import define
from spine import API, KEY, get

from planet_async import ApiKey, BearerToken, Config, Planet, SharedStateError, SharedStateLost
from planet_async._loops import PerLoop
from planet_async.auth.credentials import Credentials
from planet_async.clock import Clock
from planet_async.config import Rates, Window
from planet_async.databases.database import DatabaseLost
from planet_async.databases.shared import SharedDatabase, open_file
from planet_async.errors import TooManyRequests
from planet_async.http import Request, Response, Transport
from planet_async.layers.rate_limit import RateLimit, SharedRateLimits
from planet_async.simulator import Fault, Limits, Simulator
from planet_async.simulator.server import serve
from planet_async.testing import FakeClock, FakeTransport, reply
from planet_async.transports.httpx import HttpxTransport

WINDOW = Window(10, 0.25)
WORKER = f"""
import sys, anyio
from planet_async import Config, Planet, Window

async def main(url, count):
    config = Config(base_url=url, rates={{"orders": (Window{WINDOW.limit, WINDOW.seconds},)}})
    async with Planet(config, api_key="any") as planet, anyio.create_task_group() as group:
        await planet.orders.stats()
        print("ready", flush=True)
        sys.stdin.read()
        for _ in range(int(count)):
            group.start_soon(planet.orders.stats)

anyio.run(main, *sys.argv[1:])
"""


class Machine:
    """One file, and the limiters of several programs on it, in virtual time."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self._path = path
        self._clock = clock
        self.times: list[float] = []
        self.offset = 0.0  # of the file's clock

    def limit(
        self, rates: Rates, credentials: Credentials | None = None, refuse: float | None = None
    ) -> RateLimit:
        """Return the layer of one more program; its first request is refused for that many seconds."""
        refusals = [] if refuse is None else [refuse]

        class Network:
            async def send(_, request: Request) -> Response:  # noqa: N805 - `self` is the machine
                self.times.append(self._clock.monotonic())
                if refusals:
                    raise TooManyRequests("429", status=429, retry_after=refusals.pop())
                return Response(200, url=request.url)

            async def aclose(_) -> None:  # noqa: N805
                pass

        database = partial(open_file, self._path, lambda: self._clock.monotonic() + self.offset)
        shared = PerLoop(lambda: SharedDatabase(database, self._clock, in_thread=False))
        return RateLimit(
            Network(), SharedRateLimits(credentials or ApiKey(KEY), Config(rates=rates), self._clock, shared)
        )


@pytest.fixture
def machine(tmp_path: Path, clock: FakeClock) -> Machine:
    return Machine(tmp_path / "shared.sqlite", clock)


async def send_all(limits: list[RateLimit], count: int) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(count):
            for limit in limits:
                group.start_soon(limit.send, get())


@pytest.mark.anyio
async def test_programs_take_turns_at_one_rate(machine: Machine) -> None:
    """Six programs together send as one would: evenly, and never more than is allowed in a window."""
    rates = {"orders": (Window(3),)}
    await send_all([machine.limit(rates) for _ in range(6)], 5)
    assert machine.times == pytest.approx([n * 1.01 / 3 for n in range(30)])


@pytest.mark.anyio
async def test_a_second_window_holds_for_all(machine: Machine) -> None:
    """Of 4 a second and 6 in ten seconds, both hold for two programs together."""
    rates = {"orders": (Window(6, 10.0), Window(4))}
    await send_all([machine.limit(rates) for _ in range(2)], 6)
    for first, seventh in zip(machine.times, machine.times[6:], strict=False):
        assert seventh - first >= 10
    assert all(later - earlier >= 1.01 / 4 - 1e-9 for earlier, later in pairwise(machine.times))


@pytest.mark.anyio
async def test_a_429_stops_and_slows_all(machine: Machine, clock: FakeClock) -> None:
    """No program sends while one of them was asked to wait, and all go on at half the pace."""
    rates = {"orders": (Window(10),)}
    refused, other = machine.limit(rates, refuse=20.0), machine.limit(rates)

    async def be_refused() -> None:
        with pytest.raises(TooManyRequests):
            await refused.send(get())

    async with anyio.create_task_group() as group:
        group.start_soon(be_refused)
        await clock.sleep(0.001)
        for _ in range(5):
            group.start_soon(other.send, get())
    assert machine.times[1] >= 20
    assert machine.times[2] - machine.times[1] == pytest.approx(2 * 1.01 / 10, rel=0.2)


@pytest.mark.anyio
async def test_programs_with_another_key_have_their_own_rate(machine: Machine) -> None:
    """The rate is that of a key; how the key is sent makes no difference."""
    rates = {"orders": (Window(1),)}
    same = [machine.limit(rates), machine.limit(rates, ApiKey(KEY, scheme="api-key"))]
    await send_all([*same, machine.limit(rates, ApiKey("another"))], 1)
    assert sorted(machine.times) == pytest.approx([0, 0, 1.01])


@pytest.mark.anyio
async def test_a_cancelled_request_uses_no_turn(machine: Machine, clock: FakeClock) -> None:
    """The moment reserved for it is that of the next in the queue."""
    rates = {"orders": (Window(1),)}
    limit = machine.limit(rates)
    await limit.send(get())
    with clock.move_on_after(0.5):
        await limit.send(get())
    await limit.send(get())
    assert machine.times == pytest.approx([0, 1.01])


@pytest.mark.anyio
async def test_a_restarted_machine_does_not_wait_for_its_old_clock(
    machine: Machine, clock: FakeClock
) -> None:
    """The monotonic clock of a machine begins at 0 when it is started."""
    machine.offset = 1_000_000.0
    rates = {"orders": (Window(1),)}
    await machine.limit(rates).send(get())
    machine.offset = 0.0
    await machine.limit(rates).send(get())
    assert clock.monotonic() < 1


@pytest.mark.anyio
async def test_the_key_is_not_in_the_file(machine: Machine, tmp_path: Path) -> None:
    """Who reads the file does not learn a key, nor can test a guess without the file."""
    await machine.limit({"orders": (Window(3),)}).send(get())
    for path in tmp_path.iterdir():
        if path.is_file():
            assert KEY.encode() not in path.read_bytes()


@pytest.fixture(params=["file", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Share through a file of this machine, or a PostgreSQL database, also in further processes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    address = request.getfixturevalue("postgres") if request.param == "postgres" else "machine"
    monkeypatch.setenv("PL_SHARED", address)
    return str(request.param)


def counted(simulator: Simulator) -> list[float]:
    """Return a list of the times at which requests arrive from now on."""
    times: list[float] = []

    def note(_: object) -> bool:
        times.append(time.monotonic())
        return False

    simulator.faults.add(Fault(when=note))
    return times


def least(count: int) -> float:
    """Return how many seconds so many requests take at least."""
    return (count - WINDOW.limit) * WINDOW.seconds / WINDOW.limit


@pytest.mark.no_cover
def test_processes_keep_to_one_rate(shared: str) -> None:
    """Six processes of a machine send together what one may, and so do two that share a database."""
    count = 6 if shared == "file" else 2
    simulator = Simulator(limits=Limits.unlimited())
    times = counted(simulator)
    with serve(simulator) as url, ExitStack() as stack:
        command = [sys.executable, "-c", WORKER, url, f"{60 // count}"]
        workers = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            for _ in range(count)
        ]
        for worker in workers:
            assert worker.stdout
            worker.stdout.readline()  # it takes a second to start, and to connect
        begun = time.monotonic()
        for worker in workers:
            assert worker.stdin
            worker.stdin.close()
        assert [worker.wait(120) for worker in workers] == [0] * count
    assert len(times) == 60 + count
    assert max(times) - begun >= least(60)


@pytest.mark.no_cover
@pytest.mark.usefixtures("shared")
def test_threads_keep_to_one_rate() -> None:
    """Eight threads, with an event loop and a client each, send together what one may."""
    simulator = Simulator(limits=Limits.unlimited())
    times = counted(simulator)

    async def send(url: str) -> None:
        config = Config(base_url=url, rates={"orders": (WINDOW,)})
        async with Planet(config, api_key="any") as planet, anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(planet.orders.stats)

    with serve(simulator) as url:
        begun = time.monotonic()
        threads = [threading.Thread(target=anyio.run, args=(send, url)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(times) == 48
    assert max(times) - begun >= least(48)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_database_that_is_restarted_is_waited_for(postgres: str, postgres_server: object) -> None:
    """While it is away nothing is sent; when it is back, requests go on."""
    simulator = Simulator(limits=Limits.unlimited())
    with serve(simulator) as url:
        async with Planet(Config(base_url=url, shared=postgres), api_key="any") as planet:
            await planet.orders.stats()
            postgres_server.stop()  # type: ignore[attr-defined]
            async with anyio.create_task_group() as group:
                group.start_soon(planet.orders.stats)
                await anyio.sleep(0.5)
                assert simulator.requests["orders.stats"] == 1
                postgres_server.start()  # type: ignore[attr-defined]
            assert simulator.requests["orders.stats"] == 2


@pytest.mark.anyio
async def test_a_database_that_stays_away_is_an_error(clock: FakeClock) -> None:
    """After 30 seconds requests fail, and nothing was sent: no program falls back to a rate of its own."""

    def lost() -> object:
        raise DatabaseLost("the server closed the connection")

    shared = PerLoop(lambda: SharedDatabase(lost, clock, in_thread=False))  # type: ignore[arg-type]
    network = FakeTransport(lambda _: reply(200))
    limit = RateLimit(network, SharedRateLimits(ApiKey(KEY), Config(), clock, shared))
    with pytest.raises(SharedStateLost, match="not been reached for 30 s"):
        await limit.send(get())
    assert 30 <= clock.monotonic() < 35
    assert network.requests == []


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_wrong_addresses_are_errors_before_anything_is_sent() -> None:
    """One line, what to do, and no password."""
    for address in ("postgresql://me:s3cret@127.0.0.1:1/x", "postgresql://me:s3cret@[/x"):
        with serve(Simulator()) as url:
            config = Config(base_url=url, shared=address)
            async with Planet(config, api_key="any") as planet:
                with pytest.raises(SharedStateError) as caught:
                    await planet.orders.stats()
        assert "s3cret" not in str(caught.value) + repr(config)
        assert "\n" not in str(caught.value)
        assert caught.value.hint
    with pytest.raises(ValueError, match="shared must be") as refused:
        Config(shared="mysql://me:s3cret@x/y")
    assert "s3cret" not in str(refused.value)


def test_without_a_folder_rates_are_kept_by_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In a container whose home cannot be written to, the default works, and a warning says what it means."""
    monkeypatch.delenv("PL_SHARED")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    Planet(Config(base_url=API), api_key="any")
    assert "rates are kept by each event loop alone" in caplog.text


class Observed(HttpxTransport):
    """A network of a user, who has derived it from ours."""


@pytest.mark.anyio
async def test_a_network_that_is_derived_from_ours_shares_rates_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its requests reach the same API: the file of this machine counts them."""
    monkeypatch.delenv("PL_SHARED")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with serve(Simulator()) as url:
        async with Planet(Config(base_url=url), api_key="any", transport=Observed()) as planet:
            await planet.orders.stats()
    assert [*tmp_path.rglob("*.sqlite")]


@pytest.mark.anyio
async def test_a_program_that_was_stopped_takes_a_new_turn(machine: Machine, clock: FakeClock) -> None:
    """Six that are stopped while they wait, and continued together, do not send at the same time."""
    rates = {"orders": (Window(1),)}
    await machine.limit(rates).send(get())
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(machine.limit(rates).send, get())
        await clock.sleep(0.5)
        clock.advance(60)
    assert all(later - earlier >= 1 for earlier, later in pairwise(machine.times[1:]))


@pytest.mark.anyio
async def test_a_clock_that_is_set_back_frees_no_turn(machine: Machine, clock: FakeClock) -> None:
    """A second back, as a database's clock may be set, is no reason to forget what was sent and refused."""
    rates = {"orders": (Window(1),)}
    with pytest.raises(TooManyRequests):
        await machine.limit(rates, refuse=20.0).send(get())
    machine.offset = -1.0
    await machine.limit(rates).send(get())
    assert 19 <= clock.monotonic() < 22


@pytest.mark.anyio
async def test_the_same_rate_may_be_written_differently(machine: Machine) -> None:
    """A window of 1 second and one of 1.0 seconds are one rate."""
    await send_all([machine.limit({"orders": (Window(1, 1),)}), machine.limit({"orders": (Window(1),)})], 1)
    assert machine.times == pytest.approx([0, 1.01])


@pytest.mark.anyio
async def test_two_tokens_have_a_rate_each(machine: Machine) -> None:
    """A web server that passes on the tokens of its users does not make them wait for each other."""
    rates = {"orders": (Window(1),)}
    await send_all([machine.limit(rates, BearerToken("one")), machine.limit(rates, BearerToken("two"))], 1)
    assert machine.times == [0, 0]


@pytest.mark.anyio
async def test_clients_of_one_signer_share_its_rate(machine: Machine) -> None:
    """An object of another library is not known in other programs, but two clients of it share a rate."""

    @define(eq=False)
    class Own:
        def sign(self, network: Transport, clock: Clock) -> Transport:
            raise NotImplementedError

    rates, own = {"orders": (Window(1),)}, Own()
    await send_all([machine.limit(rates, own), machine.limit(rates, own)], 1)
    assert machine.times == pytest.approx([0, 1.01])
