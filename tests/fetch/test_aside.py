"""Calls that hang: so many at once, whoever waits for them, and none in the way of the end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from proxy_addon.fetch.aside import Aside


async def test_what_is_returned_and_what_is_raised() -> None:
    aside = Aside(2, "test")
    assert await aside.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await aside.run(lambda: 1 // 0)


async def test_a_call_has_its_place_until_it_returns() -> None:
    """Also when nobody waits for it any more: threads that hang would pile up."""
    aside, go, at_work = Aside(2, "test"), threading.Event(), threading.Semaphore(0)

    def hangs() -> None:
        at_work.release()
        go.wait(20)

    for _ in range(3):
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await aside.run(hangs)
    others = [asyncio.ensure_future(aside.run(lambda: "in turn")) for _ in range(3)]
    _, waiting = await asyncio.wait(others, timeout=0.1)
    assert len(waiting) == 3
    go.set()
    assert await asyncio.gather(*others) == ["in turn"] * 3
    assert at_work.acquire(timeout=1) and at_work.acquire(timeout=1) and not at_work.acquire(blocking=False)


async def test_nothing_is_begun_when_it_is_closed() -> None:
    aside = Aside(2, "test")
    aside.close()
    for _ in range(3):
        with pytest.raises(OSError, match="closed"):
            await aside.run(lambda: 7)


def test_the_process_does_not_wait_for_it() -> None:
    """And a thread of another kind still gets to its end."""
    program = """
import asyncio, threading, time
from proxy_addon.fetch.aside import Aside
def writes():
    time.sleep(0.5)
    print("written", flush=True)
async def main():
    asyncio.ensure_future(Aside(1, "test").run(lambda: time.sleep(3600)))
    await asyncio.sleep(0)
    threading.Thread(target=writes).start()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "written\n", "")
