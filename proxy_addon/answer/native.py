"""Native Xet, put together: what clients that speak it ask for, and what is overheard of Xet in other answers."""

from __future__ import annotations

from ..core.messages import Reply, Request
from ..hub.huggingface import HUB
from ..hub.resources import Document, File, Reconstruction, Resource, Xorb
from .downloads import Downloads
from .identities import Identities
from .means import Means
from .proofs import Proofs
from .ranges import Ranges
from .reconstructions import Reconstructions
from .xorbs import Xorbs


class NativeXet:
    def __init__(self, means: Means) -> None:
        downloads, ranges = Downloads(), Ranges(means)
        self.identities = Identities(means)
        self.proofs = Proofs(means.store.blobs, ranges, self.identities)
        self._reconstructions = Reconstructions(means, downloads, ranges, self.proofs, self.identities)
        self._xorbs = Xorbs(means, downloads, ranges, self.proofs)

    async def answer(self, request: Request, asked: Xorb | Reconstruction) -> Reply:
        if isinstance(asked, Xorb):
            return await self._xorbs.answer(request, asked)
        return await self._reconstructions.answer(request, asked)

    def overhear(self, reply: Reply, resource: Resource) -> Reply:
        """What a client is told of files by their Xet hash."""
        if isinstance(resource, Document) and resource.hub == HUB and resource.edit and reply.status == 200:
            self.identities.overhear(reply)
        return self.glimpse(reply, resource)

    def glimpse(self, reply: Reply, resource: Resource) -> Reply:
        """Just what the head tells: what is kept of a file may have outlived what was learned by it."""
        if isinstance(resource, File) and resource.hub == HUB:
            self.identities.learn_head(reply.headers)
        return reply

    async def close(self) -> None:
        self.proofs.close()
        await self.identities.settle()
