"""`orders.run` with an object store and a ledger: continued, also after SIGKILL, without a file twice."""

import hashlib
import json
import signal
import sys
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from forked import run_job, started

from planet_async import ApiKey, Config, OrderRequest, Planet, SceneProduct
from planet_async.jobs.ledger import read_entries
from planet_async.simulator import Limits, OrderPlan, Simulator
from planet_async.simulator.server import serve
from planet_async.testing import FakeClock

if TYPE_CHECKING:
    from s3 import S3
    from werkzeug.wrappers import Request

SCENE = SceneProduct(["20240101_000000_00_1234"], "PSScene", "visual")


def right_objects(s3: "S3") -> int:
    """Return how many objects there are, apart from manifests; each is as the manifest of its order says."""
    objects, count = s3.objects(), 0
    for key, content in objects.items():
        job, order_id, name = key.split("/", 2)
        if name != "manifest.json":
            listed = json.loads(objects[f"{job}/{order_id}/manifest.json"])["files"]
            [digest] = [file["digests"]["sha256"] for file in listed if file["path"] == name]
            assert hashlib.sha256(content).hexdigest() == digest
            count += 1
    return count


@pytest.mark.anyio
async def test_a_job_that_is_continued_fetches_no_file_again(
    s3: "S3", clock: FakeClock, tmp_path: Path
) -> None:
    """What the ledger notes is looked for in the store; an object that is gone is downloaded again."""
    simulator = Simulator(clock=clock, limits=Limits.unlimited(), file_bytes=64)
    to, ledger = f"s3://{s3.bucket}/job", tmp_path / "fields.ledger"

    async def run() -> dict[str, tuple[str, ...]]:
        async with Planet(
            Config(rates={}), credentials=ApiKey("any"), transport=simulator, clock=clock
        ) as planet:
            requests = [OrderRequest(f"field {number}", [SCENE]) for number in range(3)]
            return {
                outcome.id: outcome.unwrap().urls
                async for outcome in planet.orders.run(requests, to, ledger=ledger)
            }

    first = await run()
    assert right_objects(s3) == 6
    entry, _ = next(read_entries(ledger))
    assert f"{to}/{entry.files[0].path}" in first[entry.order_id or ""]
    sent = simulator.requests.total()
    assert await run() == first
    assert simulator.requests.total() == sent
    fetched = simulator.requests["storage.get"]
    s3.delete(f"job/{next(file.path for file in entry.files if file.path.endswith('.tif'))}")
    assert await run() == first
    assert simulator.requests["storage.get"] == fetched + 2, "more than the manifest and the file"
    assert len(simulator.orders) == 3
    assert right_objects(s3) == 6


@pytest.mark.no_cover
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_job_that_is_killed_while_it_uploads(s3: "S3", tmp_path: Path) -> None:
    """Killed while it sends an object, a part, or the end of an upload: each order once, no object wrong."""
    simulator = Simulator(
        limits=Limits.unlimited(), plan=OrderPlan(queue_seconds=0, run_seconds=0), file_bytes=9 << 20
    )
    ledger = tmp_path / "fields.ledger"
    arguments = f"s3://{s3.bucket}/job", str(ledger), ["field 0"]
    moments = ("PUT ", "PUT partNumber", "POST uploadId")  # a small object, a part, the completion
    with serve(simulator) as url:
        for moment in moments:
            job = started(run_job, url, *arguments)

            def kill(request: "Request", job: ForkServerProcess = job, moment: str = moment) -> None:
                method, _, argument = moment.partition(" ")
                has = argument in request.args if argument else not request.args
                if request.method == method and has and ".planet-async" not in request.path:
                    job.kill()

            s3.before = kill
            job.join(30)
            assert job.exitcode == -signal.SIGKILL, moment
            right_objects(s3)
        s3.before, sent = (lambda _: None), list[int]()
        for _ in range(2):
            job = started(run_job, url, *arguments)
            job.join(30)
            assert job.exitcode == 0
            assert [len(entry.files) for entry, _ in read_entries(ledger)] == [3]
            sent.append(simulator.requests.total())
    assert sent[0] == sent[1]
    assert Counter(order.name for order in simulator.orders.values()) == {"field 0": 1}
    assert right_objects(s3) == 2
