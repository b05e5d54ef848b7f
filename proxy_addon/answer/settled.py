"""Verdicts that still stand: of the rules in force, from facts that are still the same, before any of them is too old.

What is remembered is all that a verdict went by, and never only what came of it. Before it is used again the facts are
looked up with the new request's own permission and compared, so a verdict outlives no fact, and no reader's permission
serves another one. Time alone can change a verdict, too (an approval ends, a revision comes of age): it stands until
then, and a minute at most, for its words may tell an age.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.messages import Reply, Request
from ..hub.resources import Subject
from ..policy.judge import Policy
from .facts import FactFinder
from .judged import Verdict, told_by

LONGEST = 60.0  # seconds
MOST = 4096  # verdicts


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the hub told, with the name it has for the repo; what the reply did, if that counted."""

    learned: Mapping[str, object]
    name: str = ""
    content: object = None


@dataclass(frozen=True, slots=True)
class _Standing:
    verdict: Verdict
    grounds: Grounds
    need: frozenset[str]
    since: float
    until: float


class Settled:
    def __init__(self, facts: FactFinder, most: int = MOST) -> None:
        self._facts, self._most = facts, most
        self._policy: Policy | None = None
        self._known: dict[tuple[Subject, str, str], _Standing] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(
        self, policy: Policy, subject: Subject, request: Request, reply: Reply | None, now: float
    ) -> Verdict | None:
        standing = self._known.get((subject, request.client, request.user))
        if standing is None or policy is not self._policy or not standing.since <= now < standing.until:
            return None
        grounds = standing.grounds
        if grounds.content is not None and (reply is None or told_by(reply) != grounds.content):
            return None
        if standing.need:
            learned = self._facts.seen(subject, standing.need, request)
            if learned is None or learned.values != grounds.learned or learned.name != grounds.name:
                return None
        return standing.verdict

    def keep(
        self, policy: Policy, subject: Subject, request: Request, verdict: Verdict, grounds: Grounds, now: float
    ) -> None:
        if policy is not self._policy or len(self._known) >= self._most:
            self._policy = policy
            self._known.clear()
        until = min([now + LONGEST, *(policy.until(each.facts, now) for each in verdict)])
        standing = _Standing(verdict, grounds, frozenset(grounds.learned), now, until)
        self._known[subject, request.client, request.user] = standing
