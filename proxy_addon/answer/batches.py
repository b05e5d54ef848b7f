"""How a git-lfs batch is answered: passed on as it is, and the links in it are noted.

The hub decides who may have an object, for the client's own credentials, each time; the answer is never stored. What
git-lfs then asks for by those links is answered from the store (git-lfs docs/api/batch.md).
"""

from __future__ import annotations

import json
from asyncio import to_thread

from ..access.public import principal
from ..core.errors import UpstreamFailed
from ..core.messages import Reply, Request
from ..core.status import Fwd, Outcome
from ..fetch.upstream import Answer
from ..hub.resources import Batch
from ..hub.signed import downloads
from .issuing import notice
from .means import Means
from .relay import failure, passed_on, sent_upstream

LARGEST = 8 * 1024 * 1024  # bytes of an answer that is read; a longer one goes by unread


def only_downloads(request: Request) -> bool:
    """Whether the batch asks for objects, and beyond doubt not where to put some."""
    try:
        asked = json.loads(request.body.decode(), object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return False
    named = [pair for pair in asked if pair[0].casefold() == "operation"] if isinstance(asked, tuple) else []
    return named == [("operation", "download")]  # once: readers differ in which of two counts, and in case


class Batches:
    def __init__(self, means: Means) -> None:
        self._means = means

    async def answer(self, request: Request, batch: Batch) -> Reply:
        means = self._means
        fields = (*sent_upstream(request, drop=frozenset({"accept-encoding"})), ("Accept-Encoding", "identity"))
        try:
            answer = await means.upstream.open(
                request.method,
                request.url,
                fields,
                body=request.body,
                hub=batch.hub,
                principal=principal(request.headers),
            )
            begun = await self._begun(answer) if answer.status == 200 else b""
        except UpstreamFailed as fault:
            return failure(request, fault, hub=batch.hub, kind="git")
        if len(begun) <= LARGEST and answer.headers.get("content-encoding", "identity") == "identity":
            await self._read(begun, batch.hub)
        outcome = Outcome(fwd=Fwd.BYPASS, fwd_status=answer.status)
        return passed_on(request, answer, outcome, batch.hub, "git", begun=begun)

    async def _begun(self, answer: Answer) -> bytes:
        """The body, or just more of it than `LARGEST`."""
        parts, size = [], 0
        try:
            while size <= LARGEST and (data := await answer.chunk()):
                parts.append(data)
                size += len(data)
        except BaseException:
            answer.close()
            raise
        return b"".join(parts)

    async def _read(self, body: bytes, hub: str) -> None:
        now = self._means.clock()
        try:
            links = await to_thread(lambda: list(downloads(json.loads(body), now)))
        except (ValueError, RecursionError):
            return
        for link in links:
            notice(self._means, link, hub)
