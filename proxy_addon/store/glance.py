"""A whole lookup as one visit to a reading thread.

Each visit costs the event loop about as much as the lookup itself, and a small warm hit needs four rows and a body. So
who can say what he wants to know as a function of a `View` gets it run there, on the disk. What was seen on the way
goes to the memory tier, unless something was written meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.messages import StoredResponse
from .blobs import DiskBlobs
from .index import Index
from .records import unit_matches
from .responses import DiskResponses


class DiskView:
    """For one reading thread. A damaged small blob is not here; the usual reader drops it and has it fetched again."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.rows: dict[str, tuple[tuple[StoredResponse, ...], int]] = {}
        self.bytes: dict[str, bytes] = {}

    def responses(self, key: str) -> Sequence[StoredResponse] | None:
        found = self._index.responses(key)
        if found[0]:
            self.rows[key] = found
        return found[0] or None

    def small(self, blob: str) -> bytes | None:
        manifest = self._index.manifest(blob)
        if manifest is None or not manifest.sealed or (data := self._index.small(blob)) is None:
            return None
        digests = self._index.digests(blob, 0)
        if len(data) != manifest.size or digests is None or not unit_matches(data, digests, 0):
            return None
        self.bytes[blob] = data
        return data


class MemoryView:
    """What the event loop can see at once."""

    def __init__(self, responses: DiskResponses, blobs: DiskBlobs) -> None:
        self.responses, self.small = responses.peek, blobs.peek


class Nothing:
    """What is seen of a disk that does not answer."""

    def responses(self, key: str) -> None:
        return None

    def small(self, blob: str) -> None:
        return None
