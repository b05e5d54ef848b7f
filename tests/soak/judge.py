"""One reply, judged as it comes: is it what it says it is, and might this client have it?

A reply is compared with all versions that it may be: one where it names a commit, else those that were current. Each
piece of body leaves those that go on to agree; when none is left, the bytes are wrong. So a reply that is cut is judged
as well as one that is whole, and a piece is held no longer than it takes. A cut reply may have the bytes of a hub that
lied just then: what a proxy passes on as it comes is proven before its end, not before its beginning. And so may a part
of a file of several pieces, which has no digest that is known: it is proven when the rest has come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from proxy_addon.store.contract import PIECE

from .world import Version

_PART = re.compile(r"bytes (\d+)-(\d+)/(\d+)$")
TEXT = 16 << 20  # bytes of a document that are kept
PAGE = b"<html><body>Please log in to the hotel's network</body></html>"  # a hub's, for anything that was asked
STALE = ("detail=stale-if-error", "detail=offline")

type Fields = Mapping[str, str]  # names in lower case
type Versions = Callable[[float, float], list[Version]]
#: What is wrong with a document, or nothing; it is given the body, and the times between which it was current.
type Check = Callable[[bytes, float, float], str | None]


@dataclass(frozen=True)
class Want:
    """A request, and what is right to answer to it."""

    kind: str  #: its row in the table
    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    versions: Versions | None = None  #: a file's, current at any time between two
    check: Check | None = None  #: of a document
    to: Literal["open", "closed", "denied"] = "open"
    kept: bool = False  #: pinned: nothing that a hub does is an excuse
    stale: float = 0.0  #: seconds that a reply may be behind
    range: tuple[int, int | None] | None = None  #: first and last byte; a negative first: the last so many
    etag: bool = False  #: the ETag is the digest
    hops: int = 0  #: of redirects that were followed


@dataclass(frozen=True)
class Verdict:
    outcome: str
    faults: tuple[tuple[str, str], ...] = ()
    served: bool = False  #: the client got what it asked for, or rightly not


@dataclass
class Reading:
    want: Want
    since: float  #: when it was asked (monotonic)
    status: int = 0
    fields: Fields = field(default_factory=dict)
    got: int = 0  #: bytes of body
    _left: list[Version] = field(default_factory=list)
    _first: int = 0
    _last: int | None = None  #: past the last byte, by Content-Range
    _size: int = 0  #: of the file, by Content-Range
    _text: bytearray = field(default_factory=bytearray)
    _wrong: str = ""
    _lie: bool = False  #: the head was right but for the length, and what it is the head of is not
    _until: float = 0.0

    @property
    def told(self) -> str:
        how = self.fields.get("cache-status", "")
        return f"{self.want.method} {self.want.url.partition('?')[0]} -> {self.status} [{how}]"

    @property
    def text(self) -> bytes:
        """Of what is no file."""
        return bytes(self._text)

    @property
    def ours(self) -> bool:
        return self.status in (200, 206)

    def head(self, status: int, fields: Fields, now: float) -> None:
        self.status, self.fields, self._until = status, fields, now
        if not self.ours or self.want.versions is None:
            return
        since = self.since - self.want.stale
        if any(mark in fields.get("cache-status", "") for mark in STALE):
            since = float("-inf")
        self._left = self.want.versions(since, now)
        if commit := fields.get("x-repo-commit"):
            self._left = [one for one in self._left if one.commit in (commit, None)]
            self._need(f"commit {commit} was not current")
        if self.want.etag:
            etag = fields.get("etag", "").removeprefix("W/").strip('"')
            self._left = [one for one in self._left if one.digest == etag]
            self._need(f"ETag {etag} is none that was current")
        self._spanned()

    def _spanned(self) -> None:
        told = _PART.match(self.fields.get("content-range", ""))
        if self.status == 206 and told is None:
            self._wrong = self._wrong or f"206 with Content-Range {self.fields.get('content-range')!r}"
        if told is not None:
            first, last, size = map(int, told.groups())
            self._first, self._last, self._size = first, last + 1, size
            self._left = [one for one in self._left if len(one.data) == size and self._asked(size) == (first, last + 1)]
            self._need(f"Content-Range {told[0]} for {self.want.range}")
        length = self.fields.get("content-length", "")
        if length.isdigit():
            self._left = [one for one in self._left if self._length(one) == int(length)]
            self._lie = self._lie or not (self._left or self._wrong)  # the hub's own head is passed on before the bytes
            self._need(f"Content-Length {length}, not as long as the file")

    def _length(self, one: Version) -> int:
        return (len(one.data) if self._last is None else self._last) - self._first

    def _asked(self, size: int) -> tuple[int, int]:
        if self.want.range is None:
            return -1, -1
        first, last = self.want.range
        return (max(0, size + first), size) if first < 0 else (first, size if last is None else min(last + 1, size))

    def _need(self, what: str) -> None:
        if not self._left and not self._wrong:
            self._wrong = what

    def chunk(self, data: bytes) -> None:
        if self.ours and self.want.versions is not None and self.want.to == "open":
            at = self._first + self.got
            self._left = [one for one in self._left if one.data[at : at + len(data)] == data]
            self._lie = self._lie or not (self._left or self._wrong)
            self._need(f"wrong bytes in {at}..{at + len(data)}")
        elif len(self._text) < TEXT:
            self._text += data
        self.got += len(data)

    def over(self, whole: bool) -> Verdict:
        """All has come, or the reply was cut."""
        if self.ours and self.want.to != "open" and self.text == PAGE:
            return Verdict("the hub's own page")
        if self.ours and self.want.to != "open" and not (whole or self.got):
            return Verdict("cut, nothing of it")
        if self.ours and self.want.to != "open":
            kind = "given to a wrong token" if self.want.to == "closed" else "denied by a rule, but given"
            return Verdict("given", ((kind, self.told),))
        if self.ours and self.want.versions is not None:
            return self._file(whole)
        if self.ours and self.want.check is not None:
            return self._document(whole)
        return self._other(whole)

    def _file(self, whole: bool) -> Verdict:
        if whole and self.want.method != "HEAD":
            self._left = [one for one in self._left if self._length(one) == self.got]
            self._need(f"a short body that is said to be whole: {self.got}")
        if self._wrong:
            kind = "wrong bytes" if whole or not self._lie else "wrong bytes, then cut"
            if whole and self._lie and self._size > PIECE and self._last is not None:
                kind = "wrong part"
            return Verdict("wrong" if whole else "cut", ((kind, f"{self.told}: {self._wrong}"),))
        if not whole:
            return Verdict("cut, a prefix")
        stale = any(mark in self.fields.get("cache-status", "") for mark in STALE)
        return Verdict("right, marked stale" if stale else "right", served=True)

    def _document(self, whole: bool) -> Verdict:
        assert self.want.check is not None
        if not whole:
            return Verdict("cut, a prefix")
        if "html" in self.fields.get("content-type", ""):
            if "hit" in (how := self.fields.get("cache-status", "")) or "stored" in how:
                return Verdict("wrong", (("wrong bytes", f"{self.told}: a page that is no document was kept"),))
            return Verdict("the hub's own page")
        since = self.since - self.want.stale
        if any(mark in self.fields.get("cache-status", "") for mark in STALE):
            since = float("-inf")
        try:
            wrong = self.want.check(bytes(self._text), since, self._until)
        except (ValueError, KeyError, TypeError) as fault:
            wrong = f"not such a document: {fault!r}: {bytes(self._text[:200])!r}"
        if wrong:
            return Verdict("wrong", (("wrong bytes", f"{self.told}: {wrong}"),))
        return Verdict("right", served=True)

    def _other(self, whole: bool) -> Verdict:
        faults: tuple[tuple[str, str], ...] = ()
        if "detail=error" in self.fields.get("cache-status", ""):
            faults = (("internal error", f"{self.told}: {bytes(self._text[:200])!r}"),)
        refused = self.status in (401, 403, 404) and self.want.to != "open"
        if self.status == 304 and any(name == "If-None-Match" for name, _ in self.want.headers):
            return Verdict("not modified", faults, served=True)
        if self.status == 416 and self.want.range is not None and self.want.versions is not None:
            sizes = {len(one.data) for one in self.want.versions(self.since - self.want.stale, self._until)}
            if any(self.want.range[0] >= size for size in sizes):
                return Verdict("416, rightly", faults, served=True)
        if refused:
            return Verdict("refused, rightly", faults, served=True)
        return Verdict(f"status {self.status}" if whole else "cut, a prefix", faults)
