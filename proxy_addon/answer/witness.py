"""Which repo is known to have which bytes.

Bytes are shared by digest, and anybody may have a repo that names a digest. So bytes that did not come openly are given
to the readers of another repo only after that repo was seen to have them: it has brought all of them, or a few, at a
place that nobody can foresee, were had from it and are the same.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from cachetools import LRUCache

from ..fetch.transfer import Source
from ..hub.resources import File, Repo
from ..store.contract import Manifest
from .blobs import compared
from .means import Means


class Witness:
    def __init__(self, means: Means) -> None:
        self._means = means
        self._seen: LRUCache[tuple[str, str], bool] = LRUCache(65_536)

    async def has(self, repo: Repo, manifest: Manifest, source: Source) -> None:
        """Raises `UpstreamFailed` if the repo's `source` does not give the bytes that are here."""
        known = (manifest.blob, repo.key)
        if manifest.public or known in self._seen:
            return
        if self._brought(repo, manifest.blob) or await compared(self._means, manifest, source):
            self._seen[known] = True

    def _brought(self, repo: Repo, blob: str) -> bool:
        at = urlsplit(self._means.fills.brought(blob))
        if at.hostname is None:
            return False
        found = self._means.classifier.classify("GET", "https", at.hostname, 443, at.path, "")
        return isinstance(found, File) and found.repo.key == repo.key
