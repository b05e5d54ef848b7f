"""Where a repo stands that is kept in sync, and how far behind its hub it may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a repo stands. Times are epoch seconds."""

    repo: str
    listed: bool  # by the configuration of a server, not only watched from the command line
    since: float
    version: str = ""  # what is here, complete: a commit, or a digest of the listing
    known: str = ""  # the newest that the hub is known to have
    equal: float | None = None  # the last moment at which what is here was what the hub had
    began: float | None = None  # a run is under way, or was cut off
    terms: str = ""  # globs and pinning for which `version` is complete; empty: it is not
    fault: str = ""  # why the last run failed

    @property
    def behind(self) -> bool:
        """A version is known at the hub that is not here complete."""
        return self.known != self.version or not self.terms

    def lag(self, now: float) -> float:
        """Seconds since the last moment at which what is here was known to be what the hub had.

        That is the moment at which the hub was asked, not the one at which all had come; before the first, the moment
        from which on the repo was wanted. So it grows between two checks up to the interval, and past it when checks
        fail: no client of this cache has anything older than so many seconds.
        """
        return max(0.0, now - (self.since if self.equal is None else self.equal))
