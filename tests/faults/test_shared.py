"""R20: two processes on one cache directory, with room for half of what is asked for; one of them is killed, and back.

Both serve, each what the other has fetched; every byte is right; what one leaves behind when it is killed harms nobody.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.invariants import Got, download, look, served_without, settled
from tests.faults.killed import Mortal
from tests.faults.nursery import Nursery
from tests.faults.test_scrubber import until
from tests.hub import Synthetic, TestHub

FILES, ROOM = 8, "60MB"
SIZES = (1_000, 30_000, 70_000, 3_000_000, 9_000_000, 14_000_000, 17_000_000, 20_000_000)


@pytest.fixture
def files(hub: TestHub) -> dict[str, Synthetic]:
    made = {}
    for n, size in enumerate(SIZES):
        hub.add_synthetic(f"acme/both-{n}", "big.bin", size, seed=4000 + n)
        made[f"https://huggingface.co/acme/both-{n}/resolve/main/big.bin"] = Synthetic(size, 4000 + n)
    return made


@pytest.fixture
def two(nursery: Nursery, hub: TestHub, tmp_path: Path) -> Iterator[list[Mortal]]:
    cache = {"dir": str(tmp_path / "cache"), "size": ROOM, "memory": "1MB"}
    with ExitStack() as stack:
        yield [stack.enter_context(Mortal(nursery, hub, tmp_path / name, cache=cache)) for name in ("one", "two")]


@pytest.mark.fault("R20", tries=6)
def test_two_on_one_directory_one_of_them_killed(
    hub: TestHub, two: list[Mortal], files: dict[str, Synthetic], tries: int
) -> None:
    seed = int(os.environ.get("HUBGATE_SEED", "1"))
    print("HUBGATE_SEED", seed)
    rnd = random.Random(seed)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(max(tries, int(os.environ.get("HUBGATE_TRIES", 0)))):
            victim, other = rnd.sample(two, 2)
            url = rnd.choice(list(files)[4:])
            pid, at = victim.proxy.pid, rnd.randrange(files[url].size)

            def kill(size: int, pid: int = pid, at: int = at) -> None:
                if size >= at:
                    os.kill(pid, signal.SIGKILL)

            asked = [(mortal, rnd.choice(list(files))) for mortal in (victim, other) * 3]
            killing = pool.submit(download, victim.proxy, url, files[url], seen=kill)
            rest = [(mortal, pool.submit(download, mortal.proxy, url, files[url])) for mortal, url in asked]
            results: list[tuple[Mortal, Got]] = [(mortal, each.result()) for mortal, each in rest]
            assert all(got.whole for mortal, got in results if mortal is other), "the other does not notice"
            killing.result()
            victim.proxy.signal(signal.SIGKILL)  # now if not before
            assert victim.proxy.wait(30) == -signal.SIGKILL
            until(other.at_rest, "it goes on writing")
            look(victim.proxy.cache).sound(leftovers=True)
            victim.again()
            assert download(victim.proxy, url, files[url]).whole
    for mortal in two:
        assert mortal.proxy.metrics()["hubgate_cache_bytes"] <= 60_000_000


@pytest.mark.fault("R20", tries=2)
def test_what_one_has_the_other_serves(hub: TestHub, two: list[Mortal], files: dict[str, Synthetic]) -> None:
    one, other = two
    some = dict(list(files.items())[:5])
    assert all(download(one.proxy, *file).whole for file in some.items())
    one.killed()
    served_without(hub, other.proxy, some)
    one.again()
    served_without(hub, one.proxy, some)
    last = dict(list(files.items())[6:])
    assert all(download(other.proxy, *file).whole for file in last.items())
    served_without(hub, one.proxy, last)
    assert one.proxy.stop() == other.proxy.stop() == 0
    settled(one.proxy.cache)
