"""May a stored response answer this request, and if not, what then (RFC 9111 §4)?

`decide` is total: reuse it, validate it first, forward the request, or say that nothing is here; exactly one of them.
Invariant: what is reused matches the request (method, Vary) and is fresh, or stale only where the client
(max-stale) or the origin (stale-while-revalidate, RFC 5861 §3) has allowed that and nobody has forbidden it. Stale in
place of an error is for `on_upstream_failure` alone.

Where `Terms` give a lifetime, age counts from arrival here and only the request's directives are read; that is also the
path of a warm hit, and must stay short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from . import freshness
from .directives import NOTHING, Directives, of_request, of_response
from .fields import HOP_BY_HOP, matches
from .messages import Headers, Request, StoredResponse
from .status import Detail, Fwd, Outcome
from .storing import Terms, permits_authorized
from .validators import conditional

#: Answers that a stale response may stand in for (RFC 5861 §4, and 429). Never 401, 403 or 404: those are decisions.
FAILURES = frozenset({429, 500, 502, 503, 504})

_NOT_SENT = HOP_BY_HOP | {"age"}
_ORIGIN_ONLY = ("if-match", "if-unmodified-since")


@dataclass(frozen=True, slots=True)
class Reuse:
    """Answer with `stored`. `ttl`: seconds of freshness left, negative when stale, None for what never ends."""

    stored: StoredResponse
    ttl: int | None
    revalidate_in_background: bool = False
    detail: Detail | None = None

    @property
    def outcome(self) -> Outcome:
        return Outcome(hit=True, ttl=self.ttl, detail=self.detail)


@dataclass(frozen=True, slots=True)
class Validate:
    """Ask upstream with `headers` in place of the client's own conditions; a 304 goes to `after_validation`."""

    stored: StoredResponse
    headers: Headers
    reason: Fwd


@dataclass(frozen=True, slots=True)
class Forward:
    """Ask upstream."""

    reason: Fwd


@dataclass(frozen=True, slots=True)
class Unavailable:
    """504: the client said only-if-cached (RFC 9111 §5.2.1.7)."""


type Verdict = Reuse | Validate | Forward | Unavailable


def decide(request: Request, variants: Sequence[StoredResponse], now: float, terms: Terms) -> Verdict:
    """The next step for `request`, given what is stored under its key."""
    asked = of_request(request.headers)
    verdict = _judge(request, asked, variants, now, terms)
    if "only-if-cached" in asked and not isinstance(verdict, Reuse):
        return Unavailable()
    return verdict


def select(request: Request, variants: Sequence[StoredResponse], now: float, terms: Terms) -> StoredResponse | None:
    """The stored response that speaks for `request`: of those that match, the youngest that knows what it varies by
    (RFC 9111 §4.1)."""
    if terms.lifetime is not None:
        return variants[0] if len(variants) == 1 else max(variants, key=lambda v: v.response_time, default=None)
    fitting = [v for v in variants if matches(request, v.vary) and _usable(v, terms)]
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    return min(fitting, key=lambda v: (not v.vary, freshness.age(v, now), -v.response_time))


def _usable(stored: StoredResponse, terms: Terms) -> bool:
    """Whether a shared cache may use it at all: a validation may have brought directives that forbid it."""
    rules = of_response(stored.status, stored.headers)
    return not rules.bare("private") and (not stored.authorized or permits_authorized(rules))


def _life(stored: StoredResponse, rules: Directives, now: float, terms: Terms) -> tuple[float, float]:
    """Current age and seconds of freshness left; none are left of what came at a time that is yet to be."""
    if terms.lifetime is not None:
        age = max(0.0, now - stored.response_time)
        left = terms.lifetime - age
    else:
        age = freshness.age(stored, now)
        left = freshness.lifetime(stored, rules) - age
    return age, min(left, 0.0) if left < math.inf and freshness.from_later(stored, now) else left


def _rules(stored: StoredResponse, terms: Terms) -> Directives:
    return NOTHING if terms.lifetime is not None else of_response(stored.status, stored.headers)


