"""What can be known of a request, for people who ask what the rules say of it: nothing is answered or denied here.

The same origins and facts are asked as when a request is judged, in the same rounds. But what could not be asked is not
the end of it: it is noted with the reason, and stays absent, so that the judge says Need where a client would get the
hub's refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..core.errors import UpstreamFailed
from ..core.messages import Headers, Pass, Reply, Request
from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.resources import File, Resource, Subject
from ..policy.facts import Facts
from ..policy.judge import Need
from .contents import Contents
from .facts import FactFinder
from .judged import SCANNED, asked, joined, unscanned, wanted, with_content
from .origins import Origins
from .remembered import Learned

type Needed = Callable[[Facts], frozenset[str]]
type Ask = Callable[[Request], Awaitable[Reply | Pass]]


@dataclass(frozen=True, slots=True)
class Known:
    """One repo or file that the request may be about. `lacking`: what could not be asked, and why."""

    subject: Subject
    facts: Facts
    lacking: Mapping[str, str] = field(default_factory=dict)
    name: str = ""  # the hub's own name for the repo, if it was asked for by another
    missing: bool = False  # the hub has no such file, so that nothing lies in it


class Inspection:
    """`ask` asks for a file's head, where only the answer tells its digest; by that is known what scans have found."""

    def __init__(self, origins: Origins, facts: FactFinder, ask: Ask, contents: Contents) -> None:
        self._origins, self._facts, self._ask, self._contents = origins, facts, ask, contents

    async def of(
        self, request: Request, resource: Resource, needed: Needed, user: str | None = None
    ) -> tuple[Known, ...] | None:
        """None: about no repo at all; (): of a repo that nobody can name. Raises `UpstreamFailed`.

        `needed` is asked again with all that was found, until it names nothing new."""
        subjects = await self.subjects(request, resource)
        if subjects is None:
            return None
        found: list[Known] = []
        for subject in subjects:
            known = await self.known(subject, request, needed, user)
            if known is None:
                return None
            found += known
        return tuple(found)

    async def subjects(self, request: Request, resource: Resource) -> tuple[Subject, ...] | None:
        """As `of` has them."""
        return await self._origins.subjects(request, resource)

    async def known(self, subject: Subject, request: Request, needed: Needed, user: str | None) -> list[Known] | None:
        """Once for each path that the bytes have in the repo; None if the URL only looked like a repo's."""
        waiting = [Known(subject, asked(subject, request).told("request", user=user))]
        done: list[Known] = []
        while waiting:
            known = waiting.pop()
            need = needed(known.facts).difference(known.facts.values, known.lacking)
            from_hub = wanted(Need(need), known.facts).difference(known.lacking)
            if from_hub:
                learned = await self._learned(subject, from_hub, request)
                if isinstance(learned, Reply) and not subject.certain:
                    return None
                if not isinstance(learned, Learned):
                    waiting.append(_without(known, from_hub, learned))
                else:
                    more = joined(known.facts, learned, from_hub)
                    waiting += [replace(known, facts=facts, name=learned.name or known.name) for facts in more]
            elif need:
                waiting.append(await self._of_content(known, need, request))
            else:
                done.append(known)
        return [each for known in done for each in _by_each_name(known)]

    async def _learned(self, subject: Subject, need: frozenset[str], request: Request) -> Learned | Reply | str:
        try:
            return await self._facts.find(subject, need, request)
        except UpstreamFailed as fault:
            return fault.reason

    async def _of_content(self, known: Known, need: frozenset[str], request: Request) -> Known:
        """What the answer would tell."""
        subject, path = known.subject, known.facts.values.get("path")
        if "path" in known.lacking:
            return _without(known, need, known.lacking["path"])
        reply: Reply | Pass = Reply(200, Headers())
        if isinstance(path, str):
            reply = await self._ask(_head(subject, path, request))
        if isinstance(reply, Pass):
            return _without(known, need, "it is not asked for here")
        reply.close()
        if reply.status >= 400 and reply.status != 404:
            return _without(known, need, reply)
        known = replace(known, missing=reply.status == 404)
        told = with_content(known.facts, reply)
        if not (need & SCANNED) - told.values.keys():
            return _without(replace(known, facts=told), need.difference(told.values), "nobody tells it")
        looked = await self._contents.kept(reply.whole, path) if reply.whole and isinstance(path, str) else None
        if looked is not None:
            found = {name: value for name, value in looked.facts.items() if name not in told.values}
            told = told.told(looked.source, **found)
        elif reply.whole is None:
            told = unscanned(told)
        return _without(replace(known, facts=told), need.difference(told.values), "it was not scanned yet")


def _without(known: Known, need: frozenset[str], why: Reply | str) -> Known:
    told = why if isinstance(why, str) else _refusal(why)
    return replace(known, lacking={**known.lacking, **dict.fromkeys(need, told)})


def _refusal(reply: Reply) -> str:
    told = reply.headers.get("x-error-message") or reply.headers.get("x-error-code") or ""
    if told.startswith("hubgate: "):  # no hub said this
        return told.removeprefix("hubgate: ")
    return f"the hub answers {reply.status}{f', {told}' if told else ''}"


def _head(subject: Subject, path: str, request: Request) -> Request:
    hugging = subject.repo.hub == hf.HUB
    file = File(subject.repo, subject.rev or ("main" if hugging else ms.TRUNK), path)
    _, _, rest = (hf.resolve_url(file) if hugging else ms.resolve_url(file)).partition("://")
    host, _, at = rest.partition("/")
    return replace(request, method="HEAD", host=host, path=f"/{at}", query="", body=b"")


def _by_each_name(known: Known) -> Iterable[Known]:
    """A repo that is asked for by an old name is judged by both."""
    yield known
    if known.name:
        namespace, slash, _ = known.name.partition("/")
        told = known.facts.told("the hub's own name", repo=known.name, namespace=namespace if slash else None)
        subject = replace(known.subject, repo=replace(known.subject.repo, id=known.name))
        yield replace(known, subject=subject, facts=told)
