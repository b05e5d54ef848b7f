"""The first upstream that does not fail: a hub's mirrors, then the host that was asked. Only that one can refuse, be it
by a status or in words.

A page where a document is due is no success, whatever its status: something on the way wants people to log in, or is
being repaired. Neither is it kept, nor does it prove that anybody may see the repo.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..core.errors import UpstreamFailed
from ..core.messages import Headers, Request
from ..core.reuse import FAILURES
from ..fetch.upstream import Answer
from .means import Means

_PAGE = ("text/html", "application/xhtml")


def is_page(headers: Headers) -> bool:
    return (headers.get("content-type") or "").lower().startswith(_PAGE)


def a_page(answer: Answer, base: str) -> UpstreamFailed | None:
    """What is wrong with a success that is a page for browsers, and closed then."""
    if answer.status != 200 or not is_page(answer.headers):
        return None
    answer.close()
    return UpstreamFailed(f"{base.partition('://')[2]} sent a page where a document was due")


async def first_good(
    means: Means,
    request: Request,
    hub: str,
    fields: list[tuple[str, str]],
    read: Callable[[Answer], Awaitable[bytes | None]],
    *,
    hurry: bool,
    pages: bool,
) -> tuple[Answer, bytes | None]:
    """The answer, to be closed by the caller, and its body if that was read already.

    `read`: the body of a mirror's success; None if it is no success. `hurry`: something may be reused if this fails.
    `pages`: what is asked for may be HTML.
    Raises `UpstreamFailed`."""
    fault: UpstreamFailed | None = None
    for base in (*means.rules.mirrors_of(hub, request.host), request.origin):
        method = "POST" if request.method == "POST" else "GET"
        try:
            answer = await means.upstream.open(
                method, base + request.target, fields, body=request.body or None, hub=hub, hurry=hurry
            )
        except UpstreamFailed as failed:
            fault = failed
            continue
        if not pages and (page := a_page(answer, base)) is not None:
            fault = page
            continue
        if answer.status < 400 or (answer.status not in FAILURES and base == request.origin):
            answer.speak_as(base, request.origin)
            if base == request.origin or answer.status != 200:
                return answer, None
            try:
                body = await read(answer)
            except UpstreamFailed as failed:
                fault = failed
                continue
            if body is not None:
                return answer, body
        answer.close()
        fault = answer.failure()
    raise fault or UpstreamFailed("no upstream is configured")