def _judge(
    request: Request, asked: Directives, variants: Sequence[StoredResponse], now: float, terms: Terms
) -> Reuse | Validate | Forward:
    if request.method not in terms.methods:
        return Forward(Fwd.METHOD)
    stored = select(request, variants, now, terms)
    if stored is None:
        return Forward(Fwd.VARY_MISS if variants else Fwd.URI_MISS)
    if terms.lifetime is None and any(name in request.headers for name in _ORIGIN_ONLY):
        return Forward(Fwd.REQUEST)  # not a cache's to judge (RFC 9111 §4.3.2)
    rules = _rules(stored, terms)
    age, left = _life(stored, rules, now, terms)
    ttl = None if left == math.inf else math.floor(left)
    if asked and (reason := _refused_by_client(asked, rules, age, left)):
        return _validate(stored, reason)
    if rules and (rules.bare("no-cache") or "no-store" in rules):
        return _validate(stored, Fwd.STALE)
    if left > 0:
        return Reuse(stored, ttl)
    if not freshness.forbids_stale(rules):
        if -left <= _max_stale(asked):
            return Reuse(stored, ttl)
        if -left < (rules.seconds("stale-while-revalidate") or 0):
            return Reuse(stored, ttl, True, Detail.STALE_WHILE_REVALIDATE)
    return _validate(stored, Fwd.STALE)


def _refused_by_client(asked: Directives, rules: Directives, age: float, left: float) -> Fwd | None:
    """RFC 9111 §5.2.1. A reload (`max-age`) need not disturb what is fresh and immutable (RFC 8246 §2)."""
    if "no-cache" in asked:
        return Fwd.REQUEST
    limit = asked.seconds("max-age")
    if limit is not None and (age > limit or limit == 0) and not ("immutable" in rules and left > 0):
        return Fwd.REQUEST
    need = asked.seconds("min-fresh")
    return Fwd.REQUEST if need is not None and left < need else None


def _max_stale(asked: Directives) -> float:
    if "max-stale" not in asked:
        return -1.0
    return math.inf if asked["max-stale"] is None else float(asked.seconds("max-stale") or 0)


def _validate(stored: StoredResponse, reason: Fwd) -> Validate | Forward:
    # Only a success is worth a condition: a "not modified" must never bring an old 404 back to life.
    headers = conditional(stored.headers) if 200 <= stored.status < 300 else None
    return Validate(stored, headers, reason) if headers else Forward(reason)


def on_upstream_failure(
    request: Request, variants: Sequence[StoredResponse], now: float, terms: Terms, status: int | None = None
) -> StoredResponse | None:
    """What may stand in for an upstream that gave no answer (`status` None) or answered `status` (RFC 5861 §4).

    The window is the longer of the operator's and the origin's, and what a client says may only shorten it: he asks for
    himself, but whose they are may have been changed since. Nothing that the origin wants validated, and nothing for a
    client that wants it validated.
    """
    if request.method not in terms.methods or (status is not None and status not in FAILURES):
        return None
    stored, asked = select(request, variants, now, terms), of_request(request.headers)
    if stored is None or stored.status >= 500 or "no-cache" in asked:
        return None
    rules = _rules(stored, terms)
    left = _life(stored, rules, now, terms)[1]
    if rules.bare("no-cache") or "no-store" in rules:
        return None
    if left > 0:
        return stored
    if freshness.forbids_stale(rules):
        return None
    window = max(terms.stale_if_error, rules.seconds("stale-if-error") or 0)
    wanted = asked.seconds("stale-if-error")
    return stored if -left < (window if wanted is None else min(window, wanted)) else None


def reply_headers(stored: StoredResponse, now: float) -> Headers:
    """The head to send with a stored response: as stored, with its current Age (RFC 9111 §4, §5.1)."""
    age = str(int(min(freshness.age(stored, now), 2**31)))
    return Headers((*(field for field in stored.headers.fields if field[0].lower() not in _NOT_SENT), ("Age", age)))
