"""Which repos are public, by proof.

A repo is *public* while a request without any credential has lately succeeded upstream (`PROOF_LASTS`). Only what such
a request brought is ever shared. The proof is kept with the stored responses, so that it survives a restart and the
cache works while the hub is down. What refused an anonymous request is remembered for a short while in memory, so that
each request with a token does not first cost an anonymous one; and so is its moment, since an answer to what was asked
before it proves nothing any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from cachetools import LRUCache, TTLCache

from ..core.fields import personal
from ..core.freshness import from_later
from ..core.messages import Headers, Request, StoredResponse

PROOF_LASTS = 24 * 3600.0  # seconds
_REFUSAL_LASTS = 300.0
_UNDER_WAY = 3600.0  # so long an answer may take, and no wall clock that was set back matters for longer
_RENEW = 600.0  # a younger proof is not written again
_LISTING, _VIEWING, _PULLING, _SHOWING = "listing:", "viewing:", "pulling:", "showing:"
_CARD = "README.md"
_CREDENTIALS = ("authorization", "cookie")
_SHOWN = {"cookie": personal}
_KEY = os.urandom(32)


class View(Protocol):
    def responses(self, key: str) -> Sequence[StoredResponse] | None: ...


class Rows(Protocol):
    async def get(self, key: str) -> Sequence[StoredResponse]: ...
    async def read(self, key: str) -> Sequence[StoredResponse]: ...  # raises OSError
    async def put(self, key: str, variants: Sequence[StoredResponse]) -> None: ...


def has_credentials(request: Request) -> bool:
    return any(name in request.headers for name in _CREDENTIALS)


def principal(headers: Headers) -> str:
    """Who asks, as a name that reveals nothing: a keyed hash (RFC 7693) of this process's own; empty for nobody.

    No part of it are cookies of load balancers, which may be new in each request."""
    said = "\0".join("\n".join(map(_SHOWN.get(name, str), headers.get_all(name))) for name in _CREDENTIALS)
    if not said.strip("\0\n"):
        return ""
    return hashlib.blake2b(said.encode("latin-1", "replace"), key=_KEY, digest_size=16).hexdigest()


class PublicRepos:
    """`stale_if_error`: seconds past its time that a proof counts while nobody can be asked."""

    def __init__(
        self,
        rows: Rows,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.monotonic,
        *,
        stale_if_error: float,
    ) -> None:
        self._rows, self._clock, self._last = rows, clock, PROOF_LASTS + stale_if_error
        self._refused: TTLCache[str, bool] = TTLCache(16384, _REFUSAL_LASTS, timer)
        self._ended: TTLCache[str, float] = TTLCache(16384, _UNDER_WAY, timer)  # when, by the clock
        self._unwritten: TTLCache[str, bool] = TTLCache(16384, PROOF_LASTS, timer)  # proofs that the disk refused
        self._refuted: LRUCache[str, bool] = LRUCache(16384)  # whose proofs the disk may have still

    def seen(self, view: View, repo: str) -> bool:
        """Proven, as far as can be seen from there."""
        return any(name not in self._refuted and self._holds(view.responses(_row(name)) or ()) for name in _by(repo))

    async def proven(self, repo: str) -> bool:
        for name in _by(repo):
            if self._holds(await self._proofs(name)) or name in self._unwritten:
                return True
        return False

    async def known(self, repo: str) -> bool:
        """Proven once, not too long ago, and not refused since: what may be served while nobody can be asked. A proof
        from a time that is yet to be is as good as a young one."""
        for name in _by(repo):
            rows = await self._proofs(name)
            if rows and self._clock() - rows[0].response_time < self._last:
                return True
        return False

    def refused(self, repo: str) -> bool:
        """An anonymous request was refused a short while ago."""
        return repo in self._refused

    async def note_success(self, repo: str, asked: float) -> None:
        """By a request of the moment `asked`, in seconds of the clock; it says nothing if it was refused since."""
        if asked < self._ended.get(repo, asked):
            return
        self._refused.pop(repo, None)
        self._refuted.pop(repo, None)
        now = self._clock()
        rows = await self._rows.get(_row(repo))
        if not rows or not 0 <= now - rows[0].response_time < _RENEW:
            row = StoredResponse(200, Headers(), now, now, kind="proof")
            try:
                await self._rows.put(_row(repo), (row,))
            except OSError:
                self._unwritten[repo] = True

    async def note_refusal(self, repo: str) -> None:
        """Raises OSError if an older proof cannot be taken off the disk; here it counts no more."""
        self._refused[repo] = True
        await self._end(repo, f"{_SHOWING}{repo}")

    def doubt(self, repo: str) -> None:
        """Something of it was not given to a stranger: who may have it is to be asked again before a proof counts."""
        self._count_no_more(repo, f"{_SHOWING}{repo}")

    async def forget(self, repo: str) -> None:
        """The repo was changed: who may see it is to be asked again. Raises OSError as `note_refusal` does."""
        await self._end(repo, *(f"{each}{repo}" for each in (_LISTING, _VIEWING, _PULLING, _SHOWING)))

    async def _end(self, *repos: str) -> None:
        self._count_no_more(*repos)
        await self._disprove(*repos)

    def _count_no_more(self, *repos: str) -> None:
        for repo in repos:
            self._ended[repo] = self._clock()
            self._unwritten.pop(repo, None)
            self._refuted[repo] = True

    async def _disprove(self, *repos: str) -> None:
        for repo in repos:
            if await self._rows.read(_row(repo)):
                await self._rows.put(_row(repo), ())
            self._refuted.pop(repo, None)

    async def _proofs(self, repo: str) -> Sequence[StoredResponse]:
        if repo not in self._refuted:
            return await self._rows.get(_row(repo))
        with contextlib.suppress(OSError):  # the next one tries again
            await self._disprove(repo)
        return ()

    def _holds(self, rows: Sequence[StoredResponse]) -> bool:
        """Not from a time that is yet to be: nobody knows how old such a proof is."""
        now = self._clock()
        return bool(rows) and not from_later(rows[0], now) and now - rows[0].response_time < PROOF_LASTS


class Named(Protocol):
    @property
    def key(self) -> str: ...


def listing(repo: Named) -> str:
    """The name under which a proof is kept that anybody may list the repo; no repo can be called so."""
    return f"{_LISTING}{repo.key}"


def viewing(repo: Named) -> str:
    """The name under which a proof is kept that anybody may see the dataset in the viewer."""
    return f"{_VIEWING}{repo.key}"


def pulling(repo: Named) -> str:
    """The name under which a proof is kept that anybody may have the repo's blobs from its registry."""
    return f"{_PULLING}{repo.key}"


def showing(repo: Named) -> str:
    """The name under which a proof is kept of what a hub may show of a repo whose files it gives to few."""
    return f"{_SHOWING}{repo.key}"


def giving(repo: Named, path: str, status: int) -> str:
    """The name of the proof that comes with a file of the repo, or with another answer to who has asked for one. Of a
    gated repo all may have the card, and hear that there is no such file; of any, that it has moved."""
    return repo.key if status == 200 and path != _CARD else showing(repo)


def _by(repo: str) -> tuple[str, ...]:
    """The proofs by which it is proven: who gives a repo's files to all shows all of it."""
    return (repo, repo.removeprefix(_SHOWING)) if repo.startswith(_SHOWING) else (repo,)


def _row(repo: str) -> str:
    return f"public:{repo}"
