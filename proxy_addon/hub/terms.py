"""A reconstruction, read: of which chunks a file is made, and by which links their bytes are to be had.

Version 2 (`xorbs`: a link may be signed for several ranges) and version 1 (`fetch_info`: one range a link), which every
older spelling answers with. Chunk ranges are half-open, byte ranges in JSON name their last byte. A link signed for
several ranges is left out, and the terms that need it have no range to come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Fetch:
    """One link, and what it is signed for."""

    url: str
    xorb: str
    chunks: tuple[int, int]
    start: int  # bytes of the xorb, half-open
    end: int

    @property
    def blob(self) -> str:
        return f"xorb:{self.xorb}:{self.start}-{self.end}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of the file's bytes: chunks of one range, in order."""

    at: int  # offset in the file
    size: int  # bytes, unpacked
    blob: str  # blob id of the range; empty: no link for it alone
    skip: int  # chunks of the range that come before
    count: int

    @property
    def end(self) -> int:
        return self.at + self.size


@dataclass(frozen=True, slots=True)
class Told:
    fetches: tuple[Fetch, ...]
    segments: tuple[Segment, ...]


def read(document: Any, first: int) -> Told:
    """`first`: the offset in the file that was asked from. Raises `ValueError` for what is no reconstruction."""
    try:
        fetches = tuple(_fetches(document))
        ranges: dict[str, list[Fetch]] = {}
        for fetch in fetches:
            ranges.setdefault(fetch.xorb, []).append(fetch)
        at = first - _count(document["offset_into_first_range"])
        if at < 0:
            raise ValueError("the first term begins before the file")
        return Told(fetches, tuple(_merged(_segments(document["terms"], ranges, at))))
    except (KeyError, TypeError, AttributeError) as fault:
        raise ValueError(f"no reconstruction: {fault!r}") from fault


def _fetches(document: Any) -> Iterator[Fetch]:
    if "xorbs" in document:
        for xorb, links in document["xorbs"].items():
            for link in links:
                if len(link["ranges"]) == 1:
                    (only,) = link["ranges"]
                    yield _fetch(xorb, link["url"], only["chunks"], only["bytes"])
    else:
        for xorb, links in document["fetch_info"].items():
            for link in links:
                yield _fetch(xorb, link["url"], link["range"], link["url_range"])


def _fetch(xorb: str, url: Any, chunks: Any, span: Any) -> Fetch:
    if not isinstance(url, str):
        raise TypeError("a link that is no text")
    start, last = _count(span["start"]), _count(span["end"])
    if last < start:
        raise ValueError("a range that ends before it begins")
    return Fetch(url, xorb, (_count(chunks["start"]), _count(chunks["end"])), start, last + 1)


def _segments(terms: Any, ranges: dict[str, list[Fetch]], at: int) -> Iterator[Segment]:
    for term in terms:
        low, high, size = _count(term["range"]["start"]), _count(term["range"]["end"]), _count(term["unpacked_length"])
        if high <= low or not size:
            raise ValueError("a term without bytes")
        found = next((f for f in ranges.get(term["hash"], ()) if f.chunks[0] <= low and high <= f.chunks[1]), None)
        yield Segment(at, size, found.blob if found else "", low - found.chunks[0] if found else 0, high - low)
        at += size


def _merged(segments: Iterator[Segment]) -> Iterator[Segment]:
    """Terms that go on where the last one ended, as one."""
    held: Segment | None = None
    for each in segments:
        if held is not None and held.blob == each.blob and held.blob and held.skip + held.count == each.skip:
            held = replace(held, size=held.size + each.size, count=held.count + each.count)
            continue
        if held is not None:
            yield held
        held = each
    if held is not None:
        yield held


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("a number that is none")
    return value
