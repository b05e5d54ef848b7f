"""R3: kill -9 in an eviction, in the collection of leftovers, and while rules that came into force are kept.

A restart completes what was begun, or undoes it: no row is left without its bytes, nothing is served that is not whole
and right, what was not evicted is still served without the hub, and rules that deny go on doing so.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy_addon.store.contract import PIECE, Manifest
from proxy_addon.store.local import DiskStore
from tests.faults.failpoint import DIED, Failpoint
from tests.faults.invariants import Found, download, look
from tests.faults.killed import DEAD, Mortal
from tests.faults.nursery import Nursery
from tests.faults.test_scrubber import until
from tests.hub import Synthetic, TestHub
from tests.processes import ROOT, Hubgate

SIZE = 12_000_000
SHED, REMOVE = "proxy_addon.store.pieces:Pieces.shed", "proxy_addon.store.disk:BytesDisk.remove"
FORGET, DROP = "proxy_addon.store.index:Index.forget", "proxy_addon.store.pieces:Pieces.drop"
EVICTION = (
    Failpoint(SHED, "before"),
    Failpoint("proxy_addon.store.rows:Change.delete", "after"),
    Failpoint(REMOVE, "before"),
    Failpoint(REMOVE, "after"),
    Failpoint(SHED, "after"),
)
REMOVAL = (
    Failpoint(FORGET, "after"),
    Failpoint(DROP, "before"),
    Failpoint(REMOVE, "before", 2),
    Failpoint(DROP, "after"),
)
COLLECTION = (
    Failpoint(FORGET, "before"),
    Failpoint(FORGET, "after"),
    Failpoint(DROP, "before"),
    Failpoint(REMOVE, "before"),
    Failpoint(REMOVE, "after"),
    Failpoint("proxy_addon.store.pieces:Pieces.unname", "before"),
)
KEPT = (
    Failpoint("proxy_addon.policy.kept:write", "before"),
    Failpoint("os:fsync", "before"),
    Failpoint("os:replace", "before", only="last-good"),
    Failpoint("os:replace", "after", only="last-good"),
)
"""Of what comes when rules have come into force."""


DENY = 'version: 1\nrules:\n  - {id: %s, effect: deny, match: {repo: "acme/*"}, reason: "no", owner: me}\n'
TINY = "https://huggingface.co/acme/tiny/resolve/main/config.json"


def file(seed: int) -> tuple[str, Synthetic]:
    return f"https://huggingface.co/acme/room-{seed}/resolve/main/big.bin", Synthetic(SIZE, seed)


@pytest.fixture(scope="module")
def crowded(nursery: Nursery, shared_hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    """Room for four files and a bit; four are there."""
    folder = tmp_path_factory.mktemp("crowded")
    for seed in range(2000, 2020):
        shared_hub.add_synthetic(f"acme/room-{seed}", "big.bin", SIZE, seed=seed)
    cache = {"dir": str(folder / "cache"), "size": "52MB", "memory": "0B"}
    with Mortal(nursery, shared_hub, folder, {*EVICTION, *COLLECTION, *REMOVAL}, cache=cache) as mortal:
        for seed in range(2000, 2004):
            assert download(mortal.proxy, *file(seed)).whole
        yield mortal


def served_without_hub(hub: TestHub, proxy: Hubgate, found: Found) -> int:
    """How many files were complete, and are served; what is here in part is not given out as whole."""
    hub.stop()
    try:
        files = list(map(file, range(2000, 2020)))
        complete = [each for each in files if f"sha256:{each[1].sha256}" in found.complete]
        in_part = [each for each in files if each not in complete and f"sha256:{each[1].sha256}" in str(found.held)]
        assert all(download(proxy, *each).whole for each in complete)
        assert not any(download(proxy, *each).whole for each in in_part[:1])
    finally:
        hub.start()
    return len(complete)


@pytest.mark.fault("R3")
@pytest.mark.parametrize("point", EVICTION, ids=str)
def test_killed_in_an_eviction(shared_hub: TestHub, crowded: Mortal, point: Failpoint) -> None:
    new = file(2010 + EVICTION.index(point))
    crowded.arm(point)
    assert not download(crowded.proxy, *new).whole
    found = crowded.died()
    proxy = crowded.again()
    assert served_without_hub(shared_hub, proxy, found) >= 2
    assert download(proxy, *new).whole
    assert proxy.metrics()["hubgate_cache_bytes"] <= 52_000_000


@pytest.mark.fault("R3")
@pytest.mark.parametrize("point", REMOVAL, ids=str)
def test_killed_in_a_removal_beside_a_server(shared_hub: TestHub, crowded: Mortal, point: Failpoint) -> None:
    url, source = file(2000)
    assert download(crowded.proxy, url, source).whole
    crowded.arm(point)
    with crowded.run("cache", "rm", "hf:acme/room-2000") as removal:
        removal.wait_for(DIED)
        assert removal.wait() == DEAD
    served_without_hub(shared_hub, crowded.proxy, crowded.left())
    assert download(crowded.proxy, url, source).whole
    crowded.killed()
    assert download(crowded.again(), url, source).whole


@pytest.mark.fault("R3")
@pytest.mark.parametrize("point", COLLECTION, ids=str)
def test_killed_while_leftovers_are_collected(shared_hub: TestHub, crowded: Mortal, point: Failpoint) -> None:
    for seed in (2001, 2002, 2003):
        assert download(crowded.proxy, *file(seed)).whole
    crowded.killed()
    planted(crowded.proxy.cache)
    found = crowded.dies_at_start(point)
    assert not found.wrong
    proxy = crowded.again()
    until(lambda: clean(proxy.cache), "leftovers stay")
    served_without_hub(shared_hub, proxy, found)
    assert download(proxy, *file(2001)).whole


def planted(cache: Path) -> None:
    """All that can be left behind: a file without a row, a row without a file, pieces without a blob, a blob that was
    begun yesterday."""
    stray = cache / "pieces/00/00" / ("0" * 28 + ".val")
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"x")
    asyncio.run(_begun(cache))
    with closing(sqlite3.connect(cache / "index/cache.db", isolation_level=None)) as con:
        con.execute("UPDATE Cache SET access_time = access_time - 200000 WHERE key = 'm:begun'")
        con.execute("DELETE FROM Cache WHERE key LIKE ?", (f"_:sha256:{file(2002)[1].sha256}%",))
    with closing(sqlite3.connect(cache / "pieces/cache.db")) as con:
        (name,) = con.execute("SELECT filename FROM Cache WHERE key = 'lost#000000'").fetchone()
    (cache / "pieces" / name).unlink()
    for path in cache.glob("pieces/??/??/*.val"):  # no other process may be about to give it a row
        os.utime(path, (time.time() - 3600,) * 2)


async def _begun(cache: Path) -> None:
    store = DiskStore(cache, 4 << 30, 1 << 20)
    await store.open()
    for blob in ("begun", "lost"):
        await store.blobs.create(Manifest(blob, PIECE + 1))
        await store.blobs.write_piece(blob, 0, bytes(PIECE))
    await store.close()


def clean(cache: Path) -> bool:
    found = look(cache)
    return not (found.leftovers or found.dangling or "begun" in found.partial)


@pytest.mark.fault("R3", tries=2)
def test_killed_while_it_looks_at_its_directory(nursery: Nursery, hub: TestHub, tmp_path: Path) -> None:
    probing = Failpoint("pathlib:Path.unlink", "before", only="cache/probe.")
    claiming = Failpoint("os:replace", "before", only="cache/FORMAT.")
    with Mortal(nursery, hub, tmp_path, [probing, claiming]) as mortal:
        for point, left in ((probing, "probe."), (claiming, "FORMAT.")):
            mortal.killed()
            (mortal.proxy.cache / "FORMAT").unlink()
            shutil.rmtree(mortal.proxy.cache / "index")
            shutil.rmtree(mortal.proxy.cache / "pieces")
            found = mortal.dies_at_start(point)
            assert [name.startswith(left) for name in found.leftovers] == [True]
            os.utime(mortal.proxy.cache / found.leftovers[0], (time.time() - 7200,) * 2)
            assert look(mortal.again().cache).leftovers == []


@pytest.mark.fault("R3")
@pytest.mark.parametrize("point", KEPT, ids=str)
def test_killed_while_rules_are_kept(shared_hub: TestHub, nursery: Nursery, tmp_path: Path, point: Failpoint) -> None:
    rules = tmp_path / "h/rules"
    rules.mkdir(parents=True)
    shutil.copy(ROOT / "rules/default.yaml", rules)
    own = rules / "own.yaml"
    own.write_text(DENY % "first")
    with Mortal(nursery, shared_hub, tmp_path / "h", KEPT) as mortal:
        assert mortal.proxy.ask(TINY)["X-Policy-Rule"] == "first"
        mortal.arm(point)
        own.write_text(DENY % "second")
        found = mortal.died()
        own.write_text("version: 1\nruels: []\n")
        proxy = mortal.again()
        answer = proxy.ask(TINY)
        assert answer.status == 403 and answer["X-Policy-Rule"] == ("second" if point.when == "after" else "first")
        for half_written in found.leftovers:
            os.utime(proxy.cache / half_written, (time.time() - 7200,) * 2)
        own.write_text(DENY % "third")
        until(lambda: proxy.ask(TINY)["X-Policy-Rule"] == "third", "the rules are not in force")
        until(lambda: not look(proxy.cache).leftovers, "leftovers stay")
