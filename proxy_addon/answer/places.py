"""Where the bytes of a digest are known to lie: files of public repos, on whatever hub.

Noted when a hub has named the digest for the file to somebody without credentials; at most `MOST` for each, the newest
first. A place is a hint and no proof: what comes from it is verified as always.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from ..core.messages import Headers, StoredResponse
from ..hub.resources import File
from .means import Means

MOST = 4


class Places:
    def __init__(self, means: Means) -> None:
        self._means = means

    async def note(self, stored: StoredResponse) -> None:
        """`stored.url` is a URL without a query that names the file of digest `stored.blob`."""
        if stored.blob is None or not stored.blob.startswith("sha256:"):
            return
        key = _key(stored.blob)
        try:
            rows = await self._means.store.responses.read(key)
        except OSError:  # what is known already must not be lost for it
            return
        known = [url for _, url in rows[0].facts] if rows else []
        if stored.url in known:
            return
        urls = [stored.url, *known][:MOST]
        row = StoredResponse(
            200,
            Headers(),
            stored.request_time,
            stored.response_time,
            kind="places",
            facts=tuple(("url", url) for url in urls),
        )
        await self._means.keep(key, (row,))

    async def of(self, blob: str, besides: str) -> list[File]:
        """Files with these bytes whose repos are proven public; all but the one at the URL `besides`."""
        found = []
        for url in await self.urls(blob):
            if url == besides:
                continue
            at = urlsplit(url)
            file = self._means.classifier.classify("GET", "https", at.hostname or "", 443, at.path, "")
            if isinstance(file, File) and await self._means.public.proven(file.repo.key):
                found.append(file)
        return found

    async def urls(self, blob: str) -> list[str]:
        """Of all these files, public still or not."""
        return [url for row in await self._means.store.responses.get(_key(blob)) for _, url in row.facts]


def _key(blob: str) -> str:
    return f"places:{blob}"
