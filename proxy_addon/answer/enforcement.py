"""Every request under the rules: judged before it is answered, and once more when the answer tells what it is about.

What a request is about says `origins`; what is known of that, as far as the rules ask, say `facts`, with the client's
own permission. A request that is denied by what it says itself makes no request upstream. Invariants: nothing is
answered that was not judged by the rules in force, be it in memory, on disk or upstream; one denied repo among several
that a hash may belong to denies; what nobody can place is denied as soon as a rule denies some repo, and so is a link
to a closed repo of which not enough is remembered. A call that can only write is denied by what it says itself, which
no repo's facts can lift, and asks the hub for nothing: it may be large, and is not held; a repo that is yet to be has
no facts. Rules that can deny nothing cost nothing. What is in the bytes is asked last, at the `gate`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ..core.errors import UpstreamFailed
from ..core.messages import Pass, Reply, Request
from ..hub.resources import Batch, Passed, Resource, Subject
from ..hub.subjects import subject_of
from ..policy.facts import Facts
from ..policy.judge import Allow, Deny, Need, Policy
from .batches import Refusals, denied_objects
from .facts import FactFinder
from .gate import ContentGate, Judge
from .judged import (
    Judged,
    Verdict,
    asked,
    astray,
    elsewhere,
    joined,
    lacking,
    overlong,
    renamed,
    served,
    stray,
    told_by,
    unplaced,
    wanted,
)  # fmt: skip
from .origins import Origins
from .remembered import Learned
from .replies import for_git
from .rulings import Rulings
from .settled import Grounds, Settled


class Rules(Protocol):
    @property
    def policy(self) -> Policy: ...


class Enforcement:
    def __init__(
        self,
        rules: Rules,
        origins: Origins,
        facts: FactFinder,
        gate: ContentGate,
        clock: Callable[[], float],
        ident: Callable[[], str] = lambda: os.urandom(4).hex(),
    ) -> None:
        self._rules, self._origins, self._facts, self._gate, self._clock = rules, origins, facts, gate, clock
        self._rulings = Rulings(ident)
        self._settled = Settled(facts)

    @property
    def policy(self) -> Policy:
        return self._rules.policy

    @property
    def idle(self) -> bool:
        return self._rules.policy.open  # nothing can be denied

    # -- from memory ------------------------------------------------------------------------------------------------

    def glimpse(self, request: Request, resource: Resource, reply: Reply) -> Reply | None:
        """`reply` as it may go out, or its denial; None if memory alone does not tell."""
        if self._rules.policy.open:
            return reply
        verdict = self._remembered(request, resource, reply)
        return None if verdict is None else self._rulings.told(request, resource, verdict, reply)

    def passes(self, request: Request, resource: Passed) -> Reply | bool:
        """Of what is relayed unseen, body and all: its denial, or whether it is known that nothing denies it."""
        policy = self._rules.policy
        if policy.open:
            return True
        if resource.writes:
            return self._of_write(policy, request, resource) or True
        verdict = self._remembered(request, resource, None)
        if verdict is None:
            return False
        return self._rulings.denied(request, resource, verdict) or True

    def _remembered(self, request: Request, resource: Resource, reply: Reply | None) -> Verdict | None:
        policy = self._rules.policy
        try:
            subjects = self._origins.seen(request, resource)
        except LookupError:
            return None
        if subjects is None:
            return ()
        verdict: list[Judged] = []
        for subject in subjects:
            found = self._known(policy, subject, request, reply)
            if found and reply is not None and elsewhere(found[0], reply):
                found = self._known(policy, served(subject, reply), request, reply)
            if found is None:
                return None
            verdict += found
        return tuple(verdict) or (self._stray(policy, request, resource),)

    def _known(self, policy: Policy, subject: Subject, request: Request, reply: Reply | None) -> Verdict | None:
        """As `_judged`, without asking anybody."""
        now = self._clock()
        if (settled := self._settled.find(policy, subject, request, reply, now)) is not None:
            return settled
        facts, values, name, content = asked(subject, request), dict[str, object](), "", None
        while isinstance(answer := policy.judge(facts, now), Need):
            if need := wanted(answer, facts):
                learned = self._facts.seen(subject, need, request)
                if (
                    learned is None
                    or learned.beside
                    or not need <= learned.values.keys()
                    or isinstance(learned.values.get("path"), tuple)
                ):
                    return None
                facts, name = facts.joined(learned.values, learned.sources), learned.name
                values.update(learned.values)
            elif reply is None:
                break
            else:
                if (more := self._gate.glimpse(facts, reply)) is None:
                    return None
                facts, content = more, told_by(reply)
        judged = [Judged(subject, answer, facts)]
        verdict = (*judged, *(renamed(policy, judged, name, now) if name else ()))
        if any(isinstance(each.answer, Need) and (reply or wanted(each.answer, each.facts)) for each in verdict):
            return None
        if not isinstance(answer, Need):
            self._settled.keep(policy, subject, request, verdict, Grounds(values, name, content), now)
        return verdict

    # -- the whole way ----------------------------------------------------------------------------------------------

    async def before(self, request: Request, resource: Resource) -> Verdict | Reply:
        """What is decided as far as can be told now; a Reply is what the client gets instead.

        Raises `UpstreamFailed` when the hub cannot be asked for what the rules ask."""
        policy = self._rules.policy
        if policy.open:
            return ()
        read = resource.read if isinstance(resource, Passed) else None
        if isinstance(resource, Passed) and resource.writes:
            return self._of_write(policy, request, resource) or ()
        resource = read or resource
        subjects = await self._origins.subjects(request, resource)
        if subjects is None:
            return ()
        verdict: list[Judged] = []
        for subject in subjects:
            found = await self._judged(policy, subject, request, resource, asked(subject, request, read is not None))
            if isinstance(found, Reply):
                return found
            verdict += found
        verdict = verdict or [self._stray(policy, request, resource)]
        return self._rulings.denied(request, resource, tuple(verdict)) or tuple(verdict)

    async def objects(self, request: Request, batch: Batch) -> Refusals:
        """Which objects of a batch are denied, in words; each by the paths that its bytes have in the repo. What the
        hub tells of them now is remembered: their links will come without the credentials that this request has."""
        policy = self._rules.policy
        judge = lambda each: self._judged(policy, each, request, batch, asked(each, request))  # noqa: E731
        denied, rev = await denied_objects(policy, request, batch, judge)
        return self._rulings.refusals(request, batch, denied, rev)

    async def _judged(
        self, policy: Policy, subject: Subject, request: Request, resource: Resource, facts: Facts
    ) -> list[Judged] | Reply:
        known, name, beside = [facts], "", ""
        done: list[Judged] = []
        while known:
            facts = known.pop()
            answer = policy.judge(facts, self._clock())
            if astray(resource, subject, facts):
                done.append(self._stray(policy, request, resource))
                continue
            if not (need := lacking(resource, answer, subject, facts)):
                done.append(Judged(subject, answer, facts))
                continue
            learned = await self._learned(subject, need, request)
            if isinstance(learned, Reply) and subject_of(resource) is None:  # no login would help, and no name is told
                done.append(Judged(None, unplaced(policy), facts))
                continue
            if isinstance(learned, Reply) and not subject.certain and (subject.rev or subject.path):
                whole = replace(subject, rev=None, path=None)  # it may be a repo, and have no such revision
                return await self._judged(policy, whole, request, resource, asked(whole, request))
            if isinstance(learned, Reply):
                return for_git(request, resource, learned) if subject.certain else [Judged(None, Allow(), facts)]
            name, beside = learned.name or name, learned.beside or beside
            known += joined(facts, learned, need)
        for each in list(renamed(policy, [one for one in done if one.subject], name, self._clock())) if name else ():
            if not lacking(resource, each.answer, subject, each.facts):
                done.append(each)
                continue
            more = await self._judged(policy, subject, request, resource, each.facts)
            if isinstance(more, Reply):
                return more
            done += more
        if beside:
            trunk = replace(subject, rev=beside)
            more = await self._judged(policy, trunk, request, resource, asked(trunk, request))
            return more if isinstance(more, Reply) else done + more
        return done

    async def _learned(self, subject: Subject, need: frozenset[str], request: Request) -> Learned | Reply:
        try:
            return await self._facts.find(subject, need, request)
        except UpstreamFailed as fault:
            names = ", ".join(sorted(need)).replace("_", " ")
            raise fault.told(f"the rules ask for the {names} of {subject.repo.id}, and {fault.reason}") from fault

    async def after(
        self, request: Request, resource: Resource, verdict: Verdict, reply: Reply, policy: Policy
    ) -> Reply:
        """Judged again by what only the answer tells: which commit it is of, and which bytes. `policy`: that of
        `verdict`; if there are other rules now, it is for them to say."""
        try:
            now = verdict if policy is self.policy else await self.before(request, resource)
            judged = now if isinstance(now, Reply) else await self._all_again(now, request, resource, reply)
        except BaseException:
            reply.close()
            raise
        if isinstance(judged, Reply):
            reply.close()
            return judged

        async def last() -> Reply | None:
            again = await self._all_again(judged, request, resource, reply, last=True)
            return again if isinstance(again, Reply) else self._rulings.denied(request, resource, again)

        told = self._rulings.told(request, resource, judged, reply)
        return told if told is not reply else self._gate.held(reply, judged, last)

    async def _all_again(
        self, verdict: Verdict, request: Request, resource: Resource, reply: Reply, *, last: bool = False
    ) -> Verdict | Reply:
        judged: list[Judged] = []
        for each in verdict:
            found = await self._again(each, request, resource, reply, last)
            if isinstance(found, Reply):
                return found
            judged += found
        if any(overlong(resource, each, reply) for each in judged):
            judged.append(self._stray(self.policy, request, resource))
        return tuple(judged)

    async def _again(
        self, judged: Judged, request: Request, resource: Resource, reply: Reply, last: bool
    ) -> list[Judged] | Reply:
        policy, found = self._rules.policy, [judged]
        if judged.subject is None:
            return found
        moved = elsewhere(judged, reply)
        subject = served(judged.subject, reply) if moved else judged.subject
        judge: Judge = lambda facts: self._judged(policy, subject, request, resource, facts)  # noqa: E731
        if moved:
            other = await judge(asked(subject, request))
            if isinstance(other, Reply):
                return other
            found = other
        return await self._gate.settled(found, request, resource, reply, judge, last)

    def passed(self, resource: Resource, verdict: Verdict, through: Pass) -> Pass:
        """What the edge relays, with what it is to add to the reply."""
        return self._rulings.passed(resource, verdict, through)

    # -- what is decided --------------------------------------------------------------------------------------------

    def _of_write(self, policy: Policy, request: Request, resource: Resource) -> Reply | None:
        subject = subject_of(resource)
        if subject is None:
            return None
        facts = asked(subject, request)
        answer = policy.judge(facts, self._clock())
        denies = isinstance(answer, Deny)
        return self._rulings.denied(request, resource, (Judged(subject, answer, facts),)) if denies else None

    def _stray(self, policy: Policy, request: Request, resource: Resource) -> Judged:
        return stray(policy, resource.hub, request.client, request.user or None, self._clock())
