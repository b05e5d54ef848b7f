"""Who is fetching which Xet file, as far as the links tell that each client was given.

A client that wants a file asks for its reconstruction, at once or block by block, and then for ranges by the links it
was told. So a link tells whose download it belongs to. Of each block the range that is needed last, by its first use,
is the *keystone*: what is sent of it can be held back until the file is proven, and no client is kept waiting for
anything it needs before. All of it is memory, bounded, and when it is forgotten only the proof of a file is lost.
"""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote
from weakref import WeakValueDictionary

from cachetools import LRUCache

from ..hub.terms import Segment, Told
from ..hub.xet import Identity

_SEGMENTS = 250_000  # of all downloads together
_LINKS = 262_144
_OPEN = 65_536
TURN = 256  # links noted before others have a turn


@dataclass(frozen=True, eq=True)
class Layout:
    """Consecutive segments; clients that are told the same share it."""

    segments: tuple[Segment, ...]

    @property
    def end(self) -> int:
        return self.segments[-1].end

    def keystone(self) -> str:
        """The range whose first use comes last."""
        seen = dict.fromkeys(segment.blob for segment in self.segments)
        return next(reversed(seen))


class Map:
    """Segments by their place in the file, without those that lie within another: so they end in the order in which
    they begin, and what covers a byte is the last that begins no later. What has no range to come from is no part."""

    def __init__(self, layouts: Iterable[Layout] = ()) -> None:
        self._starts: list[int] = []
        self._at: dict[int, Segment] = {}
        for layout in layouts:
            self.add(layout)

    def add(self, layout: Layout) -> None:
        for segment in layout.segments:
            before = bisect_right(self._starts, segment.at)
            if not segment.blob or (before and self._at[self._starts[before - 1]].end >= segment.end):
                continue
            low = high = bisect_left(self._starts, segment.at)
            while high < len(self._starts) and self._at[self._starts[high]].end <= segment.end:
                del self._at[self._starts[high]]
                high += 1
            self._starts[low:high] = (segment.at,)
            self._at[segment.at] = segment

    def covering(self, at: int) -> Segment | None:
        index = bisect_right(self._starts, at)
        found = self._at[self._starts[index - 1]] if index else None
        return found if found is not None and found.end > at else None

    def after(self, at: int, count: int) -> Iterator[Segment]:
        index = bisect_right(self._starts, at)
        return (self._at[start] for start in self._starts[index : index + count])

    def reaches(self, size: int) -> bool:
        """Whether every byte of a file of that size is there to be had."""
        at = 0
        while at < size:
            segment = self.covering(at)
            if segment is None:
                return False
            at = segment.end
        return True


@dataclass(eq=False)
class Download:
    file: str  # Xet hash
    client: str
    identity: Identity | None = None
    layouts: list[Layout] = field(default_factory=list)
    taken: dict[str, set[str]] = field(default_factory=dict)  # range -> births of the bytes that went out to the last
    going: list[tuple[str, str]] = field(default_factory=list)  # ranges and births of what is on its way
    failures: int = 0
    void: bool = False  # the client has bytes that are wrong: it must not come to an end

    def weight(self) -> int:
        return 1 + sum(len(layout.segments) for layout in self.layouts)

    def births(self, blob: str) -> set[str]:
        """Of all bytes of that range that the client has, or is about to have."""
        return {birth for name, birth in self.going if name == blob}.union(self.taken.get(blob, ()))

    @property
    def fitting(self) -> list[Layout]:
        """The layouts that are of the file. One that goes on after its end does not begin where it is said to, as when
        the CAS has understood a range otherwise."""
        size = 0 if self.identity is None else self.identity.size
        return [layout for layout in self.layouts if layout.end <= size]

    @property
    def covered(self) -> bool:
        """All of the file can be had by what this client was told."""
        return self.identity is not None and Map(self.fitting).reaches(self.identity.size)


@dataclass(frozen=True)
class Link:
    download: Download
    end: int  # of the layout whose keystone it is; else 0

    @property
    def last(self) -> bool:
        """What the client needs last of all."""
        identity = self.download.identity
        return identity is not None and 0 < identity.size <= self.end


class _Known(LRUCache[Download, Download]):
    """Downloads with their layouts; what is forgotten takes its layouts along, though links still lead to it."""

    def popitem(self) -> tuple[Download, Download]:
        download, _ = super().popitem()
        download.layouts.clear()
        return download, download


class Downloads:
    def __init__(self) -> None:
        self._known = _Known(_SEGMENTS, Download.weight)
        self._open: LRUCache[tuple[str, str], Download] = LRUCache(_OPEN)
        self._links: LRUCache[bytes, Link] = LRUCache(_LINKS)
        self._layouts: WeakValueDictionary[tuple[str, int], Layout] = WeakValueDictionary()

    async def told(self, file: str, client: str, told: Told, identity: Identity | None) -> Download:
        """A client was given these links."""
        download = self._open[file, client] = self._open.get((file, client)) or Download(file, client)
        self._known.pop(download, None)
        download.identity = identity or download.identity
        layout = self._shared(file, told.segments) if told.segments else None
        if layout is not None and not any(layout is known for known in download.layouts):
            download.layouts.append(layout)
        if download.weight() > _SEGMENTS:
            download.layouts.clear()
        self._known[download] = download
        keystone, end = (layout.keystone(), layout.end) if layout is not None else ("", 0)
        for count, fetch in enumerate(told.fetches):
            self._links[_name(fetch.url)] = Link(download, end if fetch.blob == keystone else 0)
            if count % TURN == 0:
                await asyncio.sleep(0)
        return download

    def of(self, url: str) -> Link | None:
        return self._links.get(_name(url))

    def over(self, download: Download) -> None:
        """What this client asks for next is a download of its own."""
        if self._open.get((download.file, download.client)) is download:
            del self._open[download.file, download.client]

    def _shared(self, file: str, segments: tuple[Segment, ...]) -> Layout:
        new = Layout(segments)
        known = self._layouts.setdefault((file, hash(segments)), new)
        return known if known == new else new


def _name(url: str) -> bytes:
    """As a signed link is compared: clients write it with more or fewer escapes. Nothing of it is kept."""
    return hashlib.blake2b(unquote(url).encode("utf-8", "surrogateescape"), digest_size=16).digest()
