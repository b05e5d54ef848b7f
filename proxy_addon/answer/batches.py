"""How a git-lfs batch is answered: passed on as it is, and the links in it are noted, and whose they are.

The hub decides who may have an object, for the client's own credentials, each time; the answer is never stored. What
git-lfs then asks for by those links is answered from the store (git-lfs docs/api/batch.md). An object that a rule
denies has that in place of its link, so that the others are downloaded and no link is tried again and again.
"""

from __future__ import annotations

import json
import re
from asyncio import to_thread
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ..access.public import principal
from ..core.errors import UpstreamFailed
from ..core.messages import Reply, Request, Ruling
from ..core.status import Detail, Fwd, Outcome
from ..fetch.upstream import Answer
from ..hub.paths import Ambiguous, sound
from ..hub.resources import SHA256, Batch, Subject
from ..hub.signed import Handed, Link, downloads, handed
from ..policy.facts import Facts
from ..policy.judge import Deny, Policy
from .issuing import notice
from .judged import Judged, unplaced
from .means import Means
from .relay import end_to_end, failure, passed_on, sent_upstream
from .replies import refusal

MANY = 100  # objects; git-lfs asks for no more at once
LARGEST = 8 * 1024 * 1024  # bytes of an answer that is read; a longer one goes by unread
_REF = re.compile(r"refs/(?:heads|tags)/(.{1,200})")
_LFS = "application/vnd.git-lfs+json"


def only_downloads(request: Request) -> bool:
    """Whether the batch asks for objects, and beyond doubt not where to put some."""
    try:
        asked = json.loads(request.body.decode(), object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return False
    named = [pair for pair in asked if pair[0].casefold() == "operation"] if isinstance(asked, tuple) else []
    return named == [("operation", "download")]  # once: readers differ in which of two counts, and in case


def wished(request: Request) -> Iterator[str]:
    """The digests that the batch asks for, of which links will be handed out; `MANY` at most."""
    asked = json.loads(request.body).get("objects") if only_downloads(request) else None
    for each in asked[:MANY] if isinstance(asked, list) else ():
        oid = each.get("oid") if isinstance(each, dict) else None
        if isinstance(oid, str) and SHA256.match(oid):
            yield f"sha256:{oid}"


def revision(request: Request) -> str | None:
    """The branch or tag for which the objects are wanted, if the batch tells."""
    try:
        ref = json.loads(request.body)["ref"]["name"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    found = _REF.fullmatch(ref) if isinstance(ref, str) else None
    try:
        return sound(found[1], slashes=True) if found else None
    except Ambiguous:  # no name that a URL could hold
        return None


@dataclass(frozen=True, slots=True)
class Refusals:
    """What is denied of a batch: digests, and the words for each. `rev`: where they were looked for."""

    texts: Mapping[str, str] = field(default_factory=dict)
    ruling: Ruling | None = None
    rev: str | None = None


async def denied_objects(
    policy: Policy, request: Request, batch: Batch, judge: Callable[[Subject], Awaitable[list[Judged] | Reply]]
) -> tuple[dict[str, Deny], str | None]:
    """What is denied, by its digest; the revision that was asked about, None if the hub has no such branch."""
    denied, rev = dict[str, Deny](), revision(request)
    for digest in wished(request) if not policy.open else ():
        found = await judge(Subject(batch.repo, rev, digest=digest))
        if isinstance(found, Reply) and rev is not None:  # a branch that the hub does not have
            rev = None
            found = await judge(Subject(batch.repo, digest=digest))
        verdict = [Judged(None, unplaced(policy), Facts())] if isinstance(found, Reply) else found
        answer = next((each.answer for each in verdict if isinstance(each.answer, Deny)), None)
        if answer is not None:
            denied[digest] = answer
    return denied, rev


class Batches:
    def __init__(self, means: Means) -> None:
        self._means = means

    async def answer(self, request: Request, batch: Batch, refusals: Refusals) -> Reply:
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
        outcome = Outcome(fwd=Fwd.BYPASS, fwd_status=answer.status)
        legible = len(begun) <= LARGEST and answer.headers.get("content-encoding", "identity") == "identity"
        if legible:
            await self._read(begun, batch, refusals.rev, means.provenance.holder(request))
        if not refusals.texts or answer.status != 200:
            return passed_on(request, answer, outcome, batch.hub, "git", begun=begun)
        answer.close()
        edited = await to_thread(_without, begun, refusals.texts) if legible else None
        if edited is None:
            text = next(iter(refusals.texts.values()))
            reply = refusal(request, 403, text, Detail.DENIED, hub=batch.hub, kind="git")
            reply.headers, reply.ruling = reply.headers.replace(("Content-Type", _LFS)), refusals.ruling
            return reply
        headers = end_to_end(answer.headers).replace(
            ("Content-Length", str(len(edited))), ("Cache-Control", "no-store")
        )
        return Reply(200, headers, edited, outcome, "", batch.hub, "git", refusals.ruling)

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

    async def _read(self, body: bytes, batch: Batch, rev: str | None, to: str) -> None:
        now, known, repo = self._means.clock(), self._means.provenance, batch.repo
        try:
            links, given = await to_thread(_understood, body, now)
        except (ValueError, RecursionError):
            return
        for each in given:
            known.link(each.url.partition("#")[0], Subject(repo, rev, digest=f"sha256:{each.oid}"), to=to)
            if each.token:
                known.token(each.token, Subject(repo), to=to)
        for link in links:
            notice(self._means, link, repo.hub)


def _understood(body: bytes, now: float) -> tuple[list[Link], list[Handed]]:
    told = json.loads(body)
    return list(downloads(told, now)), list(handed(told))


def _without(body: bytes, denied: Mapping[str, str]) -> bytes | None:
    """The answer with an error in place of each link that is denied; None if it cannot be read."""
    try:
        told = json.loads(body)
        for each in told["objects"]:
            if (text := denied.get(f"sha256:{each['oid']}")) is not None:
                each.pop("actions", None)
                each["error"] = {"code": 403, "message": text}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return json.dumps(told).encode()
