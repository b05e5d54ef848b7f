"""How a signed CDN link is answered.

Such a URL is a permission that somebody else gave. The bytes it names may be here; they are given out only if they came
from a repo that is still proven public. For all else the link itself is asked, with its signature, and the answer
streamed through.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from ..core.messages import Headers, Reply, Request, StoredResponse
from ..core.status import Fwd, Outcome
from ..fetch.bodies import BlobBody
from ..hub.resources import Blob, File
from .means import Means
from .relay import relay
from .replies import of_stored


class Links:
    def __init__(self, means: Means) -> None:
        self._means = means

    async def answer(self, request: Request, link: Blob) -> Reply:
        means = self._means
        manifest = await means.store.blobs.manifest(link.digest)
        if manifest is None or not (manifest.sealed and manifest.public and await self._proven(manifest.source)):
            return await relay(means, request, hub=link.hub, kind="blob", fwd=Fwd.URI_MISS)
        if len(await means.store.blobs.present(link.digest)) < manifest.pieces:
            return await relay(means, request, hub=link.hub, kind="blob", fwd=Fwd.PARTIAL)
        now = means.clock()
        stored = StoredResponse(
            200,
            Headers(
                (
                    ("Content-Type", "application/octet-stream"),
                    ("ETag", f'"{link.digest.partition(":")[2]}"'),
                    ("Accept-Ranges", "bytes"),
                )
            ),
            now,
            now,
            blob=link.digest,
            size=manifest.size,
        )
        return of_stored(
            request,
            stored,
            lambda a, b: BlobBody(means.store.blobs, manifest, a, b),
            Outcome(hit=True),
            now,
            means.boundary,
        )

    async def _proven(self, source: str) -> bool:
        """The repo that brought the bytes is still public."""
        at = urlsplit(source)
        if at.hostname is None:
            return False
        file = self._means.classifier.classify("GET", "https", at.hostname, 443, at.path, "")
        return isinstance(file, File) and await self._means.public.proven(file.repo.key)
