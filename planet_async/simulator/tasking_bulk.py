"""The simulated bulk creation of tasking orders, under an id of the caller's choice."""

from collections.abc import Callable, Collection

from attrs import frozen

from planet_async.simulator.exchange import Answer, Call, json_answer
from planet_async.simulator.tasking_book import TaskingBook
from planet_async.simulator.tasking_checks import detail, is_uuid, not_found, object_of, order_problems
from planet_async.simulator.times import after, render
from planet_async.simulator.world import World

BULK = "/tasking/v2/bulk"
MAX_ORDERS = 1000

_PENDING_SECONDS = 1.0
_SECONDS_EACH = 0.1


@frozen
class _Job:
    id: str
    created: int
    succeeded: int
    failed: int


class BulkJobs:
    """All bulk jobs.  Their orders are there at once; how far a job is, follows from the time [L]."""

    def __init__(self, world: World, book: TaskingBook, windows: Callable[[], Collection[str]]) -> None:
        self._world = world
        self._book = book
        self._windows = windows
        self._by_id: dict[str, _Job] = {}

    def create(self, call: Call) -> Answer:
        """Accept the orders: an empty answer, and where the job is."""
        body = object_of(call)
        orders = body.get("order_payloads")
        if not isinstance(orders, list) or not 1 <= len(orders) <= MAX_ORDERS:
            return json_answer({"order_payloads": [f"From 1 to {MAX_ORDERS} orders are expected."]}, 400)
        bulk_id = body.get("id", None) or self._world.new_id()
        if not is_uuid(bulk_id):
            return json_answer({"id": ["Must be a valid UUID."]}, 400)
        if bulk_id in self._by_id:
            return detail(409, "There is such a bulk job already.")  # what happens really is not known [L]
        windows, now = self._windows(), self._world.now()
        accepted = [order for order in orders if not order_problems(order, windows)]
        for order in accepted:
            self._book.add({name: value for name, value in order.items() if value is not None}, now)
        self._by_id[bulk_id] = _Job(bulk_id, now, len(accepted), len(orders) - len(accepted))
        return Answer(202, {"location": f"{BULK}/{bulk_id}"})

    def get(self, call: Call, bulk_id: str) -> Answer:
        """Show how far a job is."""
        job = self._by_id.get(bulk_id)
        if job is None:
            return not_found()
        now = self._world.now()
        count = job.succeeded + job.failed
        start = after(job.created, _PENDING_SECONDS)
        end = after(start, count * _SECONDS_EACH)
        done = now >= end
        return json_answer(
            {
                "id": job.id,
                "status": "COMPLETE" if done else "RUNNING" if now >= start else "PENDING",
                "payload_count": count,
                "processing_payload_count": 0 if done else count,
                "success_payload_count": job.succeeded if done else 0,
                "failed_payload_count": job.failed if done else 0,
                "start_time": render(start) if now >= start else None,
                "end_time": render(end) if done else None,
            }
        )
