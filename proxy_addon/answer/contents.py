"""What lies in files, as scans have found it: each looked into once, by who looks now.

Findings are kept by the bytes (the blob's id: a digest, or a place and validator), by the name that they go by, since a
name says what programs take bytes for, and by the engine. Rules are no part of them: other rules judge them anew. What
was not found out for a reason of our own is believed for a while only, and never stored. Invariants: bytes are pinned
while they are looked into; of many who ask at once one scan answers all; whoever leaves does not end it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from cachetools import LRUCache, TTLCache

from ..core.errors import BodyLost
from ..core.messages import Headers, StoredResponse, Whole
from ..fetch.bodies import BlobBody
from ..policy.facts import UNKNOWN, Partial
from ..scan import Data, Findings, Piece, as_json, from_json
from ..store.contract import Manifest
from .blobs import whole as all_of
from .means import Means

BELIEVED = 600.0  # seconds, of a scan that came to nothing
KNOWN = 16384  # files in memory
SMALL = 64 * 1024  # bytes that may be in no file of their own
NOT_HERE = Findings(problems=("the disk does not take it, so that nobody can look into it",), passing=True)
log = logging.getLogger(__name__)

type State = Literal["clean", "found", "unknown"]


@dataclass(frozen=True, slots=True)
class Looked:
    """`at`: epoch seconds."""

    findings: Findings
    engine: str
    at: float

    @property
    def facts(self) -> Mapping[str, object]:
        """As rules see it. Imports among which others may be missing settle only what they are themselves."""
        said, unsure = self.findings, self.findings.unsure
        names = tuple(name for name in said.imports if name != "?")
        imports: object = names if names or said.kind == "pickle" else None
        if unsure:
            imports = Partial(names) if names else UNKNOWN
        template: object = UNKNOWN if unsure and said.template != "unsafe" else said.template
        return {"pickle_imports": imports, "template": template}

    @property
    def source(self) -> str:
        when = f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d %H:%M} UTC"
        why = f": {'; '.join(self.findings.problems)}" if self.findings.problems else ""
        return f"scan of {when}, engine {self.engine}{why}"


class Contents:
    def __init__(self, means: Means) -> None:
        self._means = means
        self._known: LRUCache[str, Looked] = LRUCache(KNOWN)
        self._failed: TTLCache[str, Looked] = TTLCache(1024, BELIEVED, means.timer)
        self._news: LRUCache[str, Looked] = LRUCache(1024)  # found, and no verdict heard yet
        self.scans, self.seconds, self.verdicts = 0, 0.0, Counter[str]({"clean": 0, "found": 0, "unknown": 0})

    def seen(self, whole: Whole, path: str) -> Looked | None:
        """From memory."""
        if not whole.size:
            return Looked(Findings(), self._means.scanner.engine, self._means.clock())
        key = self._key(whole.blob, path)
        return self._known.get(key) or self._failed.get(key)

    async def kept(self, whole: Whole, path: str) -> Looked | None:
        """And from the store."""
        return self.seen(whole, path) or await self.recalled(whole.blob, path)

    async def recalled(self, blob: str, path: str) -> Looked | None:
        """What was found in these bytes, wherever they are."""
        key = self._key(blob, path)
        if (known := self._known.get(key)) is not None:
            return known
        for row in await self._means.store.responses.get(key):
            if (looked := _read(row, self._means.scanner.engine)) is not None:
                self._known[key] = looked
                return looked
        return None

    async def find(self, whole: Whole, path: str) -> Looked | None:
        """And by a scan; None if its bytes are not all here."""
        if (known := await self.kept(whole, path)) is not None:
            return known
        found, _ = await self._means.flights.join(self._key(whole.blob, path), lambda: self._scanned(whole, path))
        return found

    async def brought(self, whole: Whole, path: str) -> Looked:
        """And by having its bytes come first. Raises `BodyLost`."""
        with self._pinned(whole.blob):
            here = await whole.bring()
            found = await self.find(whole, path) if here else None
            if here and found is None:  # somebody's look had begun before all of it was here
                found = await self.find(whole, path)
        if found is not None:
            return found
        looked = Looked(NOT_HERE, self._means.scanner.engine, self._means.clock())
        self._failed[self._key(whole.blob, path)] = looked
        return looked

    def judged(self, whole: Whole, path: str, state: State) -> bool:
        """What rules make of findings, for the counters; whether these are news."""
        news = self._news.pop(self._key(whole.blob, path), None) is not None
        if news:
            self.verdicts[state] += 1
        return news

    def _key(self, blob: str, path: str) -> str:
        name = hashlib.sha256(_name(path).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"scan:{self._means.scanner.engine}:{blob}:{name}"

    async def _scanned(self, whole: Whole, path: str) -> Looked | None:
        means, key, name = self._means, self._key(whole.blob, path), _name(path)
        with self._pinned(whole.blob):
            manifest = await means.store.blobs.manifest(whole.blob)
            if manifest is None or not manifest.sealed or (data := await self._data(manifest)) is None:
                return None
            began = means.timer()
            findings = await means.scanner.findings(data, name)
            self.seconds += means.timer() - began
            self.scans += 1
            passing = findings.passing or await self._data(manifest) != data
        looked = Looked(findings, means.scanner.engine, means.clock())
        self._news[key] = looked
        if passing or any("[Errno" in problem for problem in findings.problems):
            log.warning("scan of %s came to nothing: %s", name, "; ".join(findings.problems) or "its bytes went away")
            self._failed[key] = looked
            return looked
        self._known[key] = looked
        await means.keep(key, (_row(looked, name),))
        return looked

    async def _data(self, manifest: Manifest) -> Data | None:
        """Where the bytes lie, or the bytes."""
        blobs = self._means.store.blobs
        if files := await blobs.files(manifest):
            return [Piece(path, 0, size) for path, size in files]
        if manifest.size > SMALL:
            return None
        try:
            return await all_of(BlobBody(blobs, manifest, 0, manifest.size))
        except BodyLost:
            return None

    @contextmanager
    def _pinned(self, blob: str) -> Iterator[None]:
        self._means.store.blobs.pin(blob)
        try:
            yield
        finally:
            self._means.store.blobs.unpin(blob)


def _name(path: str) -> str:
    return path.rpartition("/")[2].lower()


def _row(looked: Looked, name: str) -> StoredResponse:
    facts = (("findings", json.dumps(as_json(looked.findings))), ("engine", looked.engine), ("name", name))
    return StoredResponse(200, Headers(), looked.at, looked.at, kind="scan", facts=facts)


def _read(row: StoredResponse, engine: str) -> Looked | None:
    facts = dict(row.facts)
    try:
        if facts["engine"] == engine:
            return Looked(from_json(json.loads(facts["findings"])), engine, row.response_time)
    except (KeyError, ValueError):
        pass
    return None
