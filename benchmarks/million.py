"""The memory that it takes to look at each of a million listed orders.

python benchmarks/million.py
"""

from collections.abc import Sequence

from bodies import PAGE
from goals import Goal, interleaved, measuring, median, print_table, run
from raw_server import raw_server
from side_by_side import Figures

_ORDERS = 1_000_000


async def ours(url: str) -> Figures:
    """List by default, each order typed."""
    from planet_async import ApiKey, Config, Planet

    count, figures = 0, Figures()
    with measuring(figures):
        async with Planet(Config(base_url=url, rates={}), credentials=ApiKey("any")) as planet:
            async for _ in planet.orders.list(
                user_id=_ORDERS // PAGE
            ):  # to the raw server, the number of pages
                count += 1
    assert count == _ORDERS
    return figures


CLIENTS = {"planet_async": ours}


def goals(rounds: int) -> Sequence[Goal]:
    """Measure."""
    with raw_server() as url:
        found = interleaved(__file__, list(CLIENTS), rounds, url)
    print_table("iterate over a million listed orders", found)
    memory = median(found, "MB above start", "planet_async")
    return [Goal("memory of iterating over a million listed orders", memory, most=60, unit="MB above start")]


if __name__ == "__main__":
    run(__file__, CLIENTS, goals, rounds=1)
