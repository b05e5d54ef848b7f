"""One vocabulary for how a request went: the Cache-Status header (RFC 9211), the log field and the metric label."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fwd(StrEnum):
    """Why a request went upstream (RFC 9211 §2.2)."""

    BYPASS = "bypass"
    METHOD = "method"
    URI_MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    MISS = "miss"
    REQUEST = "request"
    STALE = "stale"
    PARTIAL = "partial"


class Detail(StrEnum):
    """What RFC 9211 has no word for (§2.8: `detail` is ours to define)."""

    DENIED = "denied"
    STALE_IF_ERROR = "stale-if-error"
    STALE_WHILE_REVALIDATE = "stale-while-revalidate"
    OFFLINE = "offline"
    INTEGRITY = "integrity"
    ACCESS = "access"
    LOCAL = "local"
    MALFORMED = "malformed"
    MISDIRECTED = "misdirected"
    UPSTREAM = "upstream-failed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`Outcome()` is a bypass-less, cache-less answer of our own."""

    hit: bool = False
    fwd: Fwd | None = None
    fwd_status: int | None = None
    stored: bool = False
    collapsed: bool = False
    ttl: int | None = None  # seconds of freshness left; negative when stale
    detail: Detail | None = None

    @property
    def header(self) -> str:
        """The Cache-Status member, e.g. `hubgate; fwd=stale; fwd-status=304`."""
        parts = ["hubgate"]
        if self.hit:
            parts.append("hit")
        if self.fwd is not None:
            parts.append(f"fwd={self.fwd}")
        if self.fwd_status is not None:
            parts.append(f"fwd-status={self.fwd_status}")
        if self.stored:
            parts.append("stored")
        if self.collapsed:
            parts.append("collapsed")
        if self.ttl is not None:
            parts.append(f"ttl={self.ttl}")
        if self.detail is not None:
            parts.append(f"detail={self.detail}")
        return "; ".join(parts)

    @property
    def label(self) -> str:
        """One word of a small closed set: the metric label and the log field `outcome`."""
        if self.detail is not None:
            return str(self.detail)
        if self.hit:
            return "hit"
        if self.collapsed:
            return "collapsed"
        if self.fwd is Fwd.STALE and self.fwd_status == 304:
            return "validated"
        return str(self.fwd) if self.fwd is not None else "local"


#: Every value `Outcome.label` can take: counters start at zero for each.
LABELS = (*(str(d) for d in Detail), "hit", "collapsed", "validated", *(str(f) for f in Fwd))
