"""Which repo is known to have which bytes.

Bytes are shared by digest, and anybody may have a repo that names a digest. So bytes that did not come openly are given
to the readers of another repo only after that repo was seen to have them: it has brought all of them, or a few, at a
place that nobody can foresee, were had from it and are the same. A signed link is known by the place that it leads to.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from cachetools import LRUCache

from ..fetch.transfer import Source
from ..hub.resources import File
from ..store.contract import Manifest
from .blobs import compared
from .means import Means


class Witness:
    def __init__(self, means: Means) -> None:
        self._means = means
        self._seen: LRUCache[tuple[str, str], bool] = LRUCache(65_536)

    async def has(self, place: str, manifest: Manifest, source: Source) -> bool:
        """False if there is nothing yet to tell by. Raises `UpstreamFailed` if `source`, which is of that place, does
        not give the bytes that are here."""
        known, fills = (manifest.blob, place), self._means.fills
        if manifest.public or known in self._seen or self._place(fills.bringing(manifest.blob)) == place:
            return True
        found = self._place(fills.brought(manifest.blob)) == place or await compared(self._means, manifest, source)
        if found:
            self._seen[known] = True
        return found

    def _place(self, url: str) -> str:
        at = urlsplit(url)
        if at.hostname is None:
            return ""
        found = self._means.classifier.classify("GET", "https", at.hostname, 443, at.path, "")
        return found.repo.key if isinstance(found, File) else url
