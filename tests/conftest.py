"""What tests share: both back ends, a client of a simulated Planet, and the recorded bodies."""

import gc
import importlib
import os
import pkgutil
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import planet_async
from planet_async import ApiKey, Config, Planet
from planet_async.simulator import OrderPlan, Simulator
from planet_async.testing import FakeClock

if TYPE_CHECKING:
    from s3 import S3

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def simulator(clock: FakeClock) -> Simulator:
    return Simulator(clock=clock, plan=OrderPlan(queue_seconds=10, run_seconds=60))


@pytest.fixture
async def planet(simulator: Simulator, clock: FakeClock) -> AsyncIterator[Planet]:
    async with Planet(Config(), credentials=ApiKey("any"), transport=simulator, clock=clock) as planet:
        yield planet
    assert simulator.open_responses == 0, "a response was left open"


@pytest.fixture(scope="session")
def s3_server() -> Iterator["S3"]:
    from s3 import S3  # noqa: PLC0415 - moto takes a second to import

    server = S3()
    with server.serving():
        yield server


@pytest.fixture
def s3(s3_server: "S3", monkeypatch: pytest.MonkeyPatch) -> "S3":
    """A server with one bucket, which is empty, and the environment of its users."""
    from s3 import ENVIRONMENT  # noqa: PLC0415 - as above

    s3_server.new_bucket()
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3_server.url}.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(autouse=True)
def no_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has tried `planet-async simulate`, or sits behind a proxy, has them in the environment."""
    names = {
        "PL_BASE_URL",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        *(name for name in os.environ if name.lower().endswith("_proxy")),
    }
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PL_SHARED", "none")  # the tests of one account run in several processes
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # no test reaches a store by mistake


@pytest.fixture(scope="session")
def samples() -> Path:
    if not SAMPLES.is_dir():
        pytest.skip("the recorded bodies (../shared/samples) are not beside this checkout")
    return SAMPLES


TRACER = pytest.StashKey[Any]()
"""What coverage.py measures the main thread with."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Do not measure coverage while tests are collected, but that of loading each module."""
    if _is_traced():
        for module in pkgutil.walk_packages(planet_async.__path__, "planet_async."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        _stop_tracing(session.config)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure coverage in the calls of tests only: pytest itself, traced, takes twice as long."""
    if _is_traced():
        _stop_tracing(item.config)
    return (yield)


def _is_traced() -> bool:
    return type(sys.gettrace()).__module__ == "coverage"


def _stop_tracing(config: pytest.Config) -> None:
    config.stash[TRACER] = sys.gettrace()
    sys.settrace(None)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Trace the call, but not what is marked `no_cover`, nor on trio what was traced on asyncio.

    By itself the mark has no effect in a process of pytest-xdist: pytest-cov (7.1) measures twice there, and
    when the one is paused, the other goes on.
    """
    tracer = item.config.stash.get(TRACER, None)
    if tracer is None:
        return (yield)
    of_threads = threading.gettrace()
    on_trio = isinstance(item, pytest.Function) and item.funcargs.get("anyio_backend") == "trio"
    if item.get_closest_marker("no_cover") is None and not on_trio:
        sys.settrace(tracer)
    else:
        sys.settrace(None)  # pytest-cov has let the other one go on
        threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(None)
        threading.settrace(of_threads)


def pytest_collection_finish() -> None:
    """Spare each collection of garbage the thousands of tests to be run: it is a quarter of the time.

    It is collected less often, too, which is a tenth of the rest; what looks for garbage collects it first.
    """
    import hypothesis  # noqa: F401, PLC0415 - as it is imported it looks at who refers to an object of trio's

    gc.collect()
    gc.freeze()
    gc.set_threshold(7_000, 10, 10)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """One server for all tests of a process; its database is emptied for each test, see `postgres`."""
    from postgres import PostgresServer  # noqa: PLC0415 - few tests need it

    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def postgres(postgres_server: Any) -> str:
    """The address of an empty PostgreSQL database."""
    return str(postgres_server.empty_database())
