"""What may be kept of a response, and how it joins what is already kept (RFC 9111 §3).

`storable` says no with a reason, or says what to keep, always the whole of a representation. Where `Terms` give a
lifetime, the resource is known: its key is complete without Vary and the hub's own directives about caching do not
count; what protects users (Authorization, cookies, connection fields, the client's `no-store`) counts always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .dates import format_date
from .directives import NOTHING, Directives, of_request, of_response
from .fields import is_credential, secondary_key, storable_fields, unlocks
from .freshness import HEURISTIC, lifetime
from .messages import Headers, Request, StoredResponse
from .validators import conditional

READS = frozenset({"GET", "HEAD"})
MAX_VARIANTS = 32

#: Answers to one request's range, conditions, credentials or pace, not to the next one's (RFC 9110 §15; RFC 6585 §3-6).
_MOMENTARY = frozenset({206, 304, 407, 412, 416, 421, 428, 429, 431, 511})
_KNOWN = HEURISTIC | {302, 303, 307}
_EXPLICIT = ("public", "max-age", "s-maxage")


@dataclass(frozen=True, slots=True)
class Terms:
    """How one kind of resource is cached.

    `lifetime`: seconds since arrival or validation, in place of what the response says; `math.inf` for what never
    changes; None for plain RFC 9111. `stale_if_error`: seconds past it that a stored response may stand in for an
    upstream that fails. `methods`: those that read it.
    """

    lifetime: float | None = None
    stale_if_error: float = 0.0
    methods: frozenset[str] = READS


@dataclass(frozen=True, slots=True)
class StoreAs:
    headers: Headers
    vary: tuple[tuple[str, str | None], ...]
    status: int
    size: int | None = None  # bytes, if the head says so


@dataclass(frozen=True, slots=True)
class NotStorable:
    reason: str


def storable(request: Request, status: int, headers: Headers, now: float, terms: Terms) -> StoreAs | NotStorable:
    """Whether, and as what, to store a response whose head arrived at `now` (RFC 9111 §3, §3.5)."""
    if request.method not in terms.methods:
        return NotStorable("method")
    if not 200 <= status < 600 or status in _MOMENTARY:
        return NotStorable("status")
    if "no-store" in of_request(request.headers):
        return NotStorable("request no-store")
    rules = of_response(status, headers) if terms.lifetime is None else NOTHING
    if unlocks(request.headers) and not permits_authorized(rules):
        return NotStorable("authorization")
    if terms.lifetime is None:
        vary = secondary_key(request, headers)
        if vary is None:
            return NotStorable("vary *")
        if any(value is not None and is_credential(name) for name, value in vary):
            return NotStorable("vary on a secret")
        if reason := _refused(request, status, headers, rules, now):
            return NotStorable(reason)
    elif status not in _KNOWN:
        return NotStorable("status")
    else:
        vary = ()
    kept = storable_fields(headers, rules)
    if "date" not in kept:  # RFC 9110 §6.6.1
        kept = kept.replace(("Date", format_date(now)))
    return StoreAs(kept, vary, status, delta_bytes(headers.get("content-length")))


def delta_bytes(value: str | None) -> int | None:
    """A Content-Length; None if absent or no number."""
    return int(value) if value is not None and len(value) < 19 and value.isascii() and value.isdigit() else None


def permits_authorized(rules: Directives) -> bool:
    """Whether a shared cache may keep and use what Authorization unlocked (RFC 9111 §3.5)."""
    return "public" in rules or "must-revalidate" in rules or "s-maxage" in rules


def _refused(request: Request, status: int, headers: Headers, rules: Directives, now: float) -> str:
    if request.method == "HEAD":
        return "head"
    if "no-store" in rules:
        return "no-store"
    if rules.bare("private"):
        return "private"
    explicit = any(name in rules for name in _EXPLICIT) or "expires" in headers
    if not explicit and status not in HEURISTIC:
        return "status"
    head = StoredResponse(status, headers, now, now)
    lives = lifetime(head, rules) > 0 and not rules.bare("no-cache")
    return "" if lives or conditional(headers) else "nothing to reuse or validate"


def stored_from(
    request: Request,
    plan: StoreAs,
    *,
    request_time: float,
    response_time: float,
    url: str,
    blob: str | None = None,
    size: int | None = None,
    kind: str = "-",
    facts: tuple[tuple[str, str], ...] = (),
) -> StoredResponse:
    """The stored response that `plan` allows. `url` must hold no secret; `size`, if given, overrides the head."""
    return StoredResponse(
        status=plan.status,
        headers=plan.headers,
        request_time=request_time,
        response_time=response_time,
        url=url,
        blob=blob,
        size=plan.size if size is None else size,
        vary=plan.vary,
        authorized=unlocks(request.headers),
        kind=kind,
        facts=facts,
    )


def replace_variant(
    variants: Sequence[StoredResponse], new: StoredResponse, limit: int = MAX_VARIANTS
) -> tuple[StoredResponse, ...]:
    """`variants` with `new` in the place of the one with the same secondary key, newest first, at most `limit`."""
    others = sorted((v for v in variants if v.vary != new.vary), key=lambda v: -v.response_time)
    return (new, *others)[:limit]
