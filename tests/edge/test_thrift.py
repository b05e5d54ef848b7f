"""What a crowd leaves behind is given back once nothing has been under way for a while, and once only."""

from __future__ import annotations

import asyncio
import ctypes
from types import SimpleNamespace

import pytest

from proxy_addon.edge.admission import Open
from proxy_addon.edge.thrift import CROWD, give_back, trim


async def looks(open: Open, quiet: float = 0.01) -> None:
    """Several of them go by."""
    for _ in range(30):
        await asyncio.sleep(quiet)


async def test_it_is_given_back_once_after_each_busy_time() -> None:
    open, given, heard = Open(), list[int](), asyncio.Event()
    loop = asyncio.get_running_loop()

    def trimmed() -> None:
        given.append(open.begun)
        loop.call_soon_threadsafe(heard.set)

    task = asyncio.create_task(give_back(open, trimmed, 0.01))
    await looks(open)
    assert given == [], "nothing has been under way yet"
    with open:
        await looks(open)
        assert given == [], "something is under way"
    await once(heard)
    await looks(open)
    assert given == [1]
    with open, open:
        pass
    await once(heard)
    assert given == [1, 3]
    task.cancel()


async def test_what_a_crowd_leaves_is_given_back_though_somebody_is_there() -> None:
    open, heard, loop = Open(), asyncio.Event(), asyncio.get_running_loop()

    def trimmed() -> None:
        loop.call_soon_threadsafe(heard.set)

    task = asyncio.create_task(give_back(open, trimmed, 0.01))
    await looks(open)
    with open:
        await looks(open)
        open.left += CROWD - 1
        await looks(open)
        assert not heard.is_set()
        open.left += 1
        await once(heard)
        await looks(open)
        assert not heard.is_set(), "once for each crowd"
        open.left += 1
    await once(heard)
    task.cancel()


async def once(heard: asyncio.Event) -> None:
    async with asyncio.timeout(60):
        await heard.wait()
    heard.clear()


def test_the_c_library_is_asked_for_all_that_is_free_if_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    trim()
    asked = list[int]()
    for library in (SimpleNamespace(malloc_trim=asked.append), SimpleNamespace()):
        monkeypatch.setattr(ctypes, "CDLL", lambda name, library=library: library)
        trim()
    assert asked == [0]
