"""One suite for every store: the dict model and the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy_addon.core.errors import IntegrityError
from proxy_addon.store.contract import PIECE, UNIT, Manifest, PieceMissing, Store, View
from proxy_addon.store.local import DiskStore

from .model import DictStore
from .samples import MIB, content, fill, read_all, response

SIZES = [1, UNIT - 1, UNIT + 1, 32 * 1024, 32 * 1024 + 1, PIECE, 2 * PIECE + 7]


@pytest.fixture(params=["dict", "disk"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = DictStore() if request.param == "dict" else DiskStore(tmp_path / "cache", 256 * MIB, 8 * MIB)
    await made.open()
    yield made
    await made.close()


async def test_a_response_comes_back_equal_with_all_its_variants(store: Store) -> None:
    variants = [
        response(vary=(("accept", None),), blob="git:1", size=9, facts=(("commit", "c"),)),
        response(vary=(("accept", "a/b"),), status=404, authorized=True, kind="api"),
    ]
    assert store.responses.peek("k") is None
    assert list(await store.responses.get("k")) == []
    await store.responses.put("k", variants)
    assert list(await store.responses.get("k")) == variants
    assert list(store.responses.peek("k") or ()) == variants


async def test_put_replaces_and_nothing_deletes(store: Store) -> None:
    await store.responses.put("k", [response(), response("other")])
    await store.responses.put("k", [response("third")])
    assert list(await store.responses.get("k")) == [response("third")]
    await store.responses.put("k", [])
    assert store.responses.peek("k") is None
    assert list(await store.responses.get("k")) == []


async def test_invalidate_drops_what_starts_so_and_no_more(store: Store) -> None:
    inside, outside = ["a/b", "a/b/c", "a/b\U0010ffff", "a/bz"], ["a/a\U0010ffff", "a/c", "a", "A/b"]
    for key in inside + outside:
        await store.responses.put(key, [response(key)])
    assert await store.responses.invalidate("a/b") == len(inside)
    assert [k for k in inside + outside if store.responses.peek(k) or await store.responses.get(k)] == outside
    assert await store.responses.invalidate("a/b") == 0


async def test_a_glance_sees_rows_and_small_sealed_blobs_at_once(store: Store) -> None:
    whole, part = Manifest("sha256:1", 100), Manifest("sha256:2", 100)
    for manifest in (whole, part):
        await store.blobs.create(manifest)
        await store.blobs.write_piece(manifest.blob, 0, b"x" * 100)
    await store.blobs.seal(whole.blob, public=True)
    await store.responses.put("k", [response()])
    seen = await store.glance(
        lambda view: (view.responses("k"), view.responses("none"), view.small(whole.blob), view.small(part.blob))
    )
    assert (list(seen[0] or ()), *seen[1:]) == ([response()], None, b"x" * 100, None)
    assert store.memory.small(whole.blob) == b"x" * 100
    assert list(store.memory.responses("k") or ()) == [response()]


async def test_many_glances_at_once_each_get_their_own(store: Store) -> None:
    for n in range(50):
        await store.responses.put(f"k{n}", [response(str(n))])

    def look(n: int) -> Callable[[View], object]:
        return lambda view: 1 / (n % 7) if n % 7 == 0 else view.responses(f"k{n}")

    got = await asyncio.gather(*(store.glance(look(n)) for n in range(50)), return_exceptions=True)
    for n, seen in enumerate(got):
        assert isinstance(seen, ZeroDivisionError) if n % 7 == 0 else list(seen or ()) == [response(str(n))]


@pytest.mark.parametrize("size", SIZES)
async def test_a_blob_comes_back_byte_for_byte(store: Store, size: int) -> None:
    data = content("b", size)
    manifest = await fill(store.blobs, "sha256:b", data)
    assert (manifest.sealed, manifest.public, manifest.size) == (True, True, size)
    assert await store.blobs.present("sha256:b") == set(range(manifest.pieces))
    assert await read_all(store.blobs, manifest) == data
    assert store.blobs.peek("sha256:b") in (None, data)


async def test_a_read_stays_within_its_unit_and_its_range(store: Store) -> None:
    data = content("r", PIECE + UNIT + 5)
    manifest = await fill(store.blobs, "r", data)
    reader = store.blobs.reader(manifest)
    for start, end in [(0, 1), (UNIT - 1, UNIT + 9), (PIECE - 2, PIECE + 2), (PIECE + UNIT, manifest.size), (3, UNIT)]:
        part = await reader.read(start, end)
        assert 1 <= len(part) <= min(end, (start // UNIT + 1) * UNIT) - start
        assert bytes(part) == data[start : start + len(part)]
    reader.close()
    reader.close()
    with pytest.raises(ValueError):
        await reader.read(0, 1)


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (1, 1), (2, 1), (0, 12), (11, 12)])
async def test_a_range_outside_the_blob_is_refused(store: Store, start: int, end: int) -> None:
    reader = store.blobs.reader(await fill(store.blobs, "b", b"hello world"))
    with pytest.raises(ValueError):
        await reader.read(start, end)
    reader.close()


async def test_a_piece_that_never_came_is_missing(store: Store) -> None:
    data = content("m", 2 * PIECE)
    manifest = await store.blobs.create(Manifest("m", len(data)))
    await store.blobs.write_piece("m", 1, data[PIECE:])
    assert await store.blobs.present("m") == {1}
    assert await read_all(store.blobs, manifest, PIECE) == data[PIECE:]
    with pytest.raises(PieceMissing) as missing:
        await read_all(store.blobs, manifest)
    assert (missing.value.blob, missing.value.index) == ("m", 0)
    with pytest.raises(PieceMissing):
        await store.blobs.seal("m", public=True)
    await store.blobs.write_piece("m", 0, memoryview(data)[:PIECE])
    await store.blobs.seal("m", public=False)
    assert await read_all(store.blobs, manifest) == data


async def test_create_resumes_the_same_and_drops_a_differing_partial(store: Store) -> None:
    await fill(store.blobs, "b", b"x" * 100, seal=False)
    kept = await store.blobs.create(Manifest("b", 100, validator='"v"', source="elsewhere"))
    assert (kept.sealed, kept.source) == (False, "")
    assert await store.blobs.present("b") == {0}
    for other in (Manifest("b", 100, validator='"w"'), Manifest("b", 101, validator='"w"')):
        assert await store.blobs.create(other) == other
        assert await store.blobs.present("b") == set()
        assert await store.blobs.manifest("b") == other


async def test_create_keeps_what_is_sealed(store: Store) -> None:
    sealed = await fill(store.blobs, "b", b"x" * 100)
    assert await store.blobs.create(Manifest("b", 100, validator='"w"')) == sealed
    with pytest.raises(IntegrityError):
        await store.blobs.create(Manifest("b", 101))
    assert await read_all(store.blobs, sealed) == b"x" * 100


async def test_nobody_registers_a_blob_as_sealed(store: Store) -> None:
    assert not (await store.blobs.create(Manifest("b", 1, sealed=True))).sealed


@pytest.mark.parametrize("size", [10, PIECE // 2])
async def test_a_piece_cannot_be_replaced_by_other_bytes(store: Store, size: int) -> None:
    manifest = await fill(store.blobs, "b", b"x" * size)
    with pytest.raises(IntegrityError):
        await store.blobs.write_piece("b", 0, b"y" * size)
    await store.blobs.write_piece("b", 0, b"x" * size)
    assert await read_all(store.blobs, manifest) == b"x" * size


@pytest.mark.parametrize(("start", "wrong_at", "size"), [
    (0, None, 3 * UNIT), (0, None, 3 * UNIT - 1), (0, None, UNIT - 1), (UNIT, None, 2 * UNIT + 7), (UNIT, UNIT, UNIT),
    (0, 0, 2 * UNIT), (0, UNIT + 3, 3 * UNIT), (2 * UNIT, 3 * UNIT - 1, 2 * UNIT), (0, 3 * UNIT, 3 * UNIT),
])  # fmt: skip
async def test_what_comes_again_agrees_unit_by_unit(store: Store, start: int, wrong_at: int | None, size: int) -> None:
    data = content("again", 2 * PIECE)
    await fill(store.blobs, "b", data)
    again = bytearray(data[PIECE:])
    if wrong_at is not None:
        again[wrong_at] ^= 1
    reach = start + size if wrong_at is None else min(start + size, wrong_at)
    agreed = await store.blobs.agreeing("b", 1, start, memoryview(again)[start : start + size])
    assert agreed == max(0, reach // UNIT * UNIT - start)


async def test_nothing_agrees_with_what_is_not_on_record(store: Store) -> None:
    await store.blobs.create(Manifest("b", 2 * PIECE))
    await store.blobs.write_piece("b", 0, bytes(PIECE))
    assert await store.blobs.agreeing("b", 0, 0, bytes(PIECE)) == PIECE
    assert await store.blobs.agreeing("b", 1, 0, bytes(PIECE)) == 0
    assert await store.blobs.agreeing("unknown", 0, 0, bytes(PIECE)) == 0


async def test_a_piece_has_one_size_and_a_registered_blob(store: Store) -> None:
    await store.blobs.create(Manifest("b", PIECE + 1))
    for index, size in [(0, PIECE - 1), (1, 2), (1, 0), (2, 1), (-1, 1)]:
        with pytest.raises(ValueError):
            await store.blobs.write_piece("b", index, bytes(size))
    with pytest.raises(FileNotFoundError):
        await store.blobs.write_piece("unknown", 0, b"x")
    with pytest.raises(FileNotFoundError):
        await store.blobs.seal("unknown", public=True)


async def test_public_can_change(store: Store) -> None:
    await fill(store.blobs, "b", b"x")
    await store.blobs.set_public("b", False)
    await store.blobs.set_public("unknown", True)
    manifest = await store.blobs.manifest("b")
    assert manifest is not None
    assert (manifest.sealed, manifest.public) == (True, False)
    assert await store.blobs.manifest("unknown") is None


@pytest.mark.parametrize("size", [10, PIECE + 1])
@pytest.mark.parametrize("way", ["renounce", "condemn"])
async def test_what_is_proven_is_given_up_for_no_fill(store: Store, way: str, size: int) -> None:
    async def give_up(blob: str) -> None:
        await (store.blobs.renounce(blob) if way == "renounce" else store.blobs.condemn(blob, "", {0: b"y"}))

    part, proven = await fill(store.blobs, "a", b"x" * size, seal=False), await fill(store.blobs, "b", b"z" * size)
    for blob in ("a", "b", "unknown"):
        await give_up(blob)
    assert await store.blobs.manifest("a") is None and await store.blobs.present("a") == set()
    with pytest.raises(PieceMissing):
        await read_all(store.blobs, part)
    assert await store.blobs.manifest("b") == proven
    assert await read_all(store.blobs, proven) == b"z" * size


@pytest.mark.parametrize("size", [10, PIECE + 1])
async def test_drop_forgets_all_of_one_blob(store: Store, size: int) -> None:
    manifest, other = await fill(store.blobs, "b", b"x" * size), await fill(store.blobs, "b2", b"z" * size)
    await store.blobs.drop("b")
    assert await store.blobs.manifest("b") is None
    assert await store.blobs.present("b") == set()
    assert store.blobs.peek("b") is None
    with pytest.raises(PieceMissing):
        await read_all(store.blobs, manifest)
    await fill(store.blobs, "b", b"y" * size)
    assert await read_all(store.blobs, manifest) == b"y" * size
    assert await read_all(store.blobs, other) == b"z" * size


async def test_stats_count_what_is_there(store: Store) -> None:
    await fill(store.blobs, "big", bytes(PIECE + 1))
    await store.responses.put("k", [response()])
    await store.responses.put("l", [response()])
    await store.responses.put("l", [])
    stats = await store.stats()
    assert {"bytes", "limit", "responses", "blobs", "pieces", "evicted", "memory_bytes"} <= stats.keys()
    assert (stats["responses"], stats["blobs"], stats["pieces"], stats["evicted"]) == (1, 1, 2, 0)
    assert stats["bytes"] >= PIECE + 1
