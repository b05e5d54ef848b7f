"""R1, R2: kill -9 while a file is on its way, at random bytes and between all that is written of it.

What was begun is resumed by ranges of what is missing or begun anew, what is half there is never given out as whole,
and what was complete stays so, with the hub or without. I1-I3, I5-I8 after each kill.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.clients.run import environment, python_of
from tests.faults.failpoint import Failpoint
from tests.faults.invariants import PIECE, Found, asked_once, download, served_without
from tests.faults.killed import Mortal
from tests.faults.nursery import Nursery
from tests.faults.test_scrubber import until
from tests.hub import Synthetic, TestHub
from tests.processes import Process, to_hub

SIZE = 9_500_000  # three pieces
CURL = ("bash", "-c", 'until curl -sSf -C - -o got "$0"; do sleep 0.05; done')
HUB = """
import shutil, sys, time
from huggingface_hub import hf_hub_download
for _ in range(300):
    try:
        path = hf_hub_download(sys.argv[1].split("/resolve/")[0].removeprefix("https://huggingface.co/"), "big.bin")
        break
    except Exception as error:
        print(repr(error))
        time.sleep(0.05)
shutil.copyfile(path, "got")
"""
CLIENTS = {"curl": CURL, "huggingface_hub": (str(python_of("hub2")), "-c", HUB)}
POINTS = (
    Failpoint("proxy_addon.store.index:Index.create", "before"),
    Failpoint("proxy_addon.store.index:Index.create", "after"),
    Failpoint("proxy_addon.store.disk:BytesDisk._write_file", "half", 2),
    Failpoint("proxy_addon.store.disk:BytesDisk._write_file", "after"),
    Failpoint("proxy_addon.store.rows:Change.place", "after", 2),
    Failpoint("proxy_addon.store.pieces:Pieces.put", "after"),
    Failpoint("proxy_addon.store.index:Index.record", "after", 3),
    Failpoint("proxy_addon.store.index:Index.seal", "before"),
    Failpoint("proxy_addon.store.index:Index.seal", "after"),
    Failpoint("proxy_addon.fetch.fill:Fill._seal", "after"),
    Failpoint("proxy_addon.store.index:Index.put_responses", "before"),
    Failpoint("proxy_addon.store.index:Index.put_responses", "after"),
)
numbers = count(1000)


def put(hub: TestHub, size: int = SIZE) -> tuple[str, Synthetic]:
    """A file that is new to everybody: its URL, its bytes."""
    seed = next(numbers)
    hub.add_synthetic(f"acme/killed-{seed}", "big.bin", size, seed=seed)
    return f"https://huggingface.co/acme/killed-{seed}/resolve/main/big.bin", Synthetic(size, seed)


def held(found: Found, source: Synthetic) -> int:
    """Bytes of the file that are on disk, in whole pieces."""
    names = [f"sha256:{source.sha256}#{number:06x}" for number in range(-(-source.size // PIECE))]
    return sum(found.held.get(name, 0) for name in names)


@pytest.fixture(scope="module")
def earlier(shared_hub: TestHub) -> tuple[str, Synthetic]:
    return put(shared_hub)


@pytest.fixture(scope="module")
def standing(
    nursery: Nursery, shared_hub: TestHub, tmp_path_factory: pytest.TempPathFactory, earlier: tuple[str, Synthetic]
) -> Iterator[Mortal]:
    few = to_hub(shared_hub, connections_per_file=2)
    with Mortal(nursery, shared_hub, tmp_path_factory.mktemp("killed"), POINTS, upstream=few) as mortal:
        assert download(mortal.proxy, *earlier).whole
        yield mortal


@pytest.mark.fault("R2")
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_killed_between_what_is_written(
    shared_hub: TestHub, standing: Mortal, earlier: tuple[str, Synthetic], point: Failpoint
) -> None:
    url, source = put(shared_hub)
    standing.arm(point)
    assert not download(standing.proxy, url, source).whole
    standing.died()
    begun = shared_hub.bytes_sent(blob=source.sha256)
    proxy = standing.again()
    assert download(proxy, url, source).whole
    asked_once(shared_hub, source, again=begun)
    served_without(shared_hub, proxy, dict([earlier, (url, source)]))


@pytest.mark.fault("R1", tries=10)
def test_killed_at_random_bytes(
    shared_hub: TestHub, standing: Mortal, earlier: tuple[str, Synthetic], tries: int
) -> None:
    seed = int(os.environ.get("HUBGATE_SEED", "1"))
    print("HUBGATE_SEED", seed)
    rnd, size, files = random.Random(seed), 17_000_000, dict([earlier])
    for _ in range(max(tries, int(os.environ.get("HUBGATE_TRIES", 0)))):
        url, source = put(shared_hub, size)
        at, pid = rnd.randrange(1, size - 300_000), standing.proxy.pid
        ident = shared_hub.knob(host="cdn-lfs*", bandwidth=rnd.choice((20, 200)) * 1_000_000)  # of each connection

        def kill(came: int, at: int = at, pid: int = pid) -> None:
            if came >= at:
                os.kill(pid, signal.SIGKILL)

        got = download(standing.proxy, url, source, seen=kill)
        here = held(standing.killed(), source)
        shared_hub.unknob(ident)
        shared_hub.clear()
        proxy = standing.again()
        start = min(got.size, size - 1)  # all of it may have been on its way to a client that is slow
        rest = download(proxy, url, source, {"Range": f"bytes={start}-"} if start else {})
        assert rest.whole and rest.start == start and rest.status == (206 if start else 200)
        assert download(proxy, url, source).whole
        asked_once(shared_hub, source)
        assert shared_hub.bytes_sent(blob=source.sha256) == size - here, "no more than what was missing"
        files[url] = source
    served_without(shared_hub, standing.proxy, files)


@pytest.mark.fault("R1", tries=3)
@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_that_tries_again_ends_with_the_right_bytes(
    shared_hub: TestHub, standing: Mortal, tmp_path: Path, name: str, tries: int
) -> None:
    url, source = put(shared_hub, 22_000_000)
    variables = environment(proxy_url=standing.proxy.url, ca_bundle=standing.proxy.bundle, home=tmp_path / "home")
    (tmp_path / "home").mkdir(exist_ok=True)
    shared_hub.knob(host="cdn-lfs*", bandwidth=8_000_000)  # of each connection
    due = 0

    def sent() -> bool:
        return bool(shared_hub.bytes_sent(blob=source.sha256) > due)

    with Process(["env", "-C", str(tmp_path / "home"), *CLIENTS[name], url], **variables) as client:
        for n in range(1, tries + 1):
            due = n * 6_000_000
            until(sent, "the hub is not asked")
            standing.killed()
            standing.again()
        assert client.wait(60) == 0, client.told
    shared_hub.unknob()
    digest = hashlib.sha256((tmp_path / "home/got").read_bytes()).hexdigest()
    assert digest == source.sha256
    assert shared_hub.bytes_sent(blob=source.sha256) <= 2 * source.size, "what was here is not fetched again"
