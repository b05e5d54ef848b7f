"""What a crowd leaves behind is given back once nothing has been under way for a while, and once only."""

from __future__ import annotations

import asyncio

from proxy_addon.edge.admission import Open
from proxy_addon.edge.thrift import give_back, trim


async def looks(open: Open, quiet: float = 0.01) -> None:
    """Several of them go by."""
    for _ in range(30):
        await asyncio.sleep(quiet)


async def test_it_is_given_back_once_after_each_busy_time() -> None:
    open, given = Open(), list[int]()
    task = asyncio.create_task(give_back(open, lambda: given.append(open.begun), 0.01))
    await looks(open)
    assert given == [], "nothing has been under way yet"
    with open:
        await looks(open)
        assert given == [], "something is under way"
    await looks(open)
    assert given == [1]
    with open, open:
        pass
    await looks(open)
    assert given == [1, 3]
    task.cancel()


def test_the_c_library_has_it_or_needs_it_not() -> None:
    trim()
