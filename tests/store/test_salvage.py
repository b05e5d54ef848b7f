"""A broken database is set aside, and what is good of it is kept."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy_addon.store.contract import PIECE
from proxy_addon.store.index import Index
from proxy_addon.store.local import DiskStore
from proxy_addon.store.rows import BrokenRows, Rows
from proxy_addon.store.salvage import salvage
from proxy_addon.store.sweep import sweep

from ..contracts.samples import content, fill, read_all, response
from .conftest import Clock, Opener

KEYS = [f"https://hub.test/{number}" for number in range(400)]
BLOBS = {f"blob-{number}": content(f"blob-{number}", PIECE // 4 + number) for number in range(12)}


async def stock(store: DiskStore) -> None:
    for name, data in BLOBS.items():
        await fill(store.blobs, name, data)
    for key in KEYS:
        await store.responses.put(key, [response(key)])
    await store.blobs.keep_all(("blob-3",), True)


async def kept(store: DiskStore) -> tuple[int, int]:
    """(responses, blobs) that are here; everything that is here is right."""
    responses = blobs = 0
    for key in KEYS:
        if found := await store.responses.get(key):
            assert tuple(found) == (response(key),)
            responses += 1
    for name, data in BLOBS.items():
        manifest = await store.blobs.manifest(name)
        if manifest is not None and await store.blobs.present(name):
            assert manifest.sealed and await read_all(store.blobs, manifest) == data
            blobs += 1
    return responses, blobs


def spoil(file: Path, page: int) -> None:
    """One page of it is rubbish now."""
    with file.open("r+b") as f:
        f.seek(page * 4096)
        f.write(random.Random(page).randbytes(4096))


@pytest.mark.fault("R4")
@pytest.mark.parametrize("which", ["index", "pieces"])
async def test_a_spoilt_page_costs_what_was_on_it(opened: Opener, root: Path, which: str) -> None:
    store = await opened()
    await stock(store)
    await store.close()
    file = root / which / "cache.db"
    pages = file.stat().st_size // 4096
    for page in range(pages // 2, pages // 2 + 3):
        spoil(file, page)
    store = await opened()
    await store.check_rows()
    await store.sweep()
    responses, blobs = await kept(store)
    assert store.replaced == 1 and len(list(root.glob(f"{which}.bad-*/salvaged"))) == 1
    assert responses >= len(KEYS) * 0.8 and blobs >= len(BLOBS) * 0.5, "a few pages must not cost the cache"
    assert (await store.stats())["pieces"] == len(list(root.glob("pieces/*/*/*.val")))
    await stock(store)
    assert await kept(store) == (len(KEYS), len(BLOBS))


async def test_an_index_that_disagrees_with_its_table_is_found_and_rebuilt(opened: Opener, root: Path) -> None:
    """The key of one row has become that of another: each is whole, and no error tells."""
    store = await opened()
    await stock(store)
    await store.close()
    file = root / "index" / "cache.db"
    sql = "SELECT * FROM sqlite_schema WHERE name = 'Cache_key_raw'"
    with sqlite3.connect(file) as con:
        con.execute("PRAGMA writable_schema = ON")
        (definition,) = con.execute(sql).fetchall()
        con.execute("DELETE FROM sqlite_schema WHERE name = 'Cache_key_raw'")
    con.close()
    with sqlite3.connect(file) as con:
        con.execute("UPDATE Cache SET key = ? WHERE key = ?", (f"r:{KEYS[1]}", f"r:{KEYS[0]}"))
        con.execute("PRAGMA writable_schema = ON")
        con.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", definition)
    con.close()
    store = await opened()
    await store.check_rows()
    assert store.replaced == 1
    assert await kept(store) == (len(KEYS) - 1, len(BLOBS)) and store.blobs.kept == {"blob-3"}
    assert await store.responses.get(KEYS[0]) == ()


async def test_nobody_sees_it_empty_meanwhile(opened: Opener, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that did would take all pieces for leftovers."""
    store = await opened()
    await stock(store)
    filling, looked = threading.Event(), threading.Event()

    def slowly(source: Path, into: Rows) -> int:
        filling.set()
        assert not looked.wait(0.3)
        return salvage(source, into)

    def look() -> int:
        assert filling.wait(10)
        count = store._index.rows.total()[0]
        looked.set()
        return count

    monkeypatch.setattr("proxy_addon.store.shelf.salvage", slowly)
    count = store._index.rows.total()[0]
    looking = asyncio.create_task(asyncio.to_thread(look))
    await asyncio.to_thread(store._index.heal, BrokenRows(store._index.rows, "so to say"))
    assert await looking == count and looked.is_set()
    await store.sweep(grace=0, unfinished=0)
    assert await kept(store) == (len(KEYS), len(BLOBS))


