"""The demo's conscience: what the client says against what the simulated Planet saw."""

from collections import Counter
from collections.abc import Mapping, Sequence

from attrs import frozen

from planet_async.cli.demo.job import Job
from planet_async.simulator import Simulator

_FIRST_REFUSAL = 400


@frozen
class Check:
    """Something that must be so, and whether it is; `found` are the facts."""

    title: str
    good: bool
    found: str


def audit(job: Job, sent: Mapping[str, int], simulator: Simulator) -> list[Check]:
    """Check everything that the demo claims."""
    states = {id_: order.state for id_, order in simulator.orders.items()}
    cancelled = {id_ for id_, state in states.items() if state == "cancelled"}
    listed = {order.id: str(order.state) for order in job.listed}
    ended = {result.id: str(result.state) for result in job.results}
    paths = [path for result in job.results for path in result.paths or ()]
    undelivered = [str(result.error or result.state) for result in job.results if not result.good]
    refused = {
        f"{what} {status}": count
        for (what, status), count in simulator.answers.items()
        if status >= _FIRST_REFUSAL
    }
    half = sorted(job.folder.rglob("*.part"))
    wanted = job.orders + job.cancels
    differing = {
        what: (sent.get(what, 0), simulator.requests[what])
        for what in sorted(sent.keys() | simulator.requests.keys())
        if sent.get(what, 0) != simulator.requests[what]
    }
    return [
        Check(
            "every order was placed, once",
            len(job.placed) == wanted and job.placed.keys() == states.keys(),
            _first(job.errors) or f"{wanted:,} wanted, {len(job.placed):,} placed, {len(states):,} there",
        ),
        Check(
            "every order ended, and came with all its files",
            len(job.results) == job.orders and not undelivered and job.placed.keys() >= ended.keys(),
            _first(undelivered) or f"{len(job.results):,} of {job.orders:,}",
        ),
        Check(
            "the states are those of the simulator, one by one",
            listed == states and all(states.get(id_ or "") == state for id_, state in ended.items()),
            f"listed: {_counts(listed)}; simulator: {_counts(states)}",
        ),
        Check(
            "every file, read again from the disk, has the sha256 of its manifest",
            not job.verified.problems
            and job.verified.manifests == job.orders
            and job.verified.files + job.verified.manifests == len(paths),
            _first(job.verified.problems)
            or f"{job.verified.files:,}, in {job.verified.manifests:,} of {job.orders:,} orders",
        ),
        Check("no half file is left", not half, _first(half) or "none"),
        Check(
            "every file was fetched once",
            simulator.requests["storage.get"] == len(paths),
            f"{simulator.requests['storage.get']:,} requests to the storage for {len(paths):,} files",
        ),
        Check(
            "the bulk cancel took those orders and no others",
            job.cancelled.succeeded == job.cancels
            and not job.cancelled.failures
            and cancelled == set(job.to_cancel),
            f"{job.cancels:,} wanted, {job.cancelled.succeeded:,} reported, {len(cancelled):,} there",
        ),
        Check(
            "every request that was sent arrived",
            not differing,
            ", ".join(f"{what}: {a:,} sent, {b:,} arrived" for what, (a, b) in differing.items())
            or f"{sum(sent.values()):,}",
        ),
        Check(
            "nothing was refused, with 429 or otherwise",
            not refused,
            ", ".join(f"{what}: {count:,}" for what, count in refused.items()) or "none",
        ),
    ]


def _counts(states: Mapping[str, str]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in sorted(Counter(states.values()).items()))


def _first(problems: Sequence[object]) -> str:
    if not problems:
        return ""
    more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"
