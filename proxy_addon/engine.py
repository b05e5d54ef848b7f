"""The life of a request.

`handle` is the only place where a request becomes a reply: say what the request is about, judge it by the rules, let
the answer for that kind of resource look up, decide, forward and store, and judge again what came. `quick` is the same
for what lies in memory, without an await. The edge asks `takes` when it has seen a head: what the engine does not take
is relayed upstream, body and all.

Nothing here raises into the edge but programming errors; the edge turns those into a 503 and never into a request
upstream.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, assert_never

from .answer import uploads
from .answer.batches import Batches, only_downloads
from .answer.contents import Contents
from .answer.documents import Documents
from .answer.enforcement import Enforcement, Rules
from .answer.facts import FactFinder
from .answer.files import Files
from .answer.gate import ContentGate
from .answer.granting import granted
from .answer.layers import Layers
from .answer.links import Links
from .answer.local import locally
from .answer.means import Means
from .answer.native import NativeXet
from .answer.origins import Origins
from .answer.plain import Plains
from .answer.promised import Promised
from .answer.relay import failure, relay
from .answer.replies import refusal
from .core.errors import BodyLost, UpstreamFailed
from .core.invalidation import SAFE
from .core.messages import BODY_LIMIT, Finished, Headers, Pass, Reply, Request
from .core.status import Detail, Fwd
from .fetch.addresses import is_literal, is_public
from .hub.resources import (
    Batch,
    Blob,
    Document,
    File,
    Kind,
    Layer,
    Malformed,
    Passed,
    Plain,
    Reconstruction,
    Repo,
    Resource,
    Secret,
    Telemetry,
    Xorb,
)  # fmt: skip
from .store.contract import View


class Observer(Protocol):
    """Told of every finished request: the access log and the metrics."""

    def completed(self, finished: Finished) -> None: ...


class Engine:
    def __init__(
        self,
        means: Means,
        *,
        tunnels: bool,
        connect_to: Callable[[str, int], tuple[str, int] | None],
        observer: Observer,
        rules: Rules,
        read_only: bool = False,
    ) -> None:
        self._means, self._observer, self._read_only = means, observer, read_only
        self._tunnels, self._connect_to = tunnels, connect_to
        self._documents = Documents(means)
        self._files = Files(means, self._documents)
        self._plains, self._links = Plains(means), Links(means)
        self._batches, self._layers = Batches(means), Layers(means, self._documents)
        self._xet, self._promised = NativeXet(means), Promised()
        self.origins, self.contents = Origins(means), Contents(means)
        self.facts = FactFinder(means, self._documents)
        self._enforcement = Enforcement(rules, self.origins, self.facts, ContentGate(self.contents), means.clock)

    # -- the life of a request --------------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Reply | Pass:
        resource = self._resource(request)
        if (local := self._locally(request, resource)) is not None:
            return _signed(local, resource)
        try:
            policy = self._enforcement.policy
            verdict = await self._enforcement.before(request, resource)
            if isinstance(verdict, Reply):
                return _signed(verdict, resource)
            reply = await self._answered(request, resource)
            if isinstance(reply, Pass) and policy is self._enforcement.policy:
                return self._enforcement.passed(resource, verdict, reply)
            if isinstance(reply, Pass):  # other rules have come meanwhile
                return await self.handle(request)
            reply = await self._enforcement.after(request, resource, verdict, reply, policy)
        except UpstreamFailed as fault:
            reply = failure(request, fault, hub=resource.hub, kind=resource.kind)
        except BodyLost as lost:
            reply = refusal(request, 502, f"hubgate: {lost}", Detail.UPSTREAM)
        return _signed(self._xet.overhear(self.origins.overhear(request, resource, reply), resource), resource)

    def _locally(self, request: Request, resource: Resource) -> Reply | None:
        if (reply := locally(request, resource)) is not None:
            return reply
        denied = self._denies(resource) or (self._read_only and _places(request, resource))
        return uploads.denied(request, resource) if denied else None

    async def _answered(self, request: Request, resource: Resource) -> Reply | Pass:
        match resource:
            case File():
                return await self._files.answer(request, resource)
            case Document(what="manifest"):
                return await self._layers.manifest(request, resource)
            case Document():
                return await self._documents.answer(request, resource)
            case Layer():
                return await self._layers.answer(request, resource)
            case Blob():
                return await self._links.answer(request, resource)
            case Batch():
                refusals = await self._enforcement.objects(request, resource)
                return await self._batches.answer(request, resource, refusals)
            case Plain():
                return await self._plains.answer(request, resource)
            case Secret(hub="other") if (named := granted(self._means, request)) is not None:
                return await self._plains.answer(request, named)
            case Secret(hub, kind):
                return await relay(self._means, request, hub=hub, kind=kind)
            case Xorb() | Reconstruction():
                return await self._xet.answer(request, resource)
            case Passed(hub="other") if self._holds(request):
                return await self._unsafe(request)
            case Passed(hub, kind):
                return Pass(hub, kind)
            case Malformed() | Telemetry():
                raise AssertionError("answered locally")
            case never:
                assert_never(never)

    def quick(self, request: Request) -> Reply | None:
        """The reply if nothing but memory is needed for it."""
        resource = self._resource(request)
        return self._shown(request, resource, self._seen(self._means.store.memory, request, resource))

    async def glance(self, request: Request) -> Reply | None:
        """The reply if nothing but one look at the disk is needed for it."""
        resource = self._resource(request)
        if not isinstance(resource, File | Document | Plain):
            return None
        return self._shown(
            request, resource, await self._means.store.glance(lambda view: self._seen(view, request, resource))
        )

    def _shown(self, request: Request, resource: Resource, reply: Reply | None) -> Reply | None:
        if reply is None or (judged := self._enforcement.glimpse(request, resource, reply)) is None:
            return None
        return _signed(self._xet.glimpse(judged, resource), resource)

    def _seen(self, view: View, request: Request, resource: Resource) -> Reply | None:
        """A small warm hit, from what `view` shows; None for all else."""
        if request.scheme == "http" and resource.hub != "other":
            return None
        match resource:
            case File():
                return self._files.quickly(view, request, resource)
            case Document() if resource.what != "manifest":
                return self._documents.quickly(view, request, resource)
            case Plain():
                return self._plains.quickly(view, request, resource)
            case _:
                return None

    def takes(self, request: Request) -> bool:
        """Whether `handle` answers; the edge then brings the whole body, at most `BODY_LIMIT` bytes."""
        resource = self._resource(request)
        if not isinstance(resource, Passed) or self._denies(resource):
            return True
        if resource.hub == "other":
            return self._holds(request)
        judged = (request.method in SAFE or resource.read is not None) and not self._enforcement.idle
        return request.scheme == "http" or judged or self._enforcement.passes(request, resource) is not True

    def refuses(self, request: Request) -> Reply | None:
        """The reply to what is refused for its head alone, however much body would follow."""
        resource = self._resource(request)
        if self._denies(resource):
            return _signed(uploads.denied(request, resource), resource)
        if not isinstance(resource, Passed) or resource.hub == "other":
            return None
        denial = self._enforcement.passes(request, resource)
        return _signed(denial, resource) if isinstance(denial, Reply) else None

    def _denies(self, resource: Resource) -> bool:
        return self._read_only and uploads.writes(resource)

    def _resource(self, request: Request) -> Resource:
        digest = _asked_in(request) if request.body else ""
        return self._means.classifier.classify(
            request.method, request.scheme, request.host, request.port, request.path, request.query, digest
        )

    def _holds(self, request: Request) -> bool:
        """A request of ours with a body that is short for certain."""
        hub = self._means.classifier.hub_of(request.host, request.port)
        if hub != "other" or "transfer-encoding" in request.headers:
            return False
        length = request.headers.get("content-length") or "0"
        return re.fullmatch(r"[0-9]{1,7}", length) is not None and int(length) <= BODY_LIMIT

    async def _unsafe(self, request: Request) -> Reply:
        reply = await relay(self._means, request, hub="other", kind=Kind.PLAIN, fwd=Fwd.METHOD)
        if request.method not in SAFE:
            await self._plains.invalidate(request, reply.status, reply.headers)
        return reply

    # -- what the edge asks -----------------------------------------------------------------------------------------

    def intercepts(self, host: str, port: int) -> bool:
        return self._means.classifier.hub_of(host, port) is not None

    def claims(self, name: str, port: int) -> bool:
        return self._means.classifier.claims(name, port)

    def tunnel(self, host: str, port: int) -> str | None:
        """None if a CONNECT to a host that is not ours may be relayed, else the reason phrase to refuse it with."""
        if self.intercepts(host, port):
            return None
        if self._connect_to(host, port) is None and is_literal(host) and not is_public(host.strip("[]")):
            return f"Host {host} is a private address"
        if self._tunnels:
            return None
        return f"Host {host} is not reachable through hubgate (tunnel: deny)"[:120]

    def connect_to(self, host: str, port: int) -> tuple[str, int] | None:
        return self._connect_to(host, port)

    async def resolve(self, host: str, port: int) -> tuple[str, int]:
        """A checked address; raises `UpstreamFailed`."""
        return await self._means.upstream.resolver.checked(host, port)

    def completed(self, finished: Finished) -> None:
        """Called once per request, when it is over."""
        self._observer.completed(finished)
        request, status = finished.request, finished.status
        if request.method not in SAFE and 200 <= status < 400:
            resource = self._resource(replace(request, body=b""))
            if isinstance(resource, Passed) and resource.repo is not None:
                self._promised.soon(self._forget(resource.repo))
            elif isinstance(resource, Passed) and resource.kind is Kind.PLAIN:
                self._promised.soon(self._plains.invalidate(request, status, Headers()))

    async def _forget(self, repo: Repo) -> None:
        """An upload went through: what the repo's branches and listings were is no longer so."""
        means = self._means
        means.leases.forget(repo.key)
        self.facts.forget(repo)
        with means.unless_disk_refuses():
            await means.public.forget(repo.key)
        for prefix in repo.changing:
            with means.unless_disk_refuses():
                await means.store.responses.invalidate(prefix)

    async def settle(self) -> None:
        """Wait for what was promised in the background."""
        await self._promised.settle()
        await self.origins.settle()
        await self._xet.close()


def _signed(reply: Reply, resource: Resource) -> Reply:
    """Every reply says how it came about (RFC 9211); what caches further up said of themselves stays in front."""
    reply.headers = Headers((*reply.headers.fields, ("Cache-Status", reply.outcome.header)))
    reply.hub, reply.kind = resource.hub, resource.kind
    return reply


def _places(request: Request, resource: Resource) -> bool:
    return isinstance(resource, Batch) and not only_downloads(request)


def _asked_in(request: Request) -> str:
    """A body is part of what is asked, and its type says how it is read."""
    kind = request.headers.get("content-type") or ""
    return hashlib.sha256(f"{request.method} {kind}\n".encode() + request.body).hexdigest()[:32]
