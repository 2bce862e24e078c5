"""The requests of a job, checked: all at once where they are there already, else each as it is read."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from planet_async.errors import InvalidRequest
from planet_async.models.convert import checked_body
from planet_async.models.order_request import OrderRequest

Asked = OrderRequest | Mapping[str, Any]
Request = tuple[str, bytes, InvalidRequest | None]
"""The name of what is to be ordered, the JSON to send, and what is wrong with it."""


def checked_requests(requests: Iterable[Asked] | AsyncIterable[Asked]) -> AsyncGenerator[Request]:
    """Yield the requests; of a sequence all are checked now, and the first wrong one is raised."""
    if isinstance(requests, Sequence):
        return _given([(_name(request), checked_body(OrderRequest, request), None) for request in requests])
    return _each(requests)


async def _given(requests: Iterable[Request]) -> AsyncGenerator[Request]:
    for request in requests:
        yield request


async def _each(requests: Iterable[Asked] | AsyncIterable[Asked]) -> AsyncGenerator[Request]:
    if isinstance(requests, AsyncGenerator):
        async with aclosing(requests):  # trio warns of one that is dropped
            async for request in requests:
                yield _checked(request)
    elif isinstance(requests, AsyncIterable):
        async for request in requests:
            yield _checked(request)
    else:
        for request in requests:
            yield _checked(request)


def _checked(request: Asked) -> Request:
    name = _name(request)
    try:
        return name, checked_body(OrderRequest, request), None
    except InvalidRequest as error:
        # It may be nothing that JSON can hold, but in a ledger it is known by its name and what is wrong.
        name = name.encode(errors="replace").decode()
        return name, msgspec.json.encode({"name": name, "wrong": str(error)}), error


def _name(request: object) -> str:
    if isinstance(request, OrderRequest):
        return request.name
    return str(request.get("name", "")) if isinstance(request, Mapping) else ""
