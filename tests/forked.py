"""Processes of tests, forked from one that has imported the package: to do that takes half a second."""

import multiprocessing
import os
from collections.abc import Awaitable, Callable, Mapping
from multiprocessing.context import ForkServerProcess
from typing import Any

import anyio

from planet_async import ApiKey, Config, OrderRequest, Planet, SceneProduct, Schedule
from planet_async.config import MACHINE

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["planet_async", "asyncio", "httpx", "psycopg"])


def started(act: Callable[..., Awaitable[object]], *arguments: Any) -> ForkServerProcess:
    """Start a process that runs `act`, a function of a module that imports little, in this environment."""
    process = _context.Process(target=_run, args=(dict(os.environ), act, *arguments))
    process.start()
    return process


def _run(environment: Mapping[str, str], act: Callable[..., Awaitable[object]], *arguments: Any) -> None:
    os.environ.clear()
    os.environ.update(environment)
    anyio.run(act, *arguments)


async def run_job(url: str, to: str, ledger: str, names: list[str]) -> None:
    """Run a job with one order of each name; an order that fails is an error."""
    scene = SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")
    config = Config(base_url=url, rates={}, schedule=Schedule(0.02, 1, 0.02), consistency_delay=0.3)
    async with Planet(config, credentials=ApiKey("any")) as planet:
        requests = (OrderRequest(name, [scene]) for name in names)
        async for outcome in planet.orders.run(requests, to, ledger=ledger):
            outcome.unwrap()


async def work(url: str, address: str, folder: str) -> None:
    """Work on a ledger, and share the state of creates by it, or on this machine."""
    os.environ["XDG_STATE_HOME"] = f"{folder}-state"
    config = Config(
        base_url=url,
        shared=address if "://" in address else MACHINE,
        rates={},
        schedule=Schedule(first=0.1, longest=0.3),
        consistency_delay=0.5,
        first_backoff=0.05,
        durable="://" in address,  # a file would wait for the disk of the machine
    )
    async with Planet(config, credentials=ApiKey("any")) as planet:
        async for outcome in planet.orders.work(folder, ledger=address):
            outcome.unwrap()


async def download(url: str, order_id: str, folder: str) -> None:
    """Download an order."""
    async with Planet(Config(base_url=url, rates={}), credentials=ApiKey("any")) as planet:
        await planet.orders.download(order_id, folder)
