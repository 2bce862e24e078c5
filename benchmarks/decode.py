"""Decoding a page of 500 orders, typed and with nothing lost, against `json.loads` into dicts.

python benchmarks/decode.py
"""

import json
import time
from collections.abc import Sequence

import anyio.lowlevel
from bodies import orders_json, page_json
from goals import Goal, interleaved, print_table, ratio, run
from side_by_side import Figures

_TIMES = 60


async def ours() -> Figures:
    """Decode each order to a record that keeps its JSON."""
    from planet_async import Order
    from planet_async.http import Request, Response
    from planet_async.models.codec import decode
    from planet_async.paging import ORDERS_PAGES, Paginator
    from planet_async.testing import FakeTransport

    body = b"".join(page_json(orders_json(0), None))
    request = Request("GET", "https://api.planet.com/compute/ops/orders/v2")
    network = FakeTransport(lambda _: Response(200, body=body))
    paginator = Paginator(network, request, ORDERS_PAGES, lambda raw, _: decode(Order, raw))
    began = time.process_time()
    for _ in range(_TIMES):
        (await paginator.page()).items  # noqa: B018 - decodes
    return {"ms a page": (time.process_time() - began) / _TIMES * 1000}


async def plain() -> Figures:
    """Decode to dicts."""
    body = b"".join(page_json(orders_json(0), None))
    await anyio.lowlevel.checkpoint()
    began = time.process_time()
    for _ in range(_TIMES):
        json.loads(body)
    return {"ms a page": (time.process_time() - began) / _TIMES * 1000}


CLIENTS = {"ours": ours, "json.loads": plain}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    found = interleaved(__file__, list(CLIENTS), rounds)
    print_table("decode a page of 500 orders", found)
    speed = ratio(found, "ms a page", "json.loads", "ours")
    return [Goal("decode 500 orders, against json.loads", speed, least=1.8)]


if __name__ == "__main__":
    run(__file__, CLIENTS, goals, rounds=7)
