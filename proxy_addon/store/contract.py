"""What the request path may ask of a store, whatever it is made of.

A *stored response* is found by its cache key and may be overwritten. A *blob* is immutable bytes under an id; it is
kept as uniform pieces of `PIECE` bytes (the last one shorter), each with the BLAKE3 digests of its `UNIT`-sized parts,
so that any byte can be verified on its own when it is read. A blob comes to exist by `create`; bytes enter only by
`write_piece`; it may be served as complete only after `seal`. What is not sealed may be resumed or dropped.
Every coroutine does its disk work off the event loop. `peek` alone is synchronous: it looks in memory only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..core.messages import Buffer, StoredResponse

PIECE = 4 * 1024 * 1024
UNIT = 512 * 1024
LARGEST = 1 << 40  # bytes of a blob that is believed to exist: a fill keeps account of each of its pieces


@dataclass(frozen=True, slots=True)
class Manifest:
    """The head of a blob. `validator` is the upstream ETag that all pieces came under (for resume by If-Range)."""

    blob: str
    size: int
    sealed: bool = False  # size and digest were checked
    public: bool = False  # an anonymous request upstream has brought it
    validator: str = ""
    source: str = ""  # a URL, without query, from which a lost piece may be had again

    @property
    def pieces(self) -> int:
        return -(-self.size // PIECE)

    def piece_size(self, index: int) -> int:
        return min(PIECE, self.size - index * PIECE)


class PieceMissing(Exception):
    """The piece was evicted, or failed its digest and was dropped: fetch it again."""

    def __init__(self, blob: str, index: int) -> None:
        super().__init__(f"{blob} piece {index}")
        self.blob, self.index = blob, index


class Unchecked(OSError):
    """What is on record of a piece cannot be compared with it: nothing tells whether it is right."""


class View(Protocol):
    """What can be looked up without waiting: memory, for everybody; the disk, on a reading thread (`Store.glance`)."""

    def responses(self, key: str) -> Sequence[StoredResponse] | None:
        """None means "not seen from here"; an empty sequence is never returned."""
        ...

    def small(self, blob: str) -> bytes | None:
        """A small sealed blob's bytes, verified, if the blob is public."""
        ...


class Responses(Protocol):
    """Stored responses by cache key; several variants under one key when Vary asks for it."""

    def peek(self, key: str) -> Sequence[StoredResponse] | None:
        """From memory only; None means "not in memory", an empty sequence is never returned."""
        ...

    async def get(self, key: str) -> Sequence[StoredResponse]:
        """A disk that fails shows nothing."""
        ...

    async def read(self, key: str) -> Sequence[StoredResponse]:
        """As `get`, for who puts back what he makes of it: raises OSError where the disk does not tell."""
        ...

    async def put(self, key: str, variants: Sequence[StoredResponse]) -> None:
        """Replace what is under `key`; an empty sequence deletes it."""
        ...

    async def invalidate(self, prefix: str) -> int:
        """Drop every key that starts with `prefix`; the number dropped."""
        ...


class PieceReader(Protocol):
    """Reads one blob in order of need, verifying each unit; holds one fd and one recycled buffer of `UNIT` bytes."""

    async def read(self, start: int, end: int) -> Buffer:
        """Bytes from `start`, at least one, never past `end` or past a unit's end; raises `PieceMissing`.

        The buffer is valid until the next `read` or `close`.
        """
        ...

    def close(self) -> None: ...


class Blobs(Protocol):
    def peek(self, blob: str) -> bytes | None:
        """A small public blob's bytes if they are in memory."""
        ...

    async def manifest(self, blob: str) -> Manifest | None: ...

    async def create(self, manifest: Manifest) -> Manifest:
        """Register a blob to be filled; an existing one with the same size and validator is kept, with its pieces
        (resume); one that differs and is not sealed is dropped first."""
        ...

    async def present(self, blob: str) -> set[int]:
        """Indices of the pieces on disk."""
        ...

    async def write_piece(self, blob: str, index: int, data: Buffer) -> None:
        """Store one whole piece. If unit digests of that piece are already on record (an evicted piece come again),
        raises `IntegrityError` unless they match. Raises OSError when the disk refuses (full, read-only); `Unchecked`
        when that is before they were compared, FileNotFoundError when the blob is not there, or dropped meanwhile."""
        ...

    async def agreeing(self, blob: str, index: int, start: int, data: Buffer) -> int:
        """Of `data`, a piece's bytes from `start` on (a multiple of `UNIT`), how many are what is on record, in whole
        units. 0 also where that cannot be read."""
        ...

    async def seal(self, blob: str, *, public: bool) -> None: ...

    async def set_public(self, blob: str, public: bool) -> None: ...

    async def drop(self, blob: str) -> None:
        """Forget the blob and its pieces; open readers keep what they have open."""
        ...

    async def renounce(self, blob: str) -> None:
        """`drop` a blob, unless it is sealed by now: another process has brought and proven it."""
        ...

    async def condemn(self, blob: str, found: str, landed: Mapping[int, Buffer]) -> None:
        """`renounce` a blob that is not what its id says but `found`; it may be kept aside for people, with `landed`,
        pieces that were never written."""
        ...

    async def files(self, manifest: Manifest) -> Sequence[tuple[str, int]]:
        """Path and size of each piece, in order; empty if some are not here, or in no file of their own. They stay for
        as long as the blob is pinned. What is read there has not been verified."""
        ...

    def reader(self, manifest: Manifest) -> PieceReader:
        """Pins the blob against eviction until the reader is closed."""
        ...

    def pin(self, blob: str) -> None:
        """Counted; used by writers. `unpin` undoes one `pin`."""
        ...

    def unpin(self, blob: str) -> None: ...


class Store(Protocol):
    @property
    def responses(self) -> Responses: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def memory(self) -> View: ...

    async def glance[T](self, look: Callable[[View], T]) -> T:
        """`look` run on a reading thread with a view of the disk. A disk that fails shows nothing."""
        ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def stats(self) -> dict[str, int]:
        """bytes, limit, responses, blobs, pieces, evicted, memory_bytes."""
        ...
