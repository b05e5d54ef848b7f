"""Who may read a repo that is not open to all: leases, each proven upstream with the reader's own permission.

Cached bytes are shared, permission is not. A hub that gives a file to somebody's token has shown that he may read that
repo; so much is believed for a short while (`lasts`), of him and of that repo alone, and asked for before the store is
looked at. A lease counts from the moment when the hub was asked, by a timer that no wall clock moves. It ends by
itself, or at once when the hub refuses, so a token that was taken back is good for no longer than a lease lasts. Past
its end it may stand in while the hub cannot be asked, as long as the operator says (`grace`). Of a refusal only its
moment is kept, so that an answer to a request from before it comes too late.

What a hub has told him of a repo besides its files (`admit`) is believed by the same measure, each thing from when it
was asked for, and proves no lease: more may be told of a repo than is given of it.

A holder is called by an HMAC of what he shows, under a key of this process. Nothing here outlives it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable

from cachetools import TTLCache

LASTS = 300.0  # seconds
MOST = 65_536


class Leases:
    """`timer`: seconds that only go forward. `lasts`, `grace`: seconds."""

    def __init__(
        self,
        timer: Callable[[], float] = time.monotonic,
        *,
        lasts: float = LASTS,
        grace: float = 0.0,
        key: bytes | None = None,
    ) -> None:
        self.timer, self._lasts, self._grace = timer, lasts, grace
        self._key = key or os.urandom(32)
        self._since: TTLCache[tuple[str, str], float] = TTLCache(MOST, lasts + grace, timer)
        self._admitted: TTLCache[tuple[str, str], float] = TTLCache(MOST, lasts + grace, timer)
        self._refused: TTLCache[tuple[str, str], float] = TTLCache(MOST, lasts + grace, timer)
        self._changed: TTLCache[str, float] = TTLCache(MOST, lasts + grace, timer)
        self._closed: TTLCache[str, bool] = TTLCache(MOST // 4, lasts, timer)

    def __len__(self) -> int:
        return len(self._since)

    def name(self, *shown: str) -> str:
        """Who shows just this; nobody can tell from it what that was."""
        said = b"".join(b"%d:%b" % (len(each), each) for each in (text.encode("utf-8", "replace") for text in shown))
        return hmac.digest(self._key, said, hashlib.sha256).hex()

    def holds(self, holder: str, repo: str) -> bool:
        return self._within(holder, repo, self._lasts)

    def stands_in(self, holder: str, repo: str) -> bool:
        """Whether the lease still counts while the hub cannot be asked."""
        return self._within(holder, repo, self._lasts + self._grace)

    def _within(self, holder: str, repo: str, seconds: float) -> bool:
        since = self._since.get((holder, repo))
        return since is not None and self.timer() - since < seconds and self._changed.get(repo, since - 1) < since

    def grant(self, holder: str, repo: str, since: float) -> None:
        """The hub has given him a file of the repo, by a request of the moment `since` of the timer."""
        refused = max(self._refused.get((holder, repo), since - 1), self._changed.get(repo, since - 1))
        if refused < since >= self._since.get((holder, repo), since):
            self._since[holder, repo] = since

    def revoke(self, holder: str, repo: str) -> None:
        """The hub has refused him."""
        self._since.pop((holder, repo), None)
        self._admitted.pop((holder, repo), None)
        self._refused[holder, repo] = self.timer()

    def forget(self, repo: str) -> None:
        """The repo was changed: who may read it is to be asked again, of everybody."""
        self._changed[repo] = self.timer()

    # -- what was told besides files --------------------------------------------------------------------------------

    @property
    def remembered(self) -> float:
        """Seconds after which nothing counts any more."""
        return self._lasts + self._grace

    def admit(self, holder: str, repo: str, since: float) -> bool:
        """The hub has told him of the repo, by a request of the moment `since`; False if that has come too late."""
        late = max(self._refused.get((holder, repo), since - 1), self._changed.get(repo, since - 1)) >= since
        if not late:
            self._admitted[holder, repo] = min(since, self._admitted.get((holder, repo), since))
        return not late

    def believes(self, holder: str, repo: str, since: float, *, unasked: bool = False) -> bool:
        """Whether he may be told again what the hub has told him at the moment `since`. `unasked`: it cannot be asked.

        He was let in ever since: that, and not that no refusal is remembered, so that what is forgotten closes."""
        first = self._admitted.get((holder, repo))
        within = self.timer() - since < (self.remembered if unasked else self._lasts)
        return within and first is not None and first <= since and self._changed.get(repo, since - 1) < since

    # -- what proves something --------------------------------------------------------------------------------------

    def note_closed(self, file: str) -> None:
        """The hub does not give this file to strangers: who gets it may read the repo. Of a closed repo some files are
        open to all, and who gets those has shown nothing. Believed as long as a lease: which are open may change."""
        self._closed[file] = True

    def is_closed(self, file: str) -> bool:
        return file in self._closed
