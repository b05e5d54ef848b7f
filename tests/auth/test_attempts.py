"""Guesses are counted for each address, one at a time; who is right spends nothing."""

from __future__ import annotations

import asyncio

import pytest

from proxy_addon.auth import attempts
from proxy_addon.auth.attempts import BURST, EACH, WAITING, Attempts, TooMany, network


class Timer:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def guess(door: Attempts, address: str, *, wrong: bool = True) -> None:
    async with door.turn(address) as was_wrong:
        if wrong:
            was_wrong()


async def test_an_address_has_some_wrong_answers_to_spare_and_gets_more_by_and_by():
    timer = Timer()
    door = Attempts(timer)
    for _ in range(BURST):
        await guess(door, "10.0.0.1", wrong=False)
        await guess(door, "10.0.0.1")
    with pytest.raises(TooMany) as told:
        await guess(door, "10.0.0.1", wrong=False)
    assert told.value.wait == EACH
    await guess(door, "10.0.0.2")
    timer.now += EACH
    await guess(door, "10.0.0.1")
    with pytest.raises(TooMany):
        await guess(door, "10.0.0.1")
    timer.now += 10_000 * EACH
    for _ in range(BURST):
        await guess(door, "10.0.0.1")
    with pytest.raises(TooMany):
        await guess(door, "10.0.0.1")


async def test_one_at_a_time_few_wait_and_who_waited_is_counted_again():
    door, under_way, most, gone_on = Attempts(Timer()), 0, 0, asyncio.Event()

    async def one() -> bool:
        nonlocal under_way, most
        async with door.turn("10.0.0.1") as wrong:
            under_way += 1
            most = max(most, under_way)
            await gone_on.wait()
            under_way -= 1
            wrong()
            return True

    tasks = [asyncio.create_task(one()) for _ in range(WAITING + 5)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    gone_on.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 1
    assert sum(each is True for each in ended) == BURST
    assert sum(isinstance(each, TooMany) for each in ended) == WAITING + 5 - BURST


async def test_a_place_is_given_back_by_who_leaves():
    door, never = Attempts(Timer()), asyncio.Event()

    async def one() -> None:
        async with door.turn("10.0.0.1"):
            await never.wait()

    tasks = [asyncio.create_task(one()) for _ in range(WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(TooMany):
        await guess(door, "10.0.0.1")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await guess(door, "10.0.0.1")


async def test_memory_is_bounded_and_who_waits_is_not_forgotten(monkeypatch):
    monkeypatch.setattr(attempts, "MOST", 50)
    door = Attempts(Timer())
    async with door.turn("10.9.9.9"):
        for n in range(500):
            await guess(door, f"10.0.{n // 250}.{n % 250}")
        assert len(door) <= 51
        assert door._places["10.9.9.9"].waiting == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_what_is_counted_together(one, other, same):
    assert (network(one) == network(other)) is same
