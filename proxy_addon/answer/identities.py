"""Which bytes a Xet hash stands for, learned where a hub names both: heads of files, listings.

Nobody can compute a Xet hash from a part of a file, and no client checks what Xet brings; by the SHA-256 that belongs
to it a whole file can be proven. Kept as stored responses, since listings that name the hash outlive the process.

Anybody may have a repo, and what a hub says of its files may be as its owner told it. So a hash that has been said to
stand for two things proves nothing from then on: else one repo could make the files of another fail.
"""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Callable, Iterable

from cachetools import LRUCache

from ..core.messages import Body, Buffer, Headers, Reply, StoredResponse
from ..core.storing import delta_bytes
from ..hub.xet import Identity, identities, identity
from .means import Means
from .promised import Promised

_HASH, _MARK = "x-xet-hash", b'"xetHash"'
_AT_ONCE = 1000  # that one listing may teach
LARGEST = 4 * 1024 * 1024  # bytes of a listing, as it travels and inflated
_ZIPPED = frozenset({"gzip", "deflate"})
log = logging.getLogger(__name__)


class Identities:
    def __init__(self, means: Means) -> None:
        self._means = means
        self._known: LRUCache[str, Identity | None] = LRUCache(16384)  # None: told two ways
        self._promised = Promised()

    async def find(self, file: str) -> Identity | None:
        if file not in self._known:
            rows = await self._means.store.responses.get(_key(file))
            if not rows:
                return None
            self._known.setdefault(file, _stored(file, rows[0]))
        return self._known.get(file)

    def learn(self, *told: Identity | None) -> None:
        new = [each for each in told if each is not None and self._known.get(each.file, each) is not None]
        new = [each for each in new if self._known.get(each.file) != each]
        for each in new:
            self._believe(each)
        if new:
            self._promised.soon(self._keep(new))

    def _believe(self, told: Identity) -> None:
        if self._known.setdefault(told.file, told) != told:
            self._known[told.file] = None
            log.warning("file %s is said to have two digests: it cannot be proven", told.file)

    def learn_head(self, headers: Headers) -> None:
        """From the head of an answer about one file."""
        for name, _ in headers.fields:  # each warm hit passes here, and has no other use for an index of its head
            if name.lower() == _HASH:
                digest = (headers.get("x-linked-etag") or "").strip('"')
                return self.learn(identity(headers.get(_HASH), digest, delta_bytes(headers.get("x-linked-size"))))

    def overhear(self, reply: Reply) -> None:
        """From JSON, in passing."""
        if (coding := legible(reply)) is None:
            return
        if isinstance(reply.body, bytes):
            self._listed(reply.body, coding)
        else:
            reply.body = Overheard(reply.body, lambda data: self._listed(data, coding))

    def _listed(self, data: bytes, coding: str) -> None:
        if (coding != "identity" or _MARK in data) and len(data) <= LARGEST:
            self._promised.soon(self._learn_listing(data, coding))

    async def _learn_listing(self, data: bytes, coding: str) -> None:
        self.learn(*await asyncio.to_thread(_read, data, coding))

    async def _keep(self, told: Iterable[Identity]) -> None:
        now = self._means.clock()
        for each in told:
            try:
                rows = await self._means.store.responses.read(_key(each.file))
            except OSError:  # it may say another thing: what is known already must not be lost for it
                continue
            for row in rows:
                self._known[each.file] = _stored(each.file, row)
                self._believe(each)
            known = self._known.get(each.file)
            facts = (("sha256", known.sha256), ("size", str(known.size))) if known is not None else ()
            await self._means.keep(
                _key(each.file), (StoredResponse(200, Headers(), now, now, kind="xet", facts=facts),)
            )

    async def settle(self) -> None:
        await self._promised.settle()


class Overheard:
    """A body passed on; `heard` is given all of it at the end, if it is no more than `most` bytes."""

    def __init__(self, body: Body, heard: Callable[[bytes], None], most: int = LARGEST) -> None:
        self.length, self._body, self._heard, self._most = body.length, body, heard, most
        self._parts: list[bytes] = []
        self._size = 0
        self._told = False

    async def read(self, limit: int) -> Buffer:
        data = await self._body.read(limit)
        self._size += len(data)
        if self._size <= self._most:
            self._parts.append(bytes(data))
        if (not data or self._size == self.length) and not self._told:
            self._told = True
            if self._size <= self._most:
                self._heard(b"".join(self._parts))
            self._parts.clear()
        return data

    def close(self) -> None:
        self._body.close()


def legible(reply: Reply) -> str | None:
    """The content coding of a reply, if it is one that `inflated` undoes."""
    coding = (reply.headers.get("content-encoding") or "identity").lower()
    return coding if coding == "identity" or coding in _ZIPPED else None


def inflated(data: bytes, coding: str, most: int) -> bytes:
    """At most `most` bytes. Blocks; raises `zlib.error`."""
    return data if coding == "identity" else zlib.decompressobj(47).decompress(data, most)


async def on_record(means: Means, file: str) -> Identity | None:
    """What the store knows of a file by its Xet hash."""
    rows = await means.store.responses.get(_key(file))
    return _stored(file, rows[0]) if rows else None


def _key(file: str) -> str:
    return f"xet:{file}"


def _stored(file: str, row: StoredResponse) -> Identity | None:
    facts = dict(row.facts)
    return identity(file, facts.get("sha256"), delta_bytes(facts.get("size")))


def _read(data: bytes, coding: str) -> list[Identity]:
    try:
        text = inflated(data, coding, LARGEST)
        found = identities(json.loads(text)) if _MARK in text else iter(())
        return [each for each, _ in zip(found, range(_AT_ONCE), strict=False)]
    except (ValueError, RecursionError, zlib.error):
        return []
