"""Damage on disk: found, said, and answered with a miss; never with wrong bytes, never with a crash."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

import pytest
from blake3 import blake3

from proxy_addon.store.contract import PIECE, Manifest, PieceMissing, Unchecked
from proxy_addon.store.disk import CHECK
from proxy_addon.store.index import PINS, Index, manifest_key
from proxy_addon.store.local import DiskStore

from ..contracts.samples import content, fill, read_all, response
from .conftest import Clock, Opener

BLOBS = {"big": content("big", PIECE + 99), "small": content("small", 3000), "tiny": b"t"}
KEYS = [f"https://hub.test/{number}" for number in range(40)]


async def stock(store: DiskStore) -> None:
    for name, data in BLOBS.items():
        await fill(store.blobs, name, data)
    for key in KEYS:
        await store.responses.put(key, [response(key)])


async def check(store: DiskStore) -> int:
    """Everything found is right; how much was found."""
    found = 0
    for key in KEYS:
        variants = list(await store.responses.get(key))
        assert variants in ([], [response(key)])
        found += len(variants)
    for name, data in BLOBS.items():
        manifest = await store.blobs.manifest(name)
        try:
            if manifest is not None and manifest.sealed:
                assert await read_all(store.blobs, manifest) == data
                found += 1
        except PieceMissing:
            continue
    return found


@pytest.mark.fault("R4")
@pytest.mark.parametrize("which", ["index", "pieces"])
@pytest.mark.parametrize("damage", ["header", "zeros", "cut", "text"])
async def test_a_database_broken_at_start_is_set_aside(
    opened: Opener, root: Path, clock: Clock, which: str, damage: str
) -> None:
    store = await opened()
    await stock(store)
    await store.close()
    path = root / which / "cache.db"
    whole = path.read_bytes()
    path.write_bytes(
        {
            "header": b"x" * 100 + whole[100:],
            "zeros": bytes(len(whole)),
            "cut": whole[: len(whole) // 3],
            "text": b"hello\n" * 1000,
        }[damage]
    )
    store = await opened()
    found = await check(store)
    await stock(store)
    assert await check(store) == len(KEYS) + len(BLOBS) > found
    assert [path.name.split("-")[0] for path in root.glob("*.bad-*")] == [f"{which}.bad"]
    clock.now += 3600
    await store.sweep()
    assert len(list(root.glob("pieces/*/*/*.val"))) == (await store.stats())["pieces"] == 2


@pytest.mark.fault("R4")
@pytest.mark.parametrize("seed", range(6))
async def test_random_damage_never_yields_wrong_bytes(opened: Opener, root: Path, seed: int) -> None:
    rnd = random.Random(seed)
    print("seed", seed)
    store = await opened()
    await stock(store)
    if seed % 2:
        await store.close()
    for path in [root / "index" / "cache.db", root / "index" / "cache.db-wal", root / "pieces" / "cache.db"]:
        if path.exists():
            data = bytearray(path.read_bytes())
            for _ in range(30 if rnd.random() < 0.7 else 0):
                at = rnd.randrange(len(data))
                data[at : at + 8] = rnd.randbytes(8)
            with path.open("r+b") as file:
                file.write(data)
    store = await opened()
    await check(store)
    await check(store)
    await stock_again(store)
    assert await check(store) == len(KEYS) + len(BLOBS)


async def stock_again(store: DiskStore) -> None:
    """As a proxy would: what is missing or refused is dropped and fetched again."""
    for key in KEYS:
        await store.responses.put(key, [response(key)])
    for name, data in BLOBS.items():
        await store.blobs.drop(name)
        await fill(store.blobs, name, data)


@pytest.mark.fault("R4")
async def test_a_database_that_breaks_while_in_use_is_replaced(opened: Opener, root: Path) -> None:
    store = await opened()
    await stock(store)
    with (root / "index" / "cache.db-wal").open("r+b") as wal, (root / "index" / "cache.db").open("r+b") as file:
        wal.truncate(0)
        file.write(b"x" * 5000)
    await store.responses.put("new", [response("new")])
    await store.refresh()
    assert await store.responses.get("new") == (response("new"),)
    await check(store)
    await stock(store)
    assert await check(store) == len(KEYS) + len(BLOBS)
    assert len(list(root.glob("index.bad-*"))) == 1


@pytest.mark.fault("R8")
async def test_a_directory_removed_while_in_use_is_made_again(opened: Opener, root: Path) -> None:
    store = await opened()
    await stock(store)
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_file():
            path.unlink()
    await store.refresh()
    assert await check(store) == 0
    await stock(store)
    assert await check(store) == len(KEYS) + len(BLOBS)


async def test_a_row_that_is_not_ours_is_dropped_and_missed(opened: Opener, root: Path) -> None:
    store = await opened()
    await stock(store)
    await store.close()
    with sqlite3.connect(root / "index" / "cache.db") as con:
        con.execute("UPDATE Cache SET mode = 4 WHERE key = ?", (f"r:{KEYS[0]}",))
        con.execute("UPDATE Cache SET value = ? WHERE key = ?", (json.dumps("text"), f"r:{KEYS[1]}"))
        con.execute("UPDATE Cache SET filename = '../../x', value = NULL, mode = 2 WHERE key = ?", (f"r:{KEYS[2]}",))
    con.close()
    store = await opened()
    assert await check(store) == len(KEYS) + len(BLOBS) - 3
    assert (await store.stats())["responses"] == len(KEYS) - 3


async def test_what_cannot_be_compared_is_unchecked_also_where_no_new_database_can_be_made(
    opened: Opener, root: Path, clock: Clock
) -> None:
    store = await opened()
    await stock(store)
    (root / f"index.bad-{int(clock.now)}").touch()  # where the damaged one would have to go
    with store._index.rows.change() as change:
        change.execute("DROP TABLE Cache")
    with pytest.raises(Unchecked):
        await store.blobs.write_piece("big", 1, BLOBS["big"][PIECE:])
    assert await store.blobs.agreeing("big", 0, 0, BLOBS["big"][:PIECE]) == 0


async def test_a_piece_row_that_names_another_file_is_dropped(opened: Opener, root: Path) -> None:
    store = await opened()
    await stock(store)
    with store._pieces.rows.change() as change:
        change.execute("UPDATE Cache SET filename = '../../../etc/passwd'")
    manifest = await store.blobs.manifest("big")
    assert manifest is not None
    with pytest.raises(PieceMissing):
        await read_all(store.blobs, manifest)
    assert await store.blobs.present("big") == {1}


async def test_a_row_that_is_sealed_and_still_none_of_ours_is_dropped(opened: Opener, root: Path) -> None:
    store = await opened()
    await stock(store)
    await store.close()
    with sqlite3.connect(root / "index" / "cache.db") as con:
        rows = {f"r:{KEYS[0]}": b"[[7]]", f"r:{KEYS[1]}": b"[" * 100_000, "m:big": b'["big"]', "s:pins": b"7"}
        for key, row in rows.items():
            con.execute("UPDATE Cache SET value = ? WHERE key = ?", (row + blake3(row).digest(CHECK), key))
    con.close()
    store = await opened()
    assert await check(store) == len(KEYS) + len(BLOBS) - 3
    await store.blobs.keep_all(("small",), True)
    assert store.blobs.kept == {"small"}


def test_a_damaged_row_that_is_met_while_writing_does_not_stop_all_writing(root: Path) -> None:
    index = Index(root / "one", lambda: 1.0)
    index.open()
    made = Manifest("sha256:" + "ab" * 32, 10)
    index.create(made)
    for key in (manifest_key(made.blob), PINS):
        with index.rows.change() as change:
            change.set(key, b"", "S")
            change.execute("UPDATE Cache SET value = ? WHERE key = ?", (b"damaged", key))
    assert index.create(made) == (made, False)
    assert index.keep([made.blob], True) == {made.blob} == index.pins()
    index.close()


def test_a_change_within_a_change_is_part_of_it(root: Path) -> None:
    index = Index(root / "one", lambda: 1.0)
    index.open()
    with pytest.raises(RuntimeError), index.rows.change() as outer:
        outer.set("s:a", b"a", "S")
        with index.rows.change() as inner:
            inner.set("s:b", b"b", "S")
        raise RuntimeError
    assert index.rows.value("s:a") is None and index.rows.value("s:b") is None
    with index.rows.change() as later:
        later.set("s:c", b"c", "S")
    assert index.rows.value("s:c") == b"c"
    index.close()
