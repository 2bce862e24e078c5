"""Many tasking orders with one request, under an id that is chosen before it is sent."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

from planet_async.errors import InvalidRequest, NotFound, PlanetError
from planet_async.models.codec import checked_body, to_json
from planet_async.models.tasking import BulkJob, BulkStatus
from planet_async.models.tasking_request import TaskingOrderRequest
from planet_async.services._api import Api
from planet_async.services._query import checked_id

_BULK = "/tasking/v2/bulk/"
_MOST_ORDERS = 1000


async def create_bulk(
    api: Api, orders: Iterable[TaskingOrderRequest | Mapping[str, Any]], bulk_id: str | UUID | None
) -> BulkJob:
    """Place the orders; see `Tasking.create_bulk`."""
    bodies = [
        checked_body(TaskingOrderRequest, order, where=f"order {number}")
        for number, order in enumerate(orders, start=1)
    ]
    chosen = str(uuid4()) if bulk_id is None else checked_id(bulk_id, "bulk job")
    if not bodies:
        return BulkJob(chosen, BulkStatus.COMPLETE, 0)
    if len(bodies) > _MOST_ORDERS:
        raise InvalidRequest(
            f"{len(bodies)} orders are more than the {_MOST_ORDERS} of one bulk job; nothing was sent"
        )
    body = b'{"id":%b,"order_payloads":[%b]}' % (to_json(chosen), b",".join(bodies))
    post = api.request("POST", _BULK, operation="tasking.create_bulk", body=body)
    try:
        await api.send(post)
    except PlanetError as error:
        if not error.may_have_acted:
            raise
        return await _found(api, chosen, error)
    # The answer is empty, and nothing that could fail is done once the orders are placed.
    return BulkJob(chosen, BulkStatus.PENDING, len(bodies))


async def get_bulk(api: Api, bulk_id: str | UUID) -> BulkJob:
    """Give a job; see `Tasking.get_bulk`."""
    path = _BULK + checked_id(bulk_id, "bulk job")
    return await api.call(BulkJob, api.request("GET", path, operation="tasking.get_bulk"))


async def _found(api: Api, bulk_id: str, error: PlanetError) -> BulkJob:
    """Give the job that an error left in doubt, or raise that error."""
    try:
        return await get_bulk(api, bulk_id)
    except NotFound:
        error.add_note(f"a moment later there was no bulk job {bulk_id}")
    except PlanetError as other:
        error.add_note(f"whether there is a bulk job {bulk_id} could not be found out: {other}")
    raise error
