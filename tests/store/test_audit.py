"""Everything that is here is read and judged, as a whole too, while others may write."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from proxy_addon.core.errors import IntegrityError
from proxy_addon.store.audit import Finding
from proxy_addon.store.contract import PIECE, UNIT, Manifest, PieceMissing
from proxy_addon.store.local import DiskStore
from tests.faults.surgeon import CUTS

from ..contracts.samples import content, fill, read_all, split
from .conftest import Opener

DATA = {"big": content("big", 2 * PIECE + UNIT + 7), "inline": content("inline", 3000), "none": b""}


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def git(data: bytes) -> str:
    return f"git:{hashlib.sha1(b'blob %d\0' % len(data) + data).hexdigest()}"


def piece_of(root: Path, size: int = PIECE) -> Path:
    return min(p for p in root.glob("pieces/*/*/*.val") if p.stat().st_size == size)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("named", [sha, git, lambda data: "other"], ids=["sha256", "git", "other"])
async def test_what_is_right_is_left_alone(opened: Opener, name: str, named: object) -> None:
    store, data = await opened(), DATA[name]
    manifest = await fill(store.blobs, blob := named(data), data)  # type: ignore[operator]
    read: list[tuple[int, int]] = []
    assert await store.blobs.examine(blob, "verify", lambda *unit: read.append(unit)) == []
    assert sum(size for _, size in read) == len(data) and [*dict(read)] == list(range(manifest.pieces))
    assert await read_all(store.blobs, manifest) == data if data else not read
    assert store.quarantine.entries() == [] and await store.blobs.examine("unknown", "verify") == []


@pytest.mark.parametrize("cut", [cut for cut in CUTS if cut != "remove"])
async def test_a_damaged_piece_is_set_aside_and_told_where(opened: Opener, root: Path, cut: str) -> None:
    store, data = await opened(), DATA["big"]
    manifest = await fill(store.blobs, sha(data), data)
    CUTS[cut](piece_of(root), random.Random(cut))
    before = piece_of(root).read_bytes() if cut == "flip" else None
    (found,) = await store.blobs.examine(manifest.blob, "scrub")
    assert found.blob == manifest.blob and found.piece in (0, 1) and "damaged at" in found.what
    assert found.expected.startswith("blake3:") and found.found.startswith("blake3:") != found.expected
    assert await store.blobs.present(manifest.blob) == {0, 1, 2} - {found.piece}
    (entry,) = store.quarantine.entries()
    assert (entry.by, entry.piece, entry.expected, entry.found) == ("scrub", found.piece, found.expected, found.found)
    ((_, kept),) = store.quarantine.bytes_of(entry)
    assert kept != data[found.piece * PIECE :][:PIECE] and before in (None, kept)
    await store.blobs.write_piece(manifest.blob, found.piece, data[found.piece * PIECE :][:PIECE])
    assert await read_all(store.blobs, manifest) == data
    assert await store.blobs.examine(manifest.blob, "scrub") == []


async def test_only_telling_changes_nothing(opened: Opener, root: Path) -> None:
    store, data = await opened(), DATA["big"]
    manifest = await fill(store.blobs, sha(data), data)
    CUTS["flip"](piece_of(root), random.Random(1))
    first = await store.blobs.examine(manifest.blob, "verify", mend=False)
    assert first == await store.blobs.examine(manifest.blob, "verify", mend=False) and len(first) == 1
    assert await store.blobs.present(manifest.blob) == {0, 1, 2} and store.quarantine.entries() == []


async def wrong(store: DiskStore, data: bytes, blob: str) -> Manifest:
    """A sealed blob all of whose units are as they were written, and that is not what its name says."""
    made = await store.blobs.create(Manifest(blob, len(data), public=True, source="https://hub.test/f"))
    for index, piece in split(data):
        await store.blobs.write_piece(blob, index, piece)
    await store.blobs.seal(blob, public=True)
    return await store.blobs.manifest(blob) or made


@pytest.mark.parametrize("named", [sha, git], ids=["sha256", "git"])
@pytest.mark.parametrize("name", ["big", "inline"])
async def test_a_blob_with_another_digest_than_its_name_goes_whole(opened: Opener, name: str, named: object) -> None:
    store, data = await opened(), DATA[name]
    blob = named(b"another")  # type: ignore[operator]
    await wrong(store, data, blob)
    assert [f.piece for f in await store.blobs.examine(blob, "verify", mend=False)] == [None]
    assert await store.blobs.manifest(blob) is not None
    (found,) = await store.blobs.examine(blob, "verify")
    assert found == Finding(blob, found.what, None, blob, named(data))  # type: ignore[operator]
    assert await store.blobs.manifest(blob) is None and await store.blobs.present(blob) == set()
    (entry,) = store.quarantine.entries()
    assert (entry.piece, entry.expected, entry.found) == (None, blob, named(data))  # type: ignore[operator]
    assert entry.source == "https://hub.test/f"
    assert b"".join(part for _, part in store.quarantine.bytes_of(entry)) == data
    assert store.blobs.peek(blob) is None


async def test_what_is_not_all_here_or_not_read_from_the_start_is_not_judged_as_a_whole(
    opened: Opener, root: Path
) -> None:
    store, blob = await opened(), sha(b"another")
    await wrong(store, DATA["big"], blob)
    assert await store.blobs.examine(blob, "scrub", first=1) == []
    store._pieces.shed(blob, 1)
    assert await store.blobs.examine(blob, "scrub") == []
    assert await store.blobs.manifest(blob) is not None


async def test_the_memory_of_other_processes_forgets_it_too(opened: Opener) -> None:
    store, other, blob = await opened(), await opened(), sha(b"another")
    manifest = await wrong(store, DATA["inline"], blob)
    assert await read_all(other.blobs, manifest) == DATA["inline"]
    assert other.blobs.peek(blob) == DATA["inline"]
    assert len(await store.blobs.examine(blob, "scrub")) == 1
    await other.refresh()
    assert other.blobs.peek(blob) is None and await other.blobs.manifest(blob) is None


async def test_a_sealed_blob_that_lost_digests_is_forgotten(opened: Opener) -> None:
    store, data = await opened(), DATA["big"]
    manifest = await fill(store.blobs, sha(data), data)
    with store._index.rows.change() as change:
        change.delete("key = ?", (f"u:{manifest.blob}#000001",))
    (found,) = await store.blobs.examine(manifest.blob, "scrub")
    assert found.what == "the digests of 1 pieces are lost"
    assert await store.blobs.manifest(manifest.blob) is None


async def test_a_piece_that_is_written_anew_meanwhile_is_not_blamed(opened: Opener, root: Path) -> None:
    store, data = await opened(), DATA["big"]
    manifest = await fill(store.blobs, sha(data), data)
    CUTS["truncate"](piece_of(root), random.Random(1))
    open_, opens = store.blobs.pieces.open, list[int]()

    def crossed(manifest: Manifest, number: int, *, ahead: bool = True) -> object:
        piece = open_(manifest, number, ahead=ahead)
        if not opens.count(number):  # now somebody mends it
            opens.append(number)
            store.blobs.pieces.write(manifest.blob, number, data[number * PIECE :][: manifest.piece_size(number)])
        return piece

    store.blobs.pieces.open = crossed  # type: ignore[method-assign, assignment]
    assert await store.blobs.examine(manifest.blob, "scrub") == []
    assert opens == [0, 1, 2] and store.quarantine.entries() == []
    assert await read_all(store.blobs, manifest) == data


async def test_a_reader_finds_it_too_and_a_hub_that_sends_other_bytes(opened: Opener, root: Path) -> None:
    store, data = await opened(), DATA["big"]
    manifest = await fill(store.blobs, sha(data), data)
    CUTS["flip"](piece_of(root), random.Random(2))
    with pytest.raises(PieceMissing) as lost:
        await read_all(store.blobs, manifest)
    with pytest.raises(IntegrityError):
        await store.blobs.write_piece(manifest.blob, lost.value.index, bytes(PIECE))
    entries = {entry.by: entry for entry in store.quarantine.entries()}
    assert entries.keys() == {"read", "hub"}
    ((_, sent),) = store.quarantine.bytes_of(entries["hub"])
    assert sent == bytes(PIECE) and await store.blobs.present(manifest.blob) == {0, 1, 2} - {lost.value.index}


async def test_what_is_right_after_all_can_be_restored_and_nothing_else(opened: Opener, root: Path) -> None:
    store, data = await opened(), DATA["big"]
    manifest = await fill(store.blobs, sha(data), data)
    file = piece_of(root)
    CUTS["flip"](file, random.Random(3))
    (found,) = await store.blobs.examine(manifest.blob, "scrub")
    (entry,) = store.quarantine.entries()
    assert await store.restore(entry) == "it is still not what was here before"
    assert found.piece is not None and found.piece not in await store.blobs.present(manifest.blob)
    (store.quarantine.place(entry) / f"{found.piece:06x}").write_bytes(data[found.piece * PIECE :][:PIECE])
    assert await store.restore(entry) == "" and store.quarantine.entries() == []
    assert await read_all(store.blobs, manifest) == data


@pytest.mark.parametrize("name", ["big", "inline"])
async def test_a_whole_blob_is_restored_only_if_its_name_is_right(opened: Opener, name: str) -> None:
    store, data = await opened(), DATA[name]
    blob = sha(data)
    await wrong(store, bytes(len(data)), blob)
    await store.blobs.examine(blob, "verify")
    (entry,) = store.quarantine.entries()
    assert await store.restore(entry) == "its digest is still not its name"
    assert await store.blobs.manifest(blob) is None
    for index, piece in split(data):
        (store.quarantine.place(entry) / f"{index:06x}").write_bytes(piece)
    assert await store.restore(entry) == ""
    manifest = await store.blobs.manifest(blob)
    assert manifest is not None and manifest.sealed and await read_all(store.blobs, manifest) == data
