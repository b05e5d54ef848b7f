"""The facts of a repo that rules ask for, had from its hub when they are needed.

Openly first: what anybody is told is everybody's. A repo that is closed to anybody is asked about with the client's own
permission, and what comes is for that client alone; while the hub cannot be asked it stands in for as long as a lease
may. Who has none, or is refused with it, too, hears the hub's own refusal. A link or a token of a closed repo comes
without a permission: whoever got it vouches for it by what he was told of the repo, also past its time, by a day at
most. A fact that the hub does not tell is UNKNOWN. A hub that cannot be asked is no such answer: then `UpstreamFailed`
is raised, unless what it said before still stands in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import urlsplit

from cachetools import LRUCache

from ..access.provenance import LASTS
from ..access.public import principal
from ..core.errors import UpstreamFailed
from ..core.messages import Reply, Request
from ..fetch.upstream import Throttled
from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.paths import quoted
from ..hub.resources import Repo, Subject
from ..policy import of_huggingface
from ..policy.conflicts import conflict
from ..policy.declared import Licences
from ..policy.facts import UNKNOWN, Unknown
from ..policy.foreign import repo_name
from ..policy.sheets import Sheet
from .agent import agent_of
from .documents import Documents
from .identities import Identities
from .judged import CONTENT, FROM_HUB
from .lookups import About, Found, HuggingFace, Lookups, ModelScope
from .means import Means
from .remembered import Entry, Learned, Memory
from .roads import DirectRoad, OpenRoad, Refusal, Road, refused_lately

MOST_BASES = 4  # base models whose licences are compared
_CONFLICT, _BASES = "license_conflict", "base_model"
_HOST = urlsplit(hf.ORIGIN).netloc
_OF_INFO = "gated"  # which every info tells, or nothing does
_MOMENT = 1.0  # seconds that an answer is believed at least
_NEEDS_FIRST = {_CONFLICT: ("license", _BASES)}


class FactFinder:
    def __init__(self, means: Means, documents: Documents) -> None:
        self._means, self._documents = means, documents
        self._lookups: dict[str, Lookups] = {hf.HUB: HuggingFace(), ms.HUB: ModelScope()}
        self._identities = Identities(means)
        self._memory = Memory()
        self._own: LRUCache[tuple[Repo, str], bool] = LRUCache(16384)  # commits, which stay whose they are

    def seen(self, subject: Subject, need: frozenset[str], request: Request) -> Learned | None:
        """From memory, if all of it is there."""
        if not need.isdisjoint(CONTENT):
            need -= CONTENT
        if not need:
            return Learned({}, {})
        now = self._means.clock()
        entry = self._memory.get(subject.repo, subject.rev, "")
        if entry is not None and (known := entry.learned(subject, need, now)) is not None:
            return known
        if whose := principal(request.headers):
            entry = self._memory.get(subject.repo, subject.rev, whose)
            if entry is not None and (known := entry.learned(subject, need, now)) is not None:
                return known
        return self._vouched(subject, need, request, now)

    def _vouched(self, subject: Subject, need: frozenset[str], request: Request, now: float) -> Learned | None:
        """By what was told to the one to whom the request's link or token was handed out."""
        if not (whose := self._means.provenance.voucher(request, subject.repo)):
            return None
        told = self._memory.told(subject.repo, subject.rev, whose)
        return next((known for each in told if (known := each.learned(subject, need, now)) is not None), None)

    def _told_before(self, subject: Subject, need: frozenset[str], request: Request, now: float) -> Learned | None:
        """What this client was told himself, as far past its time as a lease may be."""
        whose = principal(request.headers)
        entry = self._memory.get(subject.repo, subject.rev, whose) if whose else None
        return None if entry is None else entry.learned(subject, need, now - self._means.leases.remembered)

    async def find(self, subject: Subject, need: frozenset[str], request: Request) -> Learned | Reply:
        """A value for each fact in `need` but those of content; or the hub's refusal to tell this client.

        Raises `UpstreamFailed`."""
        if (known := self.seen(subject, need, request)) is not None:
            return known
        need -= CONTENT
        agent, now = agent_of(request.headers), self._means.clock()
        before = self._told_before(subject, need, request, now)
        own = DirectRoad.own(self._means, request, subject.repo, agent, hurry=before is not None)
        before = before if own is not None else None
        held = self._vouched(subject, need, request, now - LASTS)
        hurry = before is not None or held is not None
        found: Learned | Refusal | None = None
        if (own is None and held is None) or not refused_lately(self._means, subject.repo):
            try:
                found = await self._ask(OpenRoad(self._means, self._documents, agent, hurry=hurry), subject, need)
            except UpstreamFailed as fault:  # of anybody's share that is used up the client has its own
                if not hurry and (own is None or not isinstance(fault, Throttled)):
                    raise
        if not isinstance(found, Learned) and own is not None:
            try:
                found = await self._ask(own, subject, need)
            except UpstreamFailed:
                if before is None:
                    raise
                return before
        if not isinstance(found, Learned) and held is not None:
            return held
        assert found is not None, "one of the roads was taken"
        return found.reply(request, subject.repo.hub) if isinstance(found, Refusal) else found

    def forget(self, repo: Repo) -> None:
        """The repo was changed."""
        self._memory.forget(repo, self._means.clock())

    # -- asking -----------------------------------------------------------------------------------------------------

    async def _ask(self, road: Road, subject: Subject, need: frozenset[str]) -> Learned | Refusal:
        now = self._means.clock()
        entry = await self._entry(road, subject, need, now)
        if isinstance(entry, Refusal):
            return entry
        known = entry.learned(subject, need, now)
        assert known is not None, "what was just asked is believed for a second"
        return known

    async def _entry(self, road: Road, subject: Subject, need: frozenset[str], now: float) -> Entry | Refusal:
        """What is known of the repo, all of `need` included."""
        entry = self._memory.get(subject.repo, subject.rev, road.principal)
        if entry is None or not entry.has(_OF_INFO, now):
            fresh = await self._info(road, subject, now)
            if isinstance(fresh, Refusal):
                return fresh
            entry = fresh if entry is None or not road.principal else fresh.also(entry, now)
        for fact in dict.fromkeys(each for name in need for each in (*_NEEDS_FIRST.get(name, ()), name)):
            if (fact == "path" and not subject.digest) or entry.has(fact, now, subject.digest):
                continue
            sheet, until = await (self._conflict if fact == _CONFLICT else self._more)(road, subject, entry, fact)
            news = {name: value for name, value in sheet.values.items() if name == fact or not entry.has(name, now)}
            entry = entry.with_sheet(replace(sheet, values=news), max(until, now + _MOMENT))
        self._memory.put(subject.repo, subject.rev, road.principal, entry)
        return entry

    async def _info(self, road: Road, subject: Subject, now: float) -> Entry | Refusal:
        """What the repo's info tells, and what nothing else would tell."""
        lookups = self._lookups[subject.repo.hub]
        found = await lookups.info(road, About(subject.repo, subject.rev)) if _is_plain(subject.repo) else None
        if isinstance(found, Refusal):
            return found
        if found is None or not _is_plain(found.repo):
            nothing = _nothing(FROM_HUB, f"{subject.repo.hub} tells nothing of {subject.repo.type}")
            return Entry(subject.repo).with_sheet(nothing, now + self._means.rules.ref)
        name = found.sheet.name or found.repo.id
        other = name if name.casefold() != subject.repo.id.casefold() else ""
        silent = _nothing(FROM_HUB - lookups.steps.keys() - {_CONFLICT}, "the hub does not tell")
        until = max(found.until, now + _MOMENT)
        entry = Entry(found.repo, other).with_sheet(silent, until).with_sheet(found.sheet, until)
        if lookups.trunk is None or subject.rev in (None, lookups.trunk):
            return entry
        return await self._by_its_own(road, Subject(subject.repo, lookups.trunk), subject.rev, entry, now)

    async def _by_its_own(
        self, road: Road, trunk: Subject, rev: str | None, entry: Entry, now: float
    ) -> Entry | Refusal:
        """A card counts by itself where the repo's own people wrote it; that of a pull request beside the trunk's."""
        about = About(entry.repo, rev, commit if isinstance(commit := entry.value("commit"), str) else "")
        if (entry.repo, commit) in self._own:
            return entry
        own = await self._entry(road, trunk, frozenset({"commit"}), now)
        if isinstance(own, Refusal):
            return own
        lookups = self._lookups[trunk.repo.hub]
        if about.commit and (commit == own.value("commit") or await lookups.is_own(road, about)):
            self._own[entry.repo, about.commit] = True
            return entry
        own = await self._entry(road, trunk, frozenset(of_huggingface.OF_CARD), now)
        if isinstance(own, Refusal):
            return own
        until = max(now + _MOMENT, min(own.told[fact][2] for fact in of_huggingface.OF_CARD))
        said = of_huggingface.strangers(*({f: t[0] for f, t in each.told.items()} for each in (entry, own)))
        sources = dict.fromkeys(said, f"cards of {about.shown} and of {trunk.rev}")
        entry = replace(entry.ended(until), beside=trunk.rev or "")  # at once: nothing is looked up again by itself
        return entry.with_sheet(Sheet(said, sources), entry.told[_OF_INFO][2])

    async def _more(self, road: Road, subject: Subject, entry: Entry, fact: str) -> tuple[Sheet, float]:
        means, commit = self._means, entry.value("commit")
        about = About(entry.repo, subject.rev, commit if isinstance(commit, str) else "")
        if fact == "path":
            about = replace(about, digests=await self._names(subject.digest))
            road = self._unedited(road) if about.digests[-1].startswith("xet:") else road
        found = await self._lookups[subject.repo.hub].steps[fact](road, about)
        if isinstance(found, Found) and fact in found.sheet.values:
            return found.sheet, found.until
        refused = isinstance(found, Refusal)
        lasts = means.rules.not_found if refused else means.rules.ref
        return _nothing((fact,), "the hub refuses it" if refused else "the hub does not tell"), means.clock() + lasts

    async def _names(self, digest: str) -> tuple[str, ...]:
        """All by which a listing may name it."""
        identity = await self._identities.find(digest.removeprefix("xet:")) if digest.startswith("xet:") else None
        return (digest,) if identity is None else (digest, f"sha256:{identity.sha256}")

    def _unedited(self, road: Road) -> Road:
        """Xet hashes may have been taken out of a listing that is stored."""
        if road.principal or self._means.rules.xet == "native":
            return road
        return DirectRoad(self._means, _HOST, road.agent)

    async def _conflict(self, road: Road, subject: Subject, entry: Entry, fact: str) -> tuple[Sheet, float]:
        card, bases, until = entry.value("license"), entry.value(_BASES), entry.told["license"][2]
        said: object = UNKNOWN
        if isinstance(bases, tuple):
            licences: list[tuple[str, Licences | Unknown]] = []
            for base in bases[:MOST_BASES]:
                theirs, theirs_until = await self._licences_of(road, base, subject.repo)
                licences.append((base, theirs))
                until = min(until, theirs_until)
            said = conflict(card if isinstance(card, tuple) else UNKNOWN, licences)
            said = UNKNOWN if said is None and len(bases) > MOST_BASES else said
        return Sheet({fact: said}, {fact: "licences of the repo and its base models"}), until

    async def _licences_of(self, road: Road, base: str, of: Repo) -> tuple[Licences | Unknown, float]:
        """Those of a base model, which may be open to all where the repo is not; and until when."""
        now = self._means.clock()
        until = now + self._means.rules.ref
        if not (id := repo_name(base)):
            return UNKNOWN, until
        subject = Subject(Repo(of.hub, "models", id, of.site))
        roads: tuple[Road, ...] = (road,)
        if road.principal:
            roads = (OpenRoad(self._means, self._documents, road.agent), road)
        for way in roads:
            entry = await self._entry(way, subject, frozenset({"license"}), now)
            if isinstance(entry, Entry):
                value = entry.value("license")
                return value if isinstance(value, tuple) else UNKNOWN, entry.told["license"][2]
        return UNKNOWN, until


def _is_plain(repo: Repo) -> bool:
    """No hub has others, and in a URL they would mean something else."""
    return quoted(repo.id) == repo.id


def _nothing(facts: Iterable[str], why: str) -> Sheet:
    known = tuple(facts)
    return Sheet(dict.fromkeys(known, UNKNOWN), dict.fromkeys(known, why))