async def test_a_damaged_definition_does_not_hide_the_rows(opened: Opener, root: Path) -> None:
    store = await opened()
    await stock(store)
    await store.close()
    with sqlite3.connect(root / "index" / "cache.db") as con:
        con.execute("PRAGMA writable_schema = ON")
        con.execute("UPDATE sqlite_schema SET rootpage = 1 << 30 WHERE name = 'Cache_tag_access'")
    con.close()
    store = await opened()
    assert store.replaced == 1
    assert await kept(store) == (len(KEYS), len(BLOBS)) and store.blobs.kept == {"blob-3"}


async def test_while_in_use_too(opened: Opener, root: Path) -> None:
    store = await opened()
    await stock(store)
    (before,) = store._index.rows.select("PRAGMA page_count")
    store._index.rows.select("PRAGMA wal_checkpoint(TRUNCATE)")
    spoil(root / "index" / "cache.db", before[0] // 2)
    await store.check_rows()
    responses, blobs = await kept(store)
    assert store.replaced == 1 and responses > len(KEYS) // 2 and blobs
    await stock(store)
    assert await kept(store) == (len(KEYS), len(BLOBS))


@pytest.mark.fault("R4")
@pytest.mark.parametrize("seed", range(8))
async def test_any_damage_to_the_log_leaves_a_cache_that_works(opened: Opener, root: Path, seed: int) -> None:
    rnd = random.Random(seed)
    print("seed", seed)
    store = await opened()
    await stock(store)
    wal = root / "index" / "cache.db-wal"
    saved = wal.read_bytes()
    await store.close()
    data = bytearray(saved)
    for _ in range(20):
        data[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
    wal.write_bytes(data[: rnd.randrange(len(data) // 2, len(data))] if seed % 2 else data)
    store = await opened()
    await store.check_rows()
    await kept(store)
    await stock(store)
    assert await kept(store) == (len(KEYS), len(BLOBS))


async def test_rows_that_do_not_prove_themselves_stay_behind(opened: Opener, root: Path, clock: Clock) -> None:
    store = await opened()
    await stock(store)
    await store.close()
    with sqlite3.connect(root / "index" / "cache.db") as con:
        con.execute("UPDATE Cache SET value = zeroblob(40) WHERE key = ?", (f"r:{KEYS[0]}",))
        con.execute("UPDATE Cache SET value = 'text' WHERE key = ?", (f"r:{KEYS[1]}",))
        con.execute("UPDATE Cache SET filename = '../../x', value = NULL, mode = 2 WHERE key = ?", (f"r:{KEYS[2]}",))
        con.execute("UPDATE Cache SET mode = 4 WHERE key = ?", (f"r:{KEYS[3]}",))
        con.execute("UPDATE Cache SET size = 7 WHERE key = ?", (f"r:{KEYS[4]}",))
        con.execute("UPDATE Cache SET key = x'00ff' WHERE key = ?", (f"r:{KEYS[5]}",))
    con.close()
    into = Index(root.parent / "into", clock)
    into.open()
    (held,) = into.rows.select("SELECT count(*) FROM Cache")
    assert held == (0,)
    count = salvage(root / "index" / "cache.db", into.rows)
    assert [bool(into.responses(key)[0]) for key in KEYS[:7]] == [False] * 6 + [True]
    assert count == into.rows.total()[0] == len(KEYS) - 6 + 3 * len(BLOBS) + 1 - len(BLOBS)
    into.close()


async def test_what_cannot_be_read_at_all_gives_nothing(root: Path, clock: Clock) -> None:
    into = Index(root / "into", clock)
    into.open()
    for number, text in enumerate([b"", b"hello\n" * 1000, bytes(8192)]):
        (root / f"{number}").write_bytes(text)
        assert salvage(root / f"{number}", into.rows) == 0
    into.close()


def _open_and_count(root: Path, told: multiprocessing.Queue[int]) -> None:
    index = Index(root / "index", lambda: 0.0)
    index.open()
    told.put(index.rows.total()[0])
    index.close()


async def test_nobody_sees_the_new_database_before_it_is_filled(opened: Opener, root: Path, clock: Clock) -> None:
    store = await opened()
    await stock(store)
    rows = store._index.rows.total()[0]
    await store.close()
    index = Index(root / "index", clock)
    index.open()
    told: multiprocessing.Queue[int] = multiprocessing.get_context("spawn").Queue()
    other = multiprocessing.get_context("spawn").Process(target=_open_and_count, args=(root, told))
    with index._alone():  # as while it is set aside
        aside = root / "index.bad-1"
        aside.mkdir()
        for file in list((root / "index").glob("cache.db*")):
            file.rename(aside / file.name)
        other.start()
        index._rows = index._new()
        other.join(1.0)
        assert other.is_alive()
        index._salvage()
    other.join(30)
    assert told.get(timeout=30) == rows
    index.close()


async def test_a_manifest_under_the_name_of_another_blob_is_not_believed(opened: Opener, root: Path) -> None:
    """Its value is whole, only its key has changed: the checksum does not tell."""
    store = await opened()
    await fill(store.blobs, "sha256:aa", b"a")
    await store.close()
    with sqlite3.connect(root / "index" / "cache.db") as con:
        con.execute("UPDATE Cache SET key = replace(key, 'sha256:aa', 'sha256:ab')")
    con.close()
    store = await opened()
    assert await store.check_rows() == 1
    assert await store.blobs.manifest("sha256:ab") is None and await store.blobs.manifest("sha256:aa") is None


async def test_both_databases_may_turn_out_damaged_in_one_piece_of_work(opened: Opener) -> None:
    store = await opened()
    shelves = [store._index, store._pieces]

    def work() -> str:
        if shelves:
            raise BrokenRows(shelves.pop().rows, "damaged")
        return "done"

    assert await store._lanes.read(work) == "done" and store.replaced == 2


async def test_what_is_left_of_a_blob_without_its_manifest_is_swept(opened: Opener, root: Path) -> None:
    store = await opened()
    await stock(store)
    await fill(store.blobs, "small", b"x" * 100)
    await store.close()
    with sqlite3.connect(root / "index" / "cache.db") as con:
        con.execute("DELETE FROM Cache WHERE key IN ('m:small', 'm:blob-5')")
        rest = "SELECT count(*) FROM Cache WHERE key LIKE 'b:small' OR key LIKE 'u:blob-5#%'"
        assert con.execute(rest).fetchone()[0] >= 1
    store = await opened()
    await store.sweep()
    assert await kept(store) == (len(KEYS), len(BLOBS) - 1)
    await store.close()
    with sqlite3.connect(root / "index" / "cache.db") as con:
        assert con.execute(rest).fetchone()[0] == 0


async def test_what_came_again_while_others_were_swept_stays(opened: Opener, root: Path) -> None:
    store = await opened()
    await stock(store)
    await store.close()
    with sqlite3.connect(root / "index" / "cache.db") as con:
        con.execute("DELETE FROM Cache WHERE key IN ('m:blob-4', 'm:blob-5')")
    store = await opened()
    await store.first_sweep
    with sqlite3.connect(root / "index" / "cache.db") as con:
        rows = "INSERT INTO Cache (key, raw, store_time, access_time, tag, size, mode, value) "
        for name in ("lost", "found"):
            con.execute(f"{rows} VALUES (?, 1, 0.0, 0.0, 'B', 1, 1, x'00')", (f"b:{name}",))
    steps = sweep(store._index, store._pieces, lambda _: False)
    gone = {"lost", "found"} - await asyncio.to_thread(left, root, steps)
    (other,) = {"lost", "found"} - gone
    await fill(store.blobs, other, b"x" * 100)
    await asyncio.to_thread(lambda: list(steps))
    manifest = await store.blobs.manifest(other)
    assert manifest is not None and await read_all(store.blobs, manifest) == b"x" * 100


def left(root: Path, steps: Iterator[int]) -> set[str]:
    """Of the rows without an owner, after one step."""
    assert next(steps) == 1
    with sqlite3.connect(root / "index" / "cache.db") as con:
        return {key[2:] for (key,) in con.execute("SELECT key FROM Cache WHERE key IN ('b:lost', 'b:found')")}
