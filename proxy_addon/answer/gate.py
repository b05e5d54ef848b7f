"""The gate of content: what rules ask of a file's bytes is known before the last of them goes out.

A file that is not here yet, or waits for its turn to be looked into, is waited for, for a while, so that the first who
asks reads the reason. What takes longer is passed on as it comes, all but the end, which is held back until it is known
what lies in it: a denial then cuts the reply short, and whoever asks again is told. A part that is not the end is not
given out before its whole is known, for it may be all that somebody reads. It is waited for until its client tires of
that: programs that load parts side by side wait a minute or without end, and ask again when they have waited in vain,
while an error ends them, or is written where the part belongs. A reply without bytes needs no verdict, and no large
file is fetched for it. What a registry makes up has no name; it is looked into without one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from ..core.errors import BodyLost, UpstreamFailed
from ..core.messages import Body, Buffer, BytesBody, Reply, Request, Whole
from ..core.status import Detail
from ..fetch.fill import TAIL
from ..hub.resources import Resource
from ..policy.facts import UNKNOWN, Facts, Partial
from ..policy.judge import Allow, Deny, Need
from .contents import Contents, Looked
from .judged import CONTENT, MADE_UP, SCANNED, Judged, unscanned, with_content
from .replies import refusal

SMALL = 16 * 1024 * 1024  # bytes of a file that is fetched also for its head alone
PATIENCE = 8.0  # seconds for a small one; many clients wait ten for a head
OF_LARGE = 4.0  # seconds for a large one, which comes meanwhile
OF_PARTS = 600.0  # seconds for a part, however large its whole
_AGAIN = "60"  # seconds
log = logging.getLogger(__name__)
_LATER = "hubgate: {name} is being fetched, to be looked into before any part of it is given out; ask again in a moment"


type Judge = Callable[[Facts], Awaitable[list[Judged] | Reply]]


class ContentGate:
    def __init__(self, contents: Contents) -> None:
        self.contents = contents

    def glimpse(self, facts: Facts, reply: Reply) -> Facts | None:
        """With what the reply tells, as far as memory knows it."""
        if reply.status >= 400 or "digest" not in facts.values:
            return with_content(facts, reply)
        path = _called(facts, reply.whole)
        if reply.whole is None or path is None:
            return None
        looked = self.contents.seen(reply.whole, path)
        return None if looked is None else _with(facts, looked)

    async def told(
        self, judged: Judged, request: Request, resource: Resource, reply: Reply, *, last: bool = False
    ) -> Facts | Reply | None:
        """With what the reply tells of its bytes; None if it is to be asked again, as the `last` thing, when they are
        here; a Reply to who has to ask again himself. Raises `BodyLost`."""
        facts, whole, path = judged.facts, reply.whole, _called(judged.facts, reply.whole)
        if not isinstance(judged.answer, Need) or not judged.answer.facts & CONTENT:
            return None
        if reply.status >= 400 or "digest" not in facts.values:
            return with_content(facts, reply, resource)
        if facts.values.keys() >= SCANNED:
            return None
        if whole is None or path is None:
            return None if _bare(reply) and not last else await self._unseen(facts, path)
        looked = await self.contents.kept(whole, path)
        if looked is None and last:
            looked = await self.contents.brought(whole, path)
        elif looked is None:
            look = self.contents.find if _bare(reply) and whole.size > SMALL else self.contents.brought
            try:
                async with asyncio.timeout(_patience(reply, whole)):
                    looked = await look(whole, path)
            except TimeoutError:
                if _part(reply, whole):
                    text = _LATER.format(name=path)
                    return refusal(request, 503, text, Detail.DENIED, ("Retry-After", _AGAIN))
        return None if looked is None else _with(facts, looked)

    async def _unseen(self, facts: Facts, path: str | None) -> Facts:
        """Of bytes that go by: what was found in those of the digest that the hub names counts against them alone."""
        digest = facts.values["digest"]
        looked = await self.contents.recalled(digest, path) if isinstance(digest, str) and path is not None else None
        if looked is None:
            return unscanned(facts)
        names = looked.facts["pickle_imports"]
        told: dict[str, object] = {"pickle_imports": Partial(names)} if isinstance(names, tuple) else {}
        told |= {"template": "unsafe"} if looked.findings.template == "unsafe" else {}
        return unscanned(facts.told(looked.source, **{k: v for k, v in told.items() if k not in facts.values}))

    async def settled(
        self, found: list[Judged], request: Request, resource: Resource, reply: Reply, judge: Judge, last: bool
    ) -> list[Judged] | Reply:
        """Judged again until no more can be told of content."""
        done: list[Judged] = []
        while found:
            each, *found = found
            facts = await self.told(each, request, resource, reply, last=last)
            if isinstance(facts, Reply):
                return facts
            if facts is None:
                done.append(each)
                continue
            more = await judge(facts)
            if isinstance(more, Reply):
                return more
            found = more + found
        self.heard(done, reply)
        return done

    def heard(self, judged: Iterable[Judged], reply: Reply) -> None:
        """Counts what became of new findings, with a line in the log for what is dangerous."""
        for each in judged:
            path, whole = _called(each.facts, reply.whole), reply.whole
            if whole is None or path is None or not each.facts.values.keys() >= SCANNED:
                continue
            if isinstance(each.answer, Need) or (looked := self.contents.seen(whole, path)) is None:
                continue
            spoke = isinstance(each.answer, Deny) or bool(isinstance(each.answer, Allow) and each.answer.audit)
            found = spoke and (bool(looked.findings.imports) or looked.findings.template == "unsafe")
            state = "found" if found else "unknown" if looked.findings.unsure else "clean"
            if self.contents.judged(whole, path, state) and state == "found":  # type: ignore[arg-type]
                rule = f"denied by {each.answer.rule}" if isinstance(each.answer, Deny) else "a rule in audit mode"
                repo = each.subject.repo.id if each.subject is not None else "?"
                log.warning("scan of %s %r (%s): %s; %s", repo, path, whole.blob, _found(looked), rule)

    def held(self, reply: Reply, judged: Iterable[Judged], denial: Callable[[], Awaitable[Reply | None]]) -> Reply:
        """The end of the body waits until it is known that there is no denial, if that is not known yet."""

        async def verdict() -> None:
            try:
                denied = await denial()
            except UpstreamFailed as fault:
                raise BodyLost(str(fault)) from fault
            if denied is not None:
                reply.ruling, reply.outcome = denied.ruling, denied.outcome
                raise BodyLost(f"cut short: {denied.reason or 'the rules cannot be asked'}")

        open = not _bare(reply) and any(isinstance(each.answer, Need) for each in judged)
        if open:
            reply.body = Held(BytesBody(reply.body) if isinstance(reply.body, bytes) else reply.body, verdict)
        return reply


class Held:
    """A body that goes on to the end of its file."""

    def __init__(self, body: Body, verdict: Callable[[], Awaitable[None]]) -> None:
        self.length, self._body, self._verdict = body.length, body, verdict
        self._free = max(0, (body.length or 0) - TAIL)
        self._passed = False

    async def read(self, limit: int) -> Buffer:
        if not self._passed and self._free <= 0:
            await self._verdict()
            self._passed = True
        data = await self._body.read(limit if self._passed else min(limit, self._free))
        if not data and not self._passed:
            raise BodyLost("the body ended before its file was looked into")
        self._free -= len(data)
        return data

    def close(self) -> None:
        self._body.close()


def _bare(reply: Reply) -> bool:
    """Nothing of the file is in it; what a redirect leads to is asked for by itself."""
    return 300 <= reply.status < 400 or (isinstance(reply.body, bytes) and not reply.body)


def _part(reply: Reply, whole: Whole) -> bool:
    """It has bytes, and not those that come last."""
    return not (_bare(reply) or whole.rest)


def _patience(reply: Reply, whole: Whole) -> float:
    if _part(reply, whole):
        return OF_PARTS
    return PATIENCE if whole.size <= SMALL else OF_LARGE


def _called(facts: Facts, whole: Whole | None) -> str | None:
    """Its name, which is empty for what is in no listing, being made up; None if it is not to be looked into."""
    path = facts.values.get("path")
    made_up = path is UNKNOWN and whole is not None and whole.size <= MADE_UP
    return path if isinstance(path, str) else "" if made_up else None


def _with(facts: Facts, looked: Looked) -> Facts:
    return facts.told(looked.source, **{k: v for k, v in looked.facts.items() if k not in facts.values})


def _found(looked: Looked) -> str:
    said = [f"imports {', '.join(looked.findings.imports[:20])}"] if looked.findings.imports else []
    return "; ".join([*said, *(["a template reaches for Python"] if looked.findings.template == "unsafe" else [])])
