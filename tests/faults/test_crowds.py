"""R16: 200 clients want the same cold file at once. R17: 200 clients, each another file, some of whom hardly read and
some of whom leave.

One body comes from the hub, whoever waits for it; memory is bounded by clients, not by files; who reads slowly holds up
nobody; and when they have gone, nothing of them is left. `HUBGATE_CROWD_MIB` is the size of the one file.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.bench.process import memory
from tests.faults.asking import Ask, Placed, chance, crowd, placed, settled, take
from tests.faults.invariants import Footprint, served_without
from tests.faults.invariants import settled as sound
from tests.hub import Repo, Synthetic, TestHub
from tests.hub.repo import Storage
from tests.processes import Hubgate, configuration, to_hub

MIB = 1 << 20
STORAGES: tuple[Storage, ...] = ("lfs", "xet", "git")
CLIENTS = 200
SIZE = int(os.environ.get("HUBGATE_CROWD_MIB", "16")) * MIB
EACH = 1.5 * MIB  # of memory, at the most, for a client
BESIDE = 150 * MIB  # for the one fill: eight connections with a piece or two each, and the cache in memory


def peak(pid: int) -> int:
    return memory(pid, "VmHWM")


@pytest.mark.fault("R16")
@pytest.mark.timeout(300)
def test_a_crowd_that_wants_one_cold_file(hub: TestHub, tmp_path: Path) -> None:
    source = Synthetic(SIZE, 161)
    file = placed(hub, Repo("crowd/one", files={"b.bin": source}, storage={"b.bin": "lfs"}), "b.bin")
    with Hubgate(configuration(tmp_path, hub, upstream=to_hub(hub))) as proxy:
        assert take(proxy, "https://huggingface.co/acme/tiny/resolve/main/config.json").status == 200
        before, idle = Footprint.of(proxy.pid), memory(proxy.pid)
        began = time.monotonic()
        got = crowd(proxy, [Ask(file.url, timeout=200)] * CLIENTS)
        took = time.monotonic() - began
        most = peak(proxy.pid) - idle
        print(
            f"{CLIENTS} clients, {SIZE // MIB} MiB: {took:.1f} s, {most / MIB:.0f} MiB more than {idle / MIB:.0f} MiB"
        )
        assert all(each.right(source) for each in got), str(next(each for each in got if not each.right(source)))
        assert hub.bodies_of(file.digest) == 1.0
        assert len(hub.requests(method="HEAD", path="/crowd/*")) == 1
        assert most < BESIDE + CLIENTS * EACH
        settled(proxy)
        before.restored(spare=64)
        served_without(hub, proxy, {file.url: source})
        assert proxy.stop() == 0 and "Traceback" not in proxy.told, proxy.told
    sound(proxy.cache)


class Patience:
    """Of those who wait until so many others are done."""

    def __init__(self, others: int) -> None:
        self._left, self._lock, self._over = others, threading.Lock(), threading.Event()

    def done(self) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                self._over.set()

    def wait(self) -> None:
        assert self._over.wait(100), f"{self._left} others were held up"


def sort(hub: TestHub, n: int, storage: Storage, size: int) -> Placed:
    return placed(
        hub, Repo(f"crowd/n{n}", files={"b.bin": Synthetic(size, 1000 + n)}, storage={"b.bin": storage}), "b.bin"
    )


@pytest.mark.fault("R17", tries=40)
@pytest.mark.timeout(300)
def test_a_crowd_that_wants_all_sorts(hub: TestHub, tmp_path: Path) -> None:
    rnd = chance("all sorts")
    files = [sort(hub, n, rnd.choice(STORAGES), rnd.randrange(1, 1_500_000)) for n in range(CLIENTS)]
    slow, gone = range(20), range(20, 40)
    with Hubgate(configuration(tmp_path, hub, upstream=to_hub(hub))) as proxy:
        assert take(proxy, "https://huggingface.co/acme/tiny/resolve/main/config.json").status == 200
        before, idle = Footprint.of(proxy.pid), memory(proxy.pid)
        patience, asks = Patience(CLIENTS - len(slow)), list[Ask]()
        for n, file in enumerate(files):
            asks.append(Ask(file.url, timeout=100))
            if n in slow:  # they read no more until all the others are done
                asks[-1] = Ask(file.url, begun=patience.wait, timeout=100)
            elif n in gone:
                asks[-1] = Ask(file.url, leave=rnd.randrange(1, max(2, file.source.size)))
        got = crowd(proxy, asks, done=patience.done)
        print(f"{max(took.seconds for took in got[40:]):.1f} s, {(peak(proxy.pid) - idle) / MIB:.0f} MiB more")
        for n, (file, took) in enumerate(zip(files, got, strict=True)):
            assert took.right(file.source) or n in gone, (n, str(took))
        settled(proxy)
        assert peak(proxy.pid) - idle < BESIDE + CLIENTS * EACH
        assert sum(hub.bytes_sent(blob=file.digest) for file in files) <= sum(file.source.size for file in files)
        served_without(hub, proxy, {file.url: file.source for n, file in enumerate(files) if n not in gone})
        before.restored()  # the hub has closed what was kept open for the next request
        assert proxy.stop() == 0 and "Traceback" not in proxy.told, proxy.told
    sound(proxy.cache)
