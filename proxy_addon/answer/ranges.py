"""Ranges of xorbs: kept as blobs, each filled through a link that is signed for just that range.

A range is had by its link as a whole or not at all, so one connection brings it from its first byte, again after a cut.
What is known of a range beside its bytes is a row: how long its xorb is, and which of its chunks were part of a file
whose digest held (`proven`). That holds for these very bytes only, so it names the *birth* of the blob, a word that is
made up when the blob is; once the blob was forgotten and fetched anew, nothing is proven of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from cachetools import LRUCache

from ..core.errors import BodyLost, UpstreamFailed
from ..core.messages import Headers, Reply, StoredResponse
from ..core.ranges import merge, parse_content_range
from ..core.status import Outcome
from ..fetch.fill import Fill
from ..fetch.pieces import ANY
from ..fetch.upstream import Answer, Upstream
from ..hub.huggingface import HUB
from ..store.contract import Manifest
from .means import Means
from .relay import end_to_end

_REFUSAL = 64 * 1024  # bytes of an error that are passed on
type Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    total: str = "*"  # bytes of the whole xorb, as in Content-Range
    birth: str = ""
    proven: Spans = ()  # chunks, half-open


class SignedRange:
    """A source behind one link; the blob's first byte is the xorb's byte `start`."""

    def __init__(self, upstream: Upstream, url: str, start: int, end: int, fields: Sequence[tuple[str, str]]) -> None:
        self._upstream, self._url, self._start, self._end = upstream, url, start, end
        self._fields = (*fields, ("Accept", "*/*"), ("Accept-Encoding", "identity"))
        self.total = ""
        self.refused: Reply | None = None  #: what the hub said instead

    async def open(self, start: int, end: int) -> tuple[Answer, int]:
        span = ("Range", f"bytes={self._start}-{self._end - 1}")
        answer = await self._upstream.open("GET", self._url, (*self._fields, span), hub=HUB)
        try:
            await self._judge(answer)
        except BaseException:
            answer.close()
            raise
        return answer, 0

    async def _judge(self, answer: Answer) -> None:
        host = urlsplit(self._url).hostname
        if answer.status == 206:
            found = parse_content_range(answer.headers.get("content-range"))
            if found is None or found[:2] != (self._start, self._end):
                raise UpstreamFailed(f"{host} sent another range than was asked for")
            self.total = "*" if found[2] is None else str(found[2])
        elif answer.status == 200:
            if answer.headers.get("content-length") != str(self._end - self._start):
                raise UpstreamFailed(f"{host} sent more or less than the range that was asked for")
        else:
            self.refused = await _passed(answer)
            raise UpstreamFailed(f"{host} answered {answer.status}", answer.status)
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise UpstreamFailed(f"{host} sent a content coding that was not asked for")


async def _passed(answer: Answer) -> Reply:
    data = b""
    if answer.headers.get("content-encoding", "identity") == "identity":
        try:
            data = await answer.whole(_REFUSAL)
        except UpstreamFailed:
            data = b""
    headers = end_to_end(answer.headers, drop=frozenset({"content-length", "content-encoding"}))
    fields = headers.replace(("Content-Length", str(len(data))))
    return Reply(answer.status, fields, data, Outcome(fwd_status=answer.status), answer.reason)


class Unkept(Exception):
    """The disk refuses: the range goes by, and cannot be read again."""


class Ranges:
    def __init__(self, means: Means) -> None:
        self._means = means
        self._urls: LRUCache[str, str] = LRUCache(32768)
        self._marks: LRUCache[str, Mark] = LRUCache(65536)
        self._contents: LRUCache[str, bytes] = LRUCache(65536)  # birth -> what the bytes are

    def linked(self, blob: str, url: str) -> None:
        """The newest link by which the range can be had."""
        self._urls[blob] = url

    def source(self, blob: str, url: str, fields: Sequence[tuple[str, str]] = ()) -> SignedRange:
        start, _, end = blob.rpartition(":")[2].partition("-")
        return SignedRange(self._means.upstream, url, int(start), int(end), fields)

    async def fill(self, blob: str, source: SignedRange) -> tuple[Fill, bool]:
        """The fill that brings the range, and whether it was there before."""
        held = await self._means.store.blobs.manifest(blob)
        birth = held.validator if held is not None else self._means.boundary()
        manifest = Manifest(blob, size_of(blob), sealed=held is not None and held.sealed, validator=birth)
        return await self._means.fills.join(manifest, source, stream=True)

    async def brought(self, blob: str) -> Manifest:
        """Returns when the range is here and sound. Raises `UpstreamFailed`, `IntegrityError`, `BodyLost`, `Unkept`."""
        blobs = self._means.store.blobs
        held = await blobs.manifest(blob)
        if held is not None and held.sealed:
            return held
        url = self._urls.get(blob)
        if url is None:
            raise UpstreamFailed(f"{blob}: no link is known", 404)
        fill, _ = await self.fill(blob, self.source(blob, url))
        want = fill.join(0, fill.manifest.size)
        try:
            while fill.error is None and not fill.manifest.sealed:
                if fill.diskless:
                    raise Unkept
                await fill.pieces.progress(ANY)
        finally:
            fill.leave(want)
        self.note(fill)
        if not fill.manifest.sealed:
            raise fill.error or BodyLost("the fill is over")
        held = await blobs.manifest(blob)
        if held is None or not held.sealed:
            raise Unkept
        return held

    async def refilled(self, begun: Manifest) -> Fill:
        """For a piece that is gone of what was begun. Raises `UpstreamFailed`, also if all of it is gone: nothing tells
        that what comes now goes on where that ended."""
        url = self._urls.get(begun.blob)
        if url is None:
            raise UpstreamFailed(f"{begun.blob}: no link is known", 404)
        fill, _ = await self.fill(begun.blob, self.source(begun.blob, url))
        if fill.manifest.validator != begun.validator:
            raise UpstreamFailed(f"{begun.blob} was dropped while it was read")
        return fill

    async def purge(self, blobs: Iterable[str], why: str) -> None:
        for blob in blobs:
            fill = self._means.fills.current(blob)  # newcomers join it until all is gone, and end with it
            with self._means.unless_disk_refuses():
                await self._means.store.blobs.drop(blob)
            if fill is not None:
                fill.cancel(BodyLost(why))  # of itself it was not broken

    # -- what is known of a range -----------------------------------------------------------------------------------

    def note(self, fill: Fill) -> None:
        if fill.proof.fingerprint is not None:
            self._contents[fill.manifest.validator] = fill.proof.fingerprint

    def same(self, birth: str, other: str) -> bool:
        """Whether the bytes born then and then are the same."""
        content = self._contents.get(birth)
        return birth == other or (content is not None and content == self._contents.get(other))

    async def mark(self, blob: str) -> Mark:
        found = self._marks.get(blob)
        if found is None:
            try:
                rows = await self._means.store.responses.read(blob)
            except OSError:
                return Mark()
            found = self._marks[blob] = _read(dict(rows[0].facts)) if rows else Mark()
        return found

    async def proven(self, blob: str) -> Mark:
        """What is known of the bytes that are here now."""
        mark = await self.mark(blob)
        held = await self._means.store.blobs.manifest(blob)
        alive = held is not None and held.sealed and held.validator == mark.birth
        return mark if alive else replace(mark, birth="", proven=())

    async def prove(self, blob: str, birth: str, spans: Iterable[tuple[int, int]]) -> None:
        old = await self.proven(blob)
        before = old.proven if old.birth == birth else ()
        await self._put(blob, Mark(old.total, birth, merge((*before, *spans))))

    async def told_total(self, blob: str, total: str) -> str:
        """The length of the xorb, kept once it is known."""
        mark = await self.mark(blob)
        if mark.total == "*" and total not in ("", "*"):
            await self._put(blob, replace(mark, total=total))
        return total if mark.total == "*" and total else mark.total

    async def _put(self, blob: str, mark: Mark) -> None:
        self._marks[blob] = mark
        chunks = ",".join(f"{low}-{high}" for low, high in mark.proven)
        facts = (("total", mark.total), ("birth", mark.birth), ("proven", chunks))
        now = self._means.clock()
        await self._means.keep(blob, (StoredResponse(200, Headers(), now, now, kind="xorb", facts=facts),))


def size_of(blob: str) -> int:
    start, _, end = blob.rpartition(":")[2].partition("-")
    return int(end) - int(start)


def within(span: tuple[int, int], spans: Spans) -> bool:
    index = bisect_right(spans, span[0], key=lambda each: each[0])
    return index > 0 and span[1] <= spans[index - 1][1]


def _read(facts: dict[str, str]) -> Mark:
    spans = [span.partition("-") for span in facts.get("proven", "").split(",") if span]
    return Mark(facts.get("total", "*"), facts.get("birth", ""), tuple((int(a), int(b)) for a, _, b in spans))
