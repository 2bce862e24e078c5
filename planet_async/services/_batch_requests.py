"""The requests of a job, checked: all at once where they are there already, else each as it is read."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any

import msgspec
from anyio.lowlevel import checkpoint

from planet_async.errors import InvalidRequest
from planet_async.models.codec import checked_body
from planet_async.models.order_request import OrderRequest

Asked = OrderRequest | Mapping[str, Any]
Request = tuple[str, bytes, InvalidRequest | None]
"""The name of what is to be ordered, the JSON to send, and what is wrong with it."""


_AT_ONCE = 10  # a request with a large area takes a millisecond or more to check


def checked_requests(requests: Iterable[Asked] | AsyncIterable[Asked]) -> AsyncGenerator[Request]:
    """Yield the requests; of a sequence all are checked first, and the first wrong one is raised.

    That is done for a few of them now, and for the others bit by bit.
    """
    if isinstance(requests, Sequence):
        rest = iter([*requests])
        return _given(deque(map(_sound, islice(rest, _AT_ONCE))), rest)
    return _each(requests)


async def _given(checked: deque[Request], rest: Iterable[Asked]) -> AsyncGenerator[Request]:
    for request in rest:
        await checkpoint()  # ten thousand may take seconds
        checked.append(_sound(request))
    while checked:
        yield checked.popleft()


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


def _sound(request: Asked) -> Request:
    return _name(request), checked_body(OrderRequest, request), None


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
