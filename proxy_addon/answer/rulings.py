"""What is decided, as it is told: to the client in its reply, and to the log by an id that both have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..core.messages import Headers, Pass, Reply, Request, Ruling
from ..core.status import Detail, Outcome
from ..hub.resources import Batch, Repo, Resource, Subject
from ..hub.targets import spelled
from ..policy.blocked import audit_fields, blocked
from ..policy.judge import Allow, Deny, Spoke
from ..policy.wording import words
from .batches import Refusals
from .judged import Verdict


class Rulings:
    def __init__(self, ident: Callable[[], str]) -> None:
        self._ident = ident

    def told(self, request: Request, resource: Resource, verdict: Verdict, reply: Reply) -> Reply:
        """The denial if one denies; else the reply, with what would have denied it."""
        if (denial := self.denied(request, resource, verdict)) is not None:
            reply.close()
            return denial
        ruling, findings, repo = self.ruling(verdict)
        reply.ruling = reply.ruling or ruling
        if findings:
            reply.headers = Headers((*reply.headers.fields, *audit_fields(findings, resource, repo)))
        return reply

    def passed(self, resource: Resource, verdict: Verdict, through: Pass) -> Pass:
        ruling, findings, repo = self.ruling(verdict)
        if ruling is None:
            return through
        return replace(through, ruling=ruling, told=audit_fields(findings, resource, repo))

    def ruling(self, verdict: Verdict) -> tuple[Ruling | None, tuple[Spoke, ...], Repo | None]:
        allowed = [each.answer for each in verdict if isinstance(each.answer, Allow)]
        findings = {spoke.rule: spoke for answer in allowed for spoke in answer.audit}
        by = {name for answer in allowed for name in answer.by}
        if not findings and not by:
            return None, (), None
        repo = next((each.subject.repo for each in verdict if each.subject is not None), None)
        ruling = Ruling(self._ident(), spelled(repo) if repo else "", "", (), tuple(findings), tuple(sorted(by)))
        return ruling, tuple(findings.values()), repo

    def denied(self, request: Request, resource: Resource, verdict: Verdict) -> Reply | None:
        for each in verdict:
            if isinstance(each.answer, Deny):
                return self._denial(request, resource, each.answer, each.subject)
        return None

    def refusals(self, request: Request, batch: Batch, denied: Mapping[str, Deny], rev: str | None) -> Refusals:
        """One id for all; the log names the rule of the first."""
        ident = self._ident()
        about = Subject(batch.repo)
        texts = {digest: words(each.denial, request, about, ident).text for digest, each in denied.items()}
        return Refusals(texts, next((self._ruling(ident, each, batch.repo) for each in denied.values()), None), rev)

    def _ruling(self, ident: str, answer: Deny, repo: Repo | None) -> Ruling:
        also = tuple(sorted({*answer.ids} - {answer.rule}))
        audit = tuple(spoke.rule for spoke in answer.audit)
        return Ruling(ident, spelled(repo) if repo else "", answer.rule, also, audit)

    def _denial(self, request: Request, resource: Resource, answer: Deny, about: Subject | None) -> Reply:
        ident = self._ident()
        got = blocked(answer.denial, request, resource, about, ident)
        ruling = self._ruling(ident, answer, about.repo if about else None)
        outcome = Outcome(detail=Detail.DENIED)
        return Reply(got.status, got.headers, got.body, outcome, got.reason, resource.hub, resource.kind, ruling)
