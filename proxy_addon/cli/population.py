"""Who asked for what: the requests that two sets of rules are compared by.

From the access log each repo, revision and file once, with who asked for it how often; or without a log, what is in the
cache. The log has no queries, so where these named the file, only a repo that the rules spoke of is known. No more than
`MOST` pairs of what and who are kept; what comes after that is counted and left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from ..core.messages import Request
from ..hub.resources import Resource, Subject
from ..hub.targets import target
from .accesses import Access
from .inspecting import Naming

if TYPE_CHECKING:
    from ..answer.inspection import Inspection
    from ..catalogue import Catalogue

MOST = 200_000


@dataclass(frozen=True, slots=True)
class Who:
    """`user` is empty where the log names none."""

    client: str = ""
    user: str = ""

    @property
    def name(self) -> str:
        return self.user or self.client


@dataclass(slots=True)
class Population:
    asked: dict[Subject, Counter[Who]] = field(default_factory=dict)
    pairs: int = 0
    unplaced: int = 0  # nobody can tell what they were about
    beside: int = 0  # about no repo, or writing
    left_out: int = 0  # because there were too many

    def add(self, subject: Subject, who: Who) -> None:
        counts = self.asked.get(subject)
        if counts is None or who not in counts:
            if self.pairs >= MOST:
                self.left_out += 1
                return
            self.pairs += 1
        self.asked.setdefault(subject, Counter())[who] += 1


async def of_log(accesses: Iterable[Access], naming: Naming, inspection: Inspection) -> Population:
    """Of several repos that a link may be from, each counts."""
    from ..answer.uploads import writes

    found = Population()
    about = lru_cache(4096)(lambda url, method: _request(naming, url, method))
    for access in accesses:
        who = Who(access.client, access.user)
        subjects: tuple[Subject, ...] | None = _by_name(access)
        asked = about(access.url, access.method)
        if asked is None:
            subjects = subjects or None
        else:
            request, resource = asked
            if writes(resource):
                found.beside += 1
                continue
            if str(resource.kind) == access.kind or not access.asked_more:
                subjects = await inspection.subjects(request, resource) if access.hub != "other" else None
        if subjects is None:
            found.beside += 1
        elif not subjects:
            found.unplaced += 1
        for subject in subjects or ():
            found.add(subject, who)
    return found


async def of_cache(catalogue: Catalogue) -> Population:
    found = Population()
    for entry in await catalogue.entries():
        for file in entry.files:
            found.add(Subject(file.repo, file.rev, file.path), Who())
    return found


def _request(naming: Naming, url: str, method: str) -> tuple[Request, Resource] | None:
    """None: it is no request that is answered here."""
    try:
        return naming.request(url, "", method=method)
    except ValueError:
        return None


def _by_name(access: Access) -> tuple[Subject, ...]:
    """As the log itself says."""
    try:
        return (Subject(target(access.repo).repo),) if access.repo else ()
    except ValueError:
        return ()
