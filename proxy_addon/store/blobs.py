"""Blobs on disk: the asynchronous face of `VerifiedPieces`, with pins and the memory tier.

Two kinds of pin keep a blob from eviction: counted ones, for as long as somebody here reads or writes it, and those a
person sets, which live in the index and hold in every process. Neither keeps it from `drop`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..core.messages import Buffer
from .audit import Audit, Finding, Read, unheard
from .contract import Manifest, Unchecked
from .index import INLINE, ROW, Index, bytes_key, manifest_key
from .lanes import Lanes
from .memory import SMALL, Memory
from .pieces import Pieces
from .quarantine import Case, Quarantine
from .reader import Buffers, DiskReader
from .room import Room
from .rows import BrokenRows
from .seen import Seen
from .verified import VerifiedPieces


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a listing: `held` are bytes on disk of `manifest.size`."""

    manifest: Manifest
    held: int
    kept: bool


class Pins:
    """Which blobs stay: counted pins of this process, and those kept by a person."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.kept: frozenset[str] = frozenset()

    def __contains__(self, blob: str) -> bool:
        return blob in self.counted or blob in self.kept


class DiskBlobs:
    def __init__(
        self,
        index: Index,
        pieces: Pieces,
        room: Room,
        lanes: Lanes,
        memory: Memory,
        seen: Seen,
        pins: Pins,
        quarantine: Quarantine,
    ) -> None:
        self._index, self._held, self._room, self._lanes = index, pieces, room, lanes
        self._memory, self._seen, self._pins = memory, seen, pins
        self.pieces = VerifiedPieces(index, pieces, room, quarantine)
        self._audit = Audit(index, self.pieces)
        self._buffers = Buffers()
        self._writes = 0  # begun and ended

    def peek(self, blob: str) -> bytes | None:
        data: bytes | None = self._memory.get(bytes_key(blob))
        if data is not None:
            self._seen.blob(blob)
        return data

    def remember(self, blob: str, data: bytes) -> None:
        """Verified bytes of a small sealed blob that is public."""
        self._seen.blob(blob)
        self._memory.put(bytes_key(blob), data, ROW + len(data), immutable=True)

    async def manifest(self, blob: str) -> Manifest | None:
        found: Manifest | None = self._memory.get(manifest_key(blob))
        if found is None:
            at = self._writes, self._memory.epoch
            try:
                found = await self._lanes.read(self._index.manifest, blob)
            except OSError:
                return None
            if found is not None and at == (self._writes, self._memory.epoch):
                self._memory.put(manifest_key(blob), found, ROW + 4 * len(blob))
        return found

    async def create(self, manifest: Manifest) -> Manifest:
        """Raises `IntegrityError` if a sealed blob of that name has another size, OSError when the disk refuses."""
        self._stale(manifest.blob)
        try:
            made, replaced = await self._lanes.write(
                self._room.spend, 2 * ROW, manifest.blob, lambda: self._index.create(manifest)
            )
            if replaced:
                await self._lanes.write_pieces(self._held.drop, manifest.blob)
        finally:
            self._stale(manifest.blob)
        self._seen.blob(manifest.blob)
        return made

    async def present(self, blob: str) -> set[int]:
        try:
            return await self._lanes.read(self.pieces.present, blob)
        except OSError:
            return set()

    async def write_piece(self, blob: str, index: int, data: Buffer) -> None:
        try:
            await self._lanes.write_pieces(self.pieces.write, blob, index, data)
        except BrokenRows as error:  # beyond repair
            raise Unchecked(error.errno, error.strerror) from error

    async def agreeing(self, blob: str, index: int, start: int, data: Buffer) -> int:
        try:
            return await self._lanes.read(self.pieces.agreeing, blob, index, start, data)
        except OSError:
            return 0

    async def seal(self, blob: str, *, public: bool) -> None:
        """Raises `PieceMissing` for a piece that never came, FileNotFoundError for a blob that is not there."""
        self._stale(blob)
        try:
            await self._lanes.write(self._index.seal, blob, public)
        finally:
            self._stale(blob)

    async def set_public(self, blob: str, public: bool) -> None:
        self._stale(blob)
        try:
            await self._lanes.write(self._index.set_public, blob, public)
        finally:
            self._stale(blob)
            if not public:
                self._memory.drop(bytes_key(blob))

    async def drop(self, blob: str) -> None:
        self._stale(blob)
        try:
            await self._lanes.write(self._index.forget, blob)
            await self._lanes.write_pieces(self._held.drop, blob)
        finally:
            self._stale(blob)
            self._memory.drop(bytes_key(blob))

    async def renounce(self, blob: str) -> None:
        self._stale(blob)
        try:
            found = await self._lanes.write(self._index.condemn, blob, proven=False)
            if found is not None and not found.sealed:
                await self._lanes.write_pieces(self._held.drop, blob)
        finally:
            self._stale(blob)
            self._memory.drop(bytes_key(blob))

    async def condemn(self, blob: str, found: str, landed: Mapping[int, Buffer]) -> None:
        self._stale(blob)
        try:
            manifest = await self._lanes.read(self._index.manifest, blob)
            if manifest is not None:
                scheme = blob.partition(":")[0]
                what = "the hub sent bytes that are not what their name says"
                case = Case("hub", manifest, what, blob, f"{scheme}:{found}" if found else "")
                await self._lanes.write_pieces(self.pieces.condemn, case, landed)  # behind what is being written of it
        finally:
            self._stale(blob)
            self._memory.drop(bytes_key(blob))

    async def files(self, manifest: Manifest) -> list[tuple[str, int]]:
        try:
            return await self._lanes.read(self._files, manifest)
        except OSError:
            return []

    def _files(self, manifest: Manifest) -> list[tuple[str, int]]:
        found = [self._held.locate(manifest.blob, number) for number in range(manifest.pieces)]
        sizes = map(manifest.piece_size, range(manifest.pieces))
        here = all(each is not None and each.size == size for each, size in zip(found, sizes, strict=True))
        return [(each.path, each.size) for each in found if each is not None] if here else []

    def reader(self, manifest: Manifest) -> DiskReader:
        blob = manifest.blob
        self.pin(blob)
        self._seen.blob(blob)

        def keep(data: bytes) -> None:
            if manifest.sealed and manifest.public and len(data) == manifest.size <= SMALL:
                self._memory.put(bytes_key(blob), data, ROW + len(data), immutable=True)

        return DiskReader(
            manifest, self.pieces, self._lanes, self._buffers, self.peek(blob), keep, lambda: self.unpin(blob)
        )

    def pin(self, blob: str) -> None:
        self._pins.counted[blob] += 1

    def unpin(self, blob: str) -> None:
        self._pins.counted[blob] -= 1
        if self._pins.counted[blob] <= 0:
            del self._pins.counted[blob]

    # for people, not for the path of a request

    async def listing(self, after: str = "", limit: int = 1000) -> list[Listed]:
        """Blobs in the order of their names, those that follow `after`."""
        return await self._lanes.read(self._listing, after, limit)

    async def examine(
        self, blob: str, by: str, read: Read = unheard, *, first: int = 0, mend: bool = True
    ) -> list[Finding]:
        """`Audit.check`, on a reading thread."""
        found: list[Finding] = []
        try:
            found = await self._lanes.read(self._audit.check, blob, by, read, first=first, mend=mend)
        finally:
            self._stale(blob)
            if found:
                self._memory.drop(bytes_key(blob))
        return found

    @property
    def kept(self) -> frozenset[str]:
        """The blobs that `keep_all` keeps, as last seen."""
        return self._pins.kept

    async def keep_all(self, blobs: Collection[str], kept: bool) -> None:
        """Never evict these, in any process, until they are no longer `kept`: all at once or none. They need not be
        here yet."""
        self._pins.kept = await self._lanes.write(self._index.keep, blobs, kept)

    def _listing(self, after: str, limit: int) -> list[Listed]:
        kept = self._index.pins()
        return [
            Listed(m, m.size if m.size <= INLINE else self._held.held(m.blob), m.blob in kept)
            for m in self._index.blobs(after, limit)
        ]

    def _stale(self, blob: str) -> None:
        self._writes += 1
        self._memory.drop(manifest_key(blob))
