"""Whose a signed link, a token or a hash is: a repo, and as far as it is known a file of it.

None of these names a repo, and rules are about repos. A link or a token belongs to what it was handed out for; it is
known by an HMAC, in memory, and with it the principal that got it, who vouches for all who come with it: they have no
credentials that the hub would take. What they are handed out in turn he vouches for, too. A hash belongs to every repo
that a hub has listed it in; that is kept with the stored responses, since hashes outlive the process, and nothing is
kept but names: repo, revision, path.

Anybody may have a repo, and claim any hash in it. So a claim only adds to what is known: at most `MOST` subjects to a
name, the first come, and where room is wanted it is made by telling less of one repo, never by forgetting one. One repo
under two revisions is one subject, at the newer of them; one without a path has the bytes at paths that are not known.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cachetools import LRUCache, TTLCache

from ..core.messages import Headers, Request, StoredResponse
from ..hub.resources import Repo, Subject
from .issued import mark
from .public import Rows, principal

MOST = 4
LASTS = 24 * 3600.0  # seconds; a link may have ended by then, and is still somebody's
LONGEST = 1024  # characters of a path that is believed
_RENEW = 3600.0  # seconds before a mere change of the revision is written again
_HASHES = ("sha256:", "xet:")
_KEY = os.urandom(32)


@dataclass(frozen=True, slots=True)
class _Handed:
    subjects: tuple[Subject, ...]
    to: str  # a principal


@dataclass(frozen=True, slots=True)
class _Known:
    subjects: tuple[Subject, ...]
    written: float  # epoch seconds


class Provenance:
    """`clock` tells epoch seconds; `timer` only goes forward."""

    def __init__(self, rows: Rows, clock: Callable[[], float], timer: Callable[[], float] = time.monotonic) -> None:
        self._rows, self._clock = rows, clock
        self._links: TTLCache[bytes, _Handed] = TTLCache(131_072, LASTS, timer)
        self._tokens: TTLCache[bytes, _Handed] = TTLCache(65_536, LASTS, timer)
        self._names: LRUCache[str, _Known] = LRUCache(65_536)
        self._unread: LRUCache[str, tuple[Subject, ...]] = LRUCache(65_536)  # heard while the disk did not tell
        self._coming: dict[str, list[Subject]] = {}  # heard, and not yet put beside what is on disk

    # -- what was handed out ----------------------------------------------------------------------------------------

    def link(self, url: str, *subjects: Subject, to: str = "") -> None:
        """A URL that a hub has handed out, without its fragment. It belongs to what it was last handed out for."""
        self._links[mark(url)] = _Handed(subjects[:MOST], to)

    def of_link(self, url: str) -> tuple[Subject, ...]:
        found = self._links.get(mark(url))
        return () if found is None else found.subjects

    def token(self, token: str, subject: Subject, *, to: str = "") -> None:
        self._tokens[_sealed(token)] = _Handed((subject,), to)

    def of_token(self, token: str) -> Subject | None:
        found = self._tokens.get(_sealed(token))
        return None if found is None else found.subjects[0]

    def holder(self, request: Request) -> str:
        """The principal to whom is handed out what the answer to this request hands out."""
        return next((each.to for each in self._held(request)), principal(request.headers))

    def voucher(self, request: Request, repo: Repo) -> str:
        """The principal that got the link or the token with which the request comes; empty if it is not of `repo`."""
        own = (each.to for each in self._held(request) if any(same_repo(one.repo, repo) for one in each.subjects))
        return next(own, "")

    def _held(self, request: Request) -> Iterator[_Handed]:
        if (link := self._links.get(mark(request.url))) is not None:
            yield link
        token = bearer(request.headers)
        if token and (found := self._tokens.get(_sealed(token))) is not None:
            yield found

    # -- what bears a name ------------------------------------------------------------------------------------------

    async def find(self, name: str) -> tuple[Subject, ...]:
        """`name`: "sha256:…", "xet:…", "id:…" (a repo's, of Hugging Face), "number:{site}/{type}/{n}" (ModelScope)."""
        known = await self._known(name)
        return self._with_coming(name, () if known is None else known.subjects)

    def seen(self, name: str) -> tuple[Subject, ...]:
        """From memory; raises LookupError where that does not tell."""
        return self._with_coming(name, self._names[name].subjects)

    def _with_coming(self, name: str, found: tuple[Subject, ...]) -> tuple[Subject, ...]:
        for subject in self._coming.get(name, ()):
            found = _added(name, found, subject) or found
        return found

    def knows(self, name: str, subject: Subject) -> bool:
        """Whether `learn` would have nothing to do, as far as memory tells."""
        known = self._names.get(name)
        return known is not None and (subject in known.subjects or _added(name, known.subjects, subject) is None)

    def learn(self, name: str, *subjects: Subject) -> Coroutine[None, None, None]:
        """To be awaited; who asks before that is done is told of it all the same. What a disk refuses is remembered
        until the process ends."""
        new = [
            Subject(each.repo, each.rev, each.path)
            for each in subjects
            if each.path is None or len(each.path) <= LONGEST
        ]
        self._coming.setdefault(name, []).extend(new)
        return self._learn(name, new)

    async def _learn(self, name: str, new: Sequence[Subject]) -> None:
        try:
            try:
                known = await self._on_record(name) or _Known((), 0.0)
            except OSError:  # what is on disk must not be lost for it
                left = self._unread.get(name, ())
                for subject in new:
                    left = _added(name, left, subject) or left
                self._unread[name] = left
                return
            found = known.subjects
            for subject in new:
                found = _added(name, found, subject) or found
            if found == known.subjects:
                return
            now = self._clock()
            told = {(each.repo, each.path) for each in found} != {(each.repo, each.path) for each in known.subjects}
            late = not 0 <= now - known.written < _RENEW
            self._names[name] = _Known(found, now if told or late else known.written)
        finally:
            self._arrived(name, new)
        if told or late:
            await self._write(name)

    def _arrived(self, name: str, new: Sequence[Subject]) -> None:
        coming = self._coming[name]
        for subject in new:
            coming.remove(subject)
        if not coming:
            del self._coming[name]

    async def _known(self, name: str) -> _Known | None:
        try:
            return await self._on_record(name)
        except OSError:
            return _Known(self._unread[name], 0.0) if name in self._unread else None

    async def _on_record(self, name: str) -> _Known | None:
        if (known := self._names.get(name)) is not None:
            return known
        rows = await self._rows.read(_row(name))
        if known := self._names.get(name):  # learned meanwhile
            return known
        subjects = tuple(_read(name, rows))
        for each in self._unread.pop(name, ()):
            subjects = _added(name, subjects, each) or subjects
        if not subjects:
            return None
        known = self._names[name] = _Known(subjects, rows[0].response_time if rows else 0.0)
        return known

    async def _write(self, name: str) -> None:
        while (known := self._names.get(name)) is not None:
            facts = tuple(("subject", _text(each)) for each in known.subjects)
            row = StoredResponse(200, Headers(), known.written, known.written, kind="origin", facts=facts)
            try:
                await self._rows.put(_row(name), (row,))
            except OSError:
                return
            if self._names.get(name) is known:  # else two were on their way to the disk, in whatever order
                return


def _added(name: str, known: Sequence[Subject], new: Subject) -> tuple[Subject, ...] | None:
    """`known` with what `new` adds to it; None if that is nothing."""
    own = [n for n, each in enumerate(known) if same_repo(each.repo, new.repo)]
    whole = [n for n in own if known[n].path is None]
    at = whole or [n for n in own if known[n].path == new.path]
    if at:
        rev = new.rev or known[at[0]].rev
        if known[at[0]].rev == rev:
            return None
        return tuple(replace(each, rev=rev) if n == at[0] else each for n, each in enumerate(known))
    if own and new.path is None:
        return _coarser(name, known, new)
    if len(known) < MOST:
        return (*known, _whole(name, new) if new.path is None else new)
    if own:
        return _coarser(name, known, new)
    repo, many = Counter(_bare(each.repo) for each in known).most_common(1)[0]
    if many == 1:
        return None
    crowd = next(each for each in reversed(known) if _bare(each.repo) == repo)
    return (*_coarser(name, known, crowd), _whole(name, new) if new.path is None else new)


def _coarser(name: str, known: Sequence[Subject], of: Subject) -> tuple[Subject, ...]:
    """What is known of this one repo, as one subject without a path."""
    return (*(each for each in known if not same_repo(each.repo, of.repo)), _whole(name, of))


def _whole(name: str, of: Subject) -> Subject:
    return replace(of, path=None, digest=name if name.startswith(_HASHES) else "")


def same_repo(one: Repo, other: Repo) -> bool:
    """Hubs compare names without case."""
    return one == other or _bare(one) == _bare(other)


def bearer(headers: Headers) -> str:
    scheme, _, token = (headers.get("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _bare(repo: Repo) -> tuple[str, ...]:
    return repo.hub, repo.type, repo.site, repo.id.casefold()


def _text(subject: Subject) -> str:
    repo = subject.repo
    return json.dumps([repo.hub, repo.type, repo.id, repo.site, subject.rev, subject.path])


def _read(name: str, rows: Iterable[StoredResponse]) -> Iterable[Subject]:
    for row in rows:
        for _, text in row.facts[:MOST]:
            hub, kind, ident, site, rev, path = json.loads(text)
            subject = Subject(Repo(hub, kind, ident, site), rev, path)
            yield subject if path is not None else _whole(name, subject)


def _row(name: str) -> str:
    return f"origin:{name}"


def _sealed(token: str) -> bytes:
    return hmac.digest(_KEY, token.encode("utf-8", "surrogatepass"), hashlib.sha256)
