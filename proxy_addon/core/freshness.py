"""How old a stored response is and how long it lives (RFC 9111 §4.2).

Invariant: for one stored response, age only grows with `now` and lifetime does not depend on it; so what was stale
never becomes fresh again without a validation. All times are epoch seconds, all spans are seconds.
"""

from __future__ import annotations

from .dates import parse_date
from .directives import Directives, delta_seconds, of_response
from .messages import Headers, StoredResponse

#: Cacheable without any explicit lifetime (RFC 9110 §15.1).
HEURISTIC = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
HEURISTIC_SHARE, HEURISTIC_LIMIT = 0.1, 86_400.0

SKEW = 60.0  # seconds that the clock of whoever stored it may have been ahead

_NEVER_STALE = ("must-revalidate", "no-store", "proxy-revalidate", "s-maxage")


def age_field(headers: Headers) -> int:
    """Age as received: the first member counts, what is no number counts as 0 (RFC 9111 §5.1)."""
    lines = headers.get_all("age")
    return delta_seconds(lines[0].partition(",")[0].strip()) or 0 if lines else 0


def date_of(stored: StoredResponse) -> float:
    """When the origin made the response; the time of arrival if it did not say so."""
    date = parse_date(stored.headers.get("date"), stored.response_time)
    return stored.response_time if date is None else date


def age(stored: StoredResponse, now: float) -> float:
    """Current age (RFC 9111 §4.2.3)."""
    apparent = stored.response_time - date_of(stored)
    corrected = age_field(stored.headers) + max(0.0, stored.response_time - stored.request_time)
    return max(apparent, corrected, 0.0) + max(0.0, now - stored.response_time)


def from_later(stored: StoredResponse, now: float) -> bool:
    """Whether it came at a time that is yet to be: the clock was set back, and nobody knows how old it is."""
    return now < stored.response_time - SKEW


def lifetime(stored: StoredResponse, rules: Directives | None = None) -> float:
    """Freshness lifetime (RFC 9111 §4.2.1, §4.2.2), never negative. `rules`: the response's directives, if known."""
    rules = of_response(stored.status, stored.headers) if rules is None else rules
    if (seconds := rules.seconds("s-maxage")) is not None:
        return float(seconds)
    if (seconds := rules.seconds("max-age")) is not None:
        return float(seconds)
    if (expires := stored.headers.get("expires")) is not None:
        until = parse_date(expires, stored.response_time)
        return 0.0 if until is None else max(0.0, until - date_of(stored))
    if stored.status not in HEURISTIC and "public" not in rules:
        return 0.0
    modified = parse_date(stored.headers.get("last-modified"), stored.response_time)
    if modified is None:
        return 0.0
    return min(max(0.0, date_of(stored) - modified) * HEURISTIC_SHARE, HEURISTIC_LIMIT)


def forbids_stale(rules: Directives) -> bool:
    """Whether the origin forbids stale use (RFC 9111 §4.2.4); to a shared cache `s-maxage` does so too (§5.2.2.10)."""
    return rules.bare("no-cache") or any(name in rules for name in _NEVER_STALE)
