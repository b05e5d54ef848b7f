"""How the hub is answered as a container registry: manifests are documents, blobs are answered like files.

ollama speaks to one host and has the bytes from another, so a GET is sent on to ourselves under another name of the hub
(`hub.registry`), where parts are answered from the store; HEAD is answered in place, since only its length is wanted.
The hub is asked under its own name and without credentials: what that brings is public, and proves that anybody may
pull. Who is refused so gets his own request passed on, and the link that he is then sent to is noted.

A manifest is made by the hub for the program that asks, so there is one for each program's name.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from urllib.parse import urlsplit

from ..access.provenance import same_repo
from ..access.public import has_credentials, listing, pulling
from ..core.errors import IntegrityError, UpstreamFailed
from ..core.messages import REDIRECTS, Headers, Reply, Request, StoredResponse
from ..core.reuse import FAILURES, Reuse, decide, on_upstream_failure
from ..core.status import Detail, Fwd, Outcome
from ..fetch.upstream import Answer
from ..hub import huggingface as hf
from ..hub import registry
from ..hub.resources import Document, Layer
from ..hub.subjects import subject_of
from . import blobs
from .agent import agent_of, asking, form_of
from .documents import Documents
from .issuing import size_told
from .means import Means
from .relay import failed_with, failure, relay, standing_in
from .replies import forbids_storing, not_cached, only_if_cached
from .sources import Redirected, leads_home

_HOPS = 5
_PRODUCT = re.compile(r"[A-Za-z0-9._-]{1,40}")


class Layers:
    def __init__(self, means: Means, documents: Documents) -> None:
        self._means, self._documents = means, documents

    # -- manifests --------------------------------------------------------------------------------------------------

    async def manifest(self, request: Request, doc: Document) -> Reply:
        own = has_credentials(request) or registry.signed(request.query)
        if own and doc.repo is not None and self._means.public.refused(listing(doc.repo)):
            return await self._own(request)
        canonical = replace(
            request,
            host=urlsplit(registry.ORIGIN).hostname or "",
            query="",
            headers=request.headers.without("authorization", "cookie"),
        )
        reply = await self._documents.answer(canonical, replace(doc, key=f"{doc.key}~{_asking(request)}"))
        return await self._own(request) if own and reply.status >= 400 else reply

    # -- blobs ------------------------------------------------------------------------------------------------------

    async def answer(self, request: Request, layer: Layer) -> Reply:
        if self._means.public.refused(pulling(layer.repo)) or forbids_storing(request):
            return await self._own(request, layer)
        try:
            found = await self._find(request, layer)
            if isinstance(found, Reply):
                return found
            stored, outcome = found
            if request.method == "GET" and not layer.here:
                return _elsewhere(request, layer, outcome)
            source = Redirected(
                self._means.upstream,
                [registry.blob_url(layer)],
                stored.size or 0,
                hub=layer.hub,
                may_follow=lambda url: self._stays(layer, url),
                headers=(("User-Agent", agent_of(request.headers)),),
                blob=layer.digest,
                refused=lambda: self._means.public.doubt(pulling(layer.repo)),
            )
            try:
                return await blobs.reply(self._means, request, stored, outcome, source)
            except UpstreamFailed:
                if outcome.detail is not None or await self._means.public.proven(pulling(layer.repo)):
                    raise
                return await self._own(request, layer)  # strangers could have it, and are refused the bytes now
        except (UpstreamFailed, IntegrityError) as fault:
            return failure(request, fault, hub=layer.hub, kind="blob")

    async def _find(self, request: Request, layer: Layer) -> tuple[StoredResponse, Outcome] | Reply:
        """What is known of the blob; raises `UpstreamFailed`."""
        means = self._means
        rows = await means.store.responses.get(layer.key)
        terms = means.rules.file(200)
        known = decide(request, rows, means.clock(), terms) if rows else None
        if isinstance(known, Reuse) and await means.public.proven(pulling(layer.repo)):
            return known.stored, known.outcome
        if only_if_cached(request):
            return not_cached(request, hub=layer.hub, kind="blob")
        try:
            told, collapsed = await means.flights.join(
                layer.key, lambda: self._head(layer, agent_of(request.headers), hurry=bool(rows))
            )
        except UpstreamFailed as fault:
            stored = on_upstream_failure(request, rows, means.clock(), terms, failed_with(fault))
            if stored is None or not await means.public.known(pulling(layer.repo)):
                raise
            return stored, Outcome(hit=True, detail=standing_in(fault))
        if told is None:
            return await self._own(request, layer)
        return told, Outcome(fwd=Fwd.STALE if rows else Fwd.URI_MISS, fwd_status=200, stored=True, collapsed=collapsed)

    async def _head(self, layer: Layer, agent: str, *, hurry: bool) -> StoredResponse | None:
        """One HEAD, followed to where the bytes are; None if the hub does not show the blob to everybody."""
        means, url = self._means, registry.blob_url(layer)
        fields = asking(agent)
        answer = await means.upstream.open("HEAD", url, fields, hub=layer.hub, hurry=hurry)
        for _ in range(_HOPS):
            if answer.status not in REDIRECTS or (target := answer.location) is None or not self._stays(layer, target):
                break
            answer.release()
            answer = await means.upstream.open("HEAD", target, fields, hub=layer.hub, hurry=hurry)
        answer.release()
        if answer.status in FAILURES:
            raise answer.failure()
        if answer.status in (401, 403):
            with means.unless_disk_refuses():
                await means.public.note_refusal(pulling(layer.repo))
        size = size_told(answer)
        if size is None:
            return None
        await means.public.note_success(pulling(layer.repo), answer.request_time)
        row = _row(layer, answer, size)
        await means.keep(layer.key, (row,))
        return row

    def _stays(self, layer: Layer, url: str) -> bool:
        """On the hub, and not under another name of the repo: that is for the client to ask for, and to be judged."""
        at = urlsplit(url)
        if not leads_home(url, hf.is_ours):
            return False
        host = (at.hostname or "").removesuffix(".")
        subject = subject_of(self._means.classifier.classify("GET", "https", host, 443, at.path, at.query))
        return subject is None or same_repo(subject.repo, layer.repo)

    async def _own(self, request: Request, layer: Layer | None = None) -> Reply:
        """The client's own request, with his own rights."""
        return await relay(
            self._means,
            request,
            hub=hf.HUB,
            kind="blob" if layer else "api",
            detail=Detail.ACCESS,
            blob=layer.digest if layer else "",
        )


def _row(layer: Layer, answer: Answer, size: int) -> StoredResponse:
    head = Headers(
        (
            ("Content-Type", "application/octet-stream"),
            ("ETag", f'"{layer.digest.partition(":")[2]}"'),
            ("Docker-Content-Digest", layer.digest),
            ("Accept-Ranges", "bytes"),
        )
    )
    return StoredResponse(
        200,
        head,
        answer.request_time,
        answer.response_time,
        url=registry.blob_url(layer),
        blob=layer.digest,
        size=size,
        kind="blob",
    )


def _elsewhere(request: Request, layer: Layer, outcome: Outcome) -> Reply:
    fields = (
        ("Location", registry.handed_out(layer, request.host)),
        ("Docker-Content-Digest", layer.digest),
        ("Content-Length", "0"),
    )
    return Reply(307, Headers(fields), b"", outcome)


def _asking(request: Request) -> str:
    """The program that asks and the form it wants, as part of a key."""
    name = _PRODUCT.match(agent_of(request.headers))
    form = hashlib.sha256(form_of(request.headers).encode()).hexdigest()[:16]
    return f"{name[0] if name else ''}~{form}"
