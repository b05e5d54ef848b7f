"""Passing one exchange on, streamed and stored nowhere: what is secret, what needs a credential, what nobody may share.

The client's own headers go upstream, credentials included, but only to the host that the client addressed. The answer
comes back as it is, less the fields that belong to one connection.
"""

from __future__ import annotations

from collections.abc import Callable

from ..access.public import principal
from ..core.directives import split_list
from ..core.errors import IntegrityError, UpstreamFailed
from ..core.fields import HOP_BY_HOP
from ..core.messages import Headers, Reply, Request
from ..core.status import Detail, Fwd, Outcome
from ..core.storing import delta_bytes
from ..fetch.bodies import RelayBody
from ..fetch.upstream import Answer, Throttled
from .issuing import notice_redirect
from .means import Means
from .replies import refusal

_OURS = frozenset({"host", "expect"})


def end_to_end(headers: Headers, *, drop: frozenset[str] = frozenset()) -> Headers:
    """Without what concerns one connection only (RFC 9110 §7.6.1), and without `drop`."""
    named = {name.lower() for line in headers.get_all("connection") for name in split_list(line)}
    gone = HOP_BY_HOP | named | _OURS | drop
    return Headers((k, v) for k, v in headers.fields if k.lower() not in gone)


def sent_upstream(request: Request, *, drop: frozenset[str] = frozenset()) -> tuple[tuple[str, str], ...]:
    return end_to_end(request.headers, drop=drop | {"content-length"}).fields


async def relay(
    means: Means,
    request: Request,
    *,
    hub: str,
    kind: str,
    fwd: Fwd = Fwd.BYPASS,
    drop: Callable[[Answer], frozenset[str]] = lambda answer: frozenset(),
    detail: Detail | None = None,
    blob: str = "",
) -> Reply:
    """Ask upstream for just this request; `drop` names fields that the client shall not see.

    `blob`: what the request is for, where its URL tells."""
    try:
        answer = await means.upstream.open(
            request.method,
            request.url,
            sent_upstream(request),
            body=request.body or None,
            hub=hub,
            principal=principal(request.headers),
        )
    except UpstreamFailed as fault:
        return failure(request, fault, hub=hub, kind=kind)
    notice_redirect(means, answer, blob)
    return passed_on(
        request, answer, Outcome(fwd=fwd, fwd_status=answer.status, detail=detail), hub, kind, drop(answer)
    )


def passed_on(
    request: Request,
    answer: Answer,
    outcome: Outcome,
    hub: str,
    kind: str,
    drop: frozenset[str] = frozenset(),
    *,
    begun: bytes = b"",
) -> Reply:
    """The answer as it is, streamed; `begun` is what was read of its body already."""
    headers = end_to_end(answer.headers, drop=drop)
    reply = Reply(answer.status, headers, b"", outcome, answer.reason, hub, kind)
    if request.method == "HEAD" or answer.status in (204, 304):
        answer.release()
        return reply
    reply.body = RelayBody(answer, delta_bytes(answer.headers.get("content-length")), begun)
    return reply


def failure(request: Request, fault: UpstreamFailed | IntegrityError, *, hub: str, kind: str) -> Reply:
    """No usable answer: 502 or 504 with the reason, 429 with the hub's own wait."""
    text = f"hubgate: {fault}; nothing usable is cached"
    if isinstance(fault, IntegrityError):
        return refusal(request, 502, text, Detail.INTEGRITY, hub=hub, kind=kind)
    extra: tuple[tuple[str, str], ...] = ()
    if isinstance(fault, Throttled):
        extra = (("Retry-After", str(max(1, round(fault.retry_after)))),)
    return refusal(request, fault.status, text, Detail.UPSTREAM, *extra, hub=hub, kind=kind)


def failed_with(fault: UpstreamFailed) -> int | None:
    """What `on_upstream_failure` is to hear: a status that is about the request as the hub saw it, None for all by
    which the hub itself fails, or is out of reach."""
    return fault.status if 400 <= fault.status < 500 and fault.status != 408 else None


def standing_in(fault: UpstreamFailed) -> Detail:
    """Why something stale is served: the hub is out of reach, or it fails."""
    return Detail.OFFLINE if fault.status == 504 else Detail.STALE_IF_ERROR
