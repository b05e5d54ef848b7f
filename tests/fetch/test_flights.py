"""Collapsing: one asks, all are answered, and who leaves takes nobody along."""

from __future__ import annotations

import asyncio

import pytest

from proxy_addon.fetch.flights import Flights


async def test_one_asks_and_all_get_the_answer() -> None:
    flights, gate, asked = Flights(), asyncio.Event(), 0

    async def work() -> str:
        nonlocal asked
        asked += 1
        await gate.wait()
        return "answer"

    joined = [asyncio.create_task(flights.join("k", work)) for _ in range(5)]
    await asyncio.sleep(0)
    assert len(flights) == 1
    joined[0].cancel()
    gate.set()
    got = await asyncio.gather(*joined, return_exceptions=True)
    assert isinstance(got[0], asyncio.CancelledError)
    assert got[1:] == [("answer", True)] * 4 and asked == 1
    await asyncio.sleep(0)
    assert len(flights) == 0 and (await flights.join("k", work)) == ("answer", False)


async def test_a_failure_reaches_all_and_is_not_kept() -> None:
    flights = Flights()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    got = await asyncio.gather(*(flights.join("k", fail) for _ in range(3)), return_exceptions=True)
    assert [type(g) for g in got] == [LookupError] * 3
    with pytest.raises(LookupError):
        await flights.join("k", fail)
    await asyncio.sleep(0)
    assert len(flights) == 0


async def test_a_flight_that_nobody_awaits_any_more_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    flights, gate = Flights(), asyncio.Event()

    async def fail() -> None:
        await gate.wait()
        raise LookupError

    alone = asyncio.create_task(flights.join("k", fail))
    await asyncio.sleep(0)
    alone.cancel()
    gate.set()
    await asyncio.gather(alone, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(flights) == 0 and not caplog.records


async def test_other_keys_fly_on_their_own() -> None:
    flights = Flights()

    async def work() -> int:
        await asyncio.sleep(0)
        return 1

    assert await asyncio.gather(flights.join("a", work), flights.join("b", work)) == [(1, False), (1, False)]
