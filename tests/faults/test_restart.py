"""R19: told to end with downloads open, begun again, and begun on a cache directory of another format.

What is open is finished, what is new is refused, and the exit is clean; what was here is here afterwards, without the
hub. A directory of another format is refused in words that name it and what to do, and is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy_addon.store.layout import FORMAT
from tests.faults.invariants import Footprint, asked_once, download, served_without, settled
from tests.faults.killed import Mortal
from tests.faults.nursery import Nursery
from tests.faults.test_scrubber import until
from tests.hub import Synthetic, TestHub

SIZE, MANY = 10_000_000, 12


def put(hub: TestHub, seed: int) -> tuple[str, Synthetic]:
    hub.add_synthetic(f"acme/open-{seed}", "big.bin", SIZE, seed=seed)
    return f"https://huggingface.co/acme/open-{seed}/resolve/main/big.bin", Synthetic(SIZE, seed)


@pytest.mark.fault("R19", tries=12)
def test_told_to_end_with_downloads_open(nursery: Nursery, hub: TestHub, tmp_path: Path, tries: int) -> None:
    files = dict(put(hub, 3000 + n) for n in range(tries))
    with Mortal(nursery, hub, tmp_path, drain="60s") as mortal, ThreadPoolExecutor(tries) as pool:
        proxy = mortal.proxy
        hub.knob(host="cdn-lfs*", hold="all", hold_at=300_000)
        begun = [0] * tries

        def seen(n: int) -> Callable[[int], None]:
            return lambda size: begun.__setitem__(n, size)

        opened = [pool.submit(download, proxy, *file, seen=seen(n)) for n, file in enumerate(files.items())]
        until(lambda: all(begun), "not all are open")
        proxy.signal()
        proxy.wait_for("stopping; open downloads have")
        until(lambda: download(proxy, *put(hub, 3000)).status == 0, "it still takes connections")
        assert not any(each.done() for each in opened)
        hub.release("all")
        assert all(each.result().whole for each in opened), "drained"
        assert proxy.wait() == 0, proxy.told
        for source in files.values():
            asked_once(hub, source)
        settled(proxy.cache)
        again = mortal.again()
        served_without(hub, again, files)


@pytest.mark.fault("R19", tries=3)
def test_restarts_leave_nothing_open_and_lose_nothing(
    nursery: Nursery, hub: TestHub, tmp_path: Path, tries: int
) -> None:
    files, first = dict([put(hub, 3100)]), put(hub, 3101)
    with Mortal(nursery, hub, tmp_path) as mortal:
        for n in range(tries):
            assert download(mortal.proxy, *first).whole
            before = Footprint.of(mortal.proxy.pid)
            files |= dict([put(hub, 3110 + n)])
            assert all(download(mortal.proxy, *file).whole for file in files.items())
            before.restored()
            assert mortal.proxy.stop() == 0
            served_without(hub, mortal.again(), files)
        for source in files.values():
            asked_once(hub, source)


@pytest.mark.fault("R19", tries=2)
@pytest.mark.parametrize("version", [FORMAT + 1, FORMAT - 1], ids=["newer", "older"])
def test_a_directory_of_another_format(nursery: Nursery, hub: TestHub, tmp_path: Path, version: int) -> None:
    url, source = put(hub, 3200)
    with Mortal(nursery, hub, tmp_path) as mortal:
        assert download(mortal.proxy, url, source).whole
        assert mortal.proxy.stop() == 0
        cache = mortal.proxy.cache
        mark = cache / "FORMAT"
        ours = mark.read_text()
        mark.write_text(json.dumps(json.loads(ours) | {"hubgate": version}))
        before = snapshot(cache)
        for command in (["serve"], ["cache", "verify"]):
            with mortal.run(*command) as done:
                assert done.wait() == 2
            right = (
                f"cache.dir: {cache} has format {version}, this program writes format {FORMAT} and left it untouched"
            )
            told = done.told.replace("\n", " ")
            assert right in told and "name another directory" in told and "Traceback" not in told
        assert snapshot(cache) == before
        mark.write_text(ours)
        served_without(hub, mortal.again(), {url: source})


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
