"""ModelScope's listings as a source of facts: which one names a file, parsed once and held in memory.

A listing is a document like any other, asked for by the URL that SDKs use: what they have asked for is here already,
and the other way round. `Listings.look` finds the entry of one file, in a bounded number of requests.
"""

from __future__ import annotations

from asyncio import to_thread
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from cachetools import LRUCache

from ..core.messages import Headers, Request, StoredResponse
from ..core.status import Outcome
from ..core.storing import Terms
from ..hub import modelscope as ms
from ..hub.resources import Document, File
from .inquiry import Refused
from .means import Means
from .told import Kept, Told

HELD = 50_000  # entries of parsed listings in memory, about 0.5 KB each
PAGES = 20  # of a data set's folder that are looked through for one file
ABSENT = Refused(404)


@dataclass(frozen=True, slots=True)
class Read:
    """A listing, and how it was had."""

    key: str
    stored: StoredResponse
    listing: ms.Listing
    outcome: Outcome


class Asked(Protocol):
    """Where the documents come from that listings are."""

    async def current(
        self, request: Request, doc: Document, terms: Terms | None = None, *, gone: bool = False
    ) -> Kept | Told | None: ...

    async def bytes_of(self, stored: StoredResponse) -> bytes | None: ...


type Parsed = LRUCache[str, ms.Listing]


def nothing_parsed() -> Parsed:
    return LRUCache(HELD, lambda listing: 1 + len(listing.files))


class Listings:
    def __init__(self, means: Means, documents: Asked, parsed: Parsed | None = None) -> None:
        self._means, self._documents = means, documents
        self._parsed = nothing_parsed() if parsed is None else parsed

    def parsed(self, stored: StoredResponse) -> ms.Listing | None:
        """From memory only."""
        return self._parsed.get(stored.blob or "")

    def terms(self, file: File) -> Terms:
        """How old a listing may be that files go by."""
        return self._means.rules.file(200) if file.pinned else self._means.rules.revision()

    async def look(self, file: File, agent: str, reload: bool) -> Read | Refused | None:
        """The listing that names the file; `ABSENT` if none does; None if that cannot be told.

        First the one of everything, which SDKs ask for; it may be cut short, so then the file's folder."""
        read = await self._read(file, agent, reload)
        if not isinstance(read, Read) or file.path in read.listing.files:
            return read
        pages = file.repo.type == "datasets"
        if pages and read.listing.whole:
            return ABSENT
        if pages and (found := await self._on_stored_pages(file)) is not None:
            return found
        folder = file.path.rpartition("/")[0]
        for page in range(1, PAGES + 1):
            read = await self._read(file, agent, reload, folder=folder, page=page)
            if not isinstance(read, Read) or file.path in read.listing.files:
                return read
            if not pages or read.listing.whole:
                return ABSENT
        return None

    async def _on_stored_pages(self, file: File) -> Read | None:
        """On a page that an SDK has asked for already."""
        page = 1
        while True:
            page += 1
            _, doc = self._document(file, page=page)
            rows = await self._means.store.responses.get(doc.key)
            fresh = rows and 0 <= self._means.clock() - rows[0].response_time < self._means.rules.ref
            if not fresh or (listing := await self.parse(rows[0], None)) is None:
                return None
            if file.path in listing.files:
                return Read(doc.key, rows[0], listing, Outcome(hit=True))
            if listing.whole:
                return None

    async def _read(
        self, file: File, agent: str, reload: bool, *, folder: str | None = None, page: int = 1
    ) -> Read | Refused | None:
        """None if the hub's answer is no listing."""
        request, doc = self._document(file, folder=folder, page=page, agent=agent, reload=reload)
        for gone in (False, True):
            got = await self._documents.current(request, doc, self.terms(file), gone=gone)
            if isinstance(got, Told):
                missing = got.status == 200  # that of the revision or of the folder, in words
                return Refused(403 if got.closed else 404) if got.closed or missing else None
            if got is None:
                return None
            if (listing := await self.parse(got.stored, got.data)) is not None:
                return Read(doc.key, got.stored, listing, got.outcome)
        return None

    def _document(
        self, file: File, *, folder: str | None = None, page: int = 1, agent: str = "", reload: bool = False
    ) -> tuple[Request, Document]:
        path, query = ms.listing_target(file.repo, file.rev, folder or "", recursive=folder is None, page=page)
        host = urlsplit(ms.origin(file.repo)).hostname or ""
        fields = [("User-Agent", agent), ("Accept", "*/*")] + [("Cache-Control", "no-cache")] * reload
        doc = ms.classify("GET", host, path, query)
        assert isinstance(doc, Document)
        return Request("GET", "https", host, 443, path, query, Headers(fields)), doc

    async def parse(self, stored: StoredResponse, data: bytes | None) -> ms.Listing | None:
        """From memory, or from the bytes; None if these are gone, or are no listing."""
        blob = stored.blob or ""
        if (known := self.parsed(stored)) is not None:
            return known
        if data is None:
            data = await self._documents.bytes_of(stored)
        try:
            listing = await to_thread(ms.listing, data or b"")
        except ValueError:
            return None
        if 1 + len(listing.files) <= HELD:
            self._parsed[blob] = listing
        return listing
