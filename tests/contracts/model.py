"""The store's contract in dicts: what every implementation is compared with. Nothing is evicted, nothing blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from proxy_addon.core.errors import IntegrityError
from proxy_addon.core.messages import Buffer, StoredResponse
from proxy_addon.store.contract import PIECE, UNIT, Manifest, PieceMissing, View


class DictResponses:
    def __init__(self) -> None:
        self.rows: dict[str, tuple[StoredResponse, ...]] = {}

    def peek(self, key: str) -> Sequence[StoredResponse] | None:
        return self.rows.get(key)

    async def get(self, key: str) -> Sequence[StoredResponse]:
        return self.rows.get(key, ())

    async def read(self, key: str) -> Sequence[StoredResponse]:
        return await self.get(key)

    async def put(self, key: str, variants: Sequence[StoredResponse]) -> None:
        if variants:
            self.rows[key] = tuple(variants)
        else:
            self.rows.pop(key, None)

    async def invalidate(self, prefix: str) -> int:
        doomed = [key for key in self.rows if key.startswith(prefix)]
        for key in doomed:
            del self.rows[key]
        return len(doomed)


class DictReader:
    def __init__(self, blobs: DictBlobs, manifest: Manifest) -> None:
        self._blobs, self._manifest, self._open = blobs, manifest, True
        blobs.pin(manifest.blob)

    async def read(self, start: int, end: int) -> Buffer:
        if not (self._open and 0 <= start < end <= self._manifest.size):
            raise ValueError((start, end))
        index, at = divmod(start, PIECE)
        piece = self._blobs.pieces.get((self._manifest.blob, index))
        if piece is None:
            raise PieceMissing(self._manifest.blob, index)
        return memoryview(piece)[at : min((at // UNIT + 1) * UNIT, end - index * PIECE)]

    def close(self) -> None:
        if self._open:
            self._open = False
            self._blobs.unpin(self._manifest.blob)


class DictBlobs:
    def __init__(self) -> None:
        self.manifests: dict[str, Manifest] = {}
        self.pieces: dict[tuple[str, int], bytes] = {}
        self.known: dict[tuple[str, int], bytes] = {}  # instead of digests: they outlive the pieces
        self.pins: Counter[str] = Counter()

    def peek(self, blob: str) -> bytes | None:
        manifest = self.manifests.get(blob)
        whole = manifest is not None and manifest.sealed and manifest.pieces == 1
        return self.pieces.get((blob, 0)) if whole else None

    async def manifest(self, blob: str) -> Manifest | None:
        return self.manifests.get(blob)

    async def create(self, manifest: Manifest) -> Manifest:
        old = self.manifests.get(manifest.blob)
        if old is not None and old.size == manifest.size and (old.sealed or old.validator == manifest.validator):
            return old
        if old is not None and old.sealed:
            raise IntegrityError(manifest.blob)
        await self.drop(manifest.blob)
        self.manifests[manifest.blob] = replace(manifest, sealed=False)
        return self.manifests[manifest.blob]

    async def present(self, blob: str) -> set[int]:
        return {index for name, index in self.pieces if name == blob}

    async def write_piece(self, blob: str, index: int, data: Buffer) -> None:
        manifest = self.manifests.get(blob)
        if manifest is None:
            raise FileNotFoundError(blob)
        if not 0 <= index < manifest.pieces or len(data) != manifest.piece_size(index):
            raise ValueError((blob, index))
        if self.known.setdefault((blob, index), bytes(data)) != data:
            raise IntegrityError(blob)
        self.pieces[blob, index] = self.known[blob, index]

    async def agreeing(self, blob: str, index: int, start: int, data: Buffer) -> int:
        known, view, at = self.known.get((blob, index), b""), memoryview(data), 0
        while at + UNIT <= len(view) and view[at : at + UNIT] == known[start + at : start + at + UNIT]:
            at += UNIT
        return at

    async def seal(self, blob: str, *, public: bool) -> None:
        if blob not in self.manifests:
            raise FileNotFoundError(blob)
        if absent := set(range(self.manifests[blob].pieces)) - await self.present(blob):
            raise PieceMissing(blob, min(absent))
        self.manifests[blob] = replace(self.manifests[blob], sealed=True, public=public)

    async def set_public(self, blob: str, public: bool) -> None:
        if blob in self.manifests:
            self.manifests[blob] = replace(self.manifests[blob], public=public)

    async def drop(self, blob: str) -> None:
        self.manifests.pop(blob, None)
        for kept in (self.pieces, self.known):
            for at in [at for at in kept if at[0] == blob]:
                del kept[at]

    async def renounce(self, blob: str) -> None:
        if blob not in self.manifests or not self.manifests[blob].sealed:
            await self.drop(blob)

    async def condemn(self, blob: str, found: str, landed: Mapping[int, Buffer]) -> None:
        await self.renounce(blob)

    async def files(self, manifest: Manifest) -> list[tuple[str, int]]:
        return []

    def reader(self, manifest: Manifest) -> DictReader:
        return DictReader(self, manifest)

    def pin(self, blob: str) -> None:
        self.pins[blob] += 1

    def unpin(self, blob: str) -> None:
        self.pins[blob] -= 1


class DictView:
    def __init__(self, responses: DictResponses, blobs: DictBlobs | None = None) -> None:
        self._responses, self._blobs = responses, blobs

    def responses(self, key: str) -> Sequence[StoredResponse] | None:
        return self._responses.peek(key)

    def small(self, blob: str) -> bytes | None:
        return self._blobs.peek(blob) if self._blobs is not None else None


class DictStore:
    def __init__(self) -> None:
        self.responses = DictResponses()
        self.blobs = DictBlobs()
        self.memory = DictView(self.responses, self.blobs)

    async def glance[T](self, look: Callable[[View], T]) -> T:
        return look(self.memory)

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def stats(self) -> dict[str, int]:
        pieces = self.blobs.pieces
        return {
            "bytes": sum(map(len, pieces.values())),
            "limit": 0,
            "responses": len(self.responses.rows),
            "blobs": len(self.blobs.manifests),
            "pieces": len(pieces),
            "evicted": 0,
            "memory_bytes": 0,
        }
