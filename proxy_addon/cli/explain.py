"""`hubgate explain`: what the rules say of a repo, a file or a URL, why, and what would change it.

Exit 0: it is allowed. 1: denied. 2: a fault (no such WHAT, rules that are broken). 3: it cannot be told, since facts
that decide could not be asked. `--json` prints an object, whatever the exit code:

    exit                  0..3
    what, url             as given; the request that was judged: both without what signs a link
    hub, kind, key        of the resource; `key` is null for what is never stored
    rules                 {digest, count, files}
    decision              allow | deny | undecided; of several subjects one that is denied denies
    note                  in words, where the decision is about no repo that is known; else null
    subjects              what the URL is about, several where one hash is in several repos:
        repo, revision, path, digest
        decision          allow | deny | undecided
        rule, place       that denies: its id and FILE:LINE
        denied_by, would_deny, by, needs
                          ids of all that deny; of those in audit mode; of what lets pass; facts that would tell
        shown             the words that a blocked user reads; `[id]` stands for the id of his request
        missing           true: it was asked for, and there is no such file
        facts             {name: {value, known, text, source}}
        rules             all that were tried: {id, kind, place, outcome, decided, relevant, mode,
                          tests: [{fact, said}], why, lifted_by, needs, reason, owner, expires}
        changes           [{what, rules, facts, decision, text}]: each of them changes the decision, to `decision`
        cached            {files, bytes, held}: what of it is in the cache

and for broken rules {exit: 2, errors, in_force: {digest, count, files, since}}: what a server goes on with.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..config import Settings
from ..core.errors import UpstreamFailed
from ..core.messages import Request
from ..hub.paths import unsigned
from ..hub.resources import Blob, File, Resource
from ..hub.targets import Target
from ..policy.facts import Facts
from ..policy.index import Tier
from ..policy.judge import Allow, Deny, Need, Policy
from ..policy.load import Loaded
from ..policy.rulebook import Rulebook
from ..policy.trace import trace
from . import options
from .explanation import show
from .inspecting import Desk, Naming, inspecting
from .output import as_json, tell
from .report import stamp
from .verdicts import described, verdict

if TYPE_CHECKING:
    from ..answer.inspection import Known
    from ..catalogue import Catalogue, Entry

_CODES = {"allow": 0, "deny": 1, "undecided": 3}
_TOLD = frozenset({"license", "gated", "private", "commit"})  # worth knowing, whatever the rules ask for
_LOGIN = re.compile(r"//[^/@]*@")
_NO_REPO = "It is about no repo, and the rules are about repos."


def explain(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="A URL, or hf:org/name, hf:org/name@revision/path, ms:org/name.")
    ],
    config: options.ConfigFile = None,
    user: Annotated[str | None, typer.Option("--as", help="As this user would be judged.")] = None,
    client: Annotated[str, typer.Option("--client", help="As a client at this address would be judged.")] = "",
    offline: Annotated[bool, typer.Option("--offline", help="Ask no hub: only what is stored is known.")] = False,
    json: options.Json = False,
) -> int:
    """What the rules say of a repo, a file or a URL, and why.

    The hub is asked with your HF_TOKEN or MODELSCOPE_API_TOKEN, if there is one."""
    settings = options.settings(config)
    try:
        if client:
            ip_address(client)
        request, resource = Naming(settings).request(what, client, os.environ)
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None
    from ..wiring import rulebook_of

    now = time.time()
    book = rulebook_of(settings, time.time, False)
    if book.faults:
        return _broken(book, json)
    told = asyncio.run(_explained(settings, book.loaded, what, request, resource, user, now, offline))
    as_json(told) if json else show(told)
    code: int = told["exit"]
    return code


def _broken(book: Rulebook, json: bool) -> int:
    """Which rules a server goes on with."""
    files = [*map(str, book.loaded.files)]
    instead = {"digest": book.policy.digest, "count": book.policy.size, "files": files, "since": stamp(book.since)}
    if json:
        as_json({"exit": 2, "errors": book.faults, "in_force": instead})
        return 2
    for reason in book.reasons:
        tell(reason)
    return 2


async def _explained(
    settings: Settings,
    loaded: Loaded,
    what: str,
    request: Request,
    resource: Resource,
    user: str | None,
    now: float,
    offline: bool,
) -> dict[str, Any]:
    policy = loaded.policy
    told: dict[str, Any] = {
        "what": _LOGIN.sub("//", unsigned(what) if "?" in what else what),
        "url": unsigned(request.url) if request.query else request.url,
        "hub": resource.hub,
        "kind": str(resource.kind),
        "key": getattr(resource, "key", None),
        "rules": {"digest": policy.digest, "count": policy.size, "files": [*map(str, loaded.files)]},
    }
    async with inspecting(settings, ask=not offline) as desk:
        try:
            known = await desk.inspection.of(request, resource, lambda facts: _thorough(policy, facts, now), user)
        except UpstreamFailed as fault:
            return {"exit": 3, **told, "decision": "undecided", "note": fault.reason, "subjects": []}
        if not known:
            return {**told, **_about_no_repo(policy, request, resource, user, now, placed=known is None)}
        subjects = []
        for each in known:
            found = described(verdict(policy, each, now), request)
            subjects.append({**found, "cached": await _cached(desk, each, resource)})
    decisions = [each["decision"] for each in subjects]
    decision = next((each for each in ("deny", "undecided") if each in decisions), "allow")
    return {"exit": _CODES[decision], **told, "decision": decision, "note": None, "subjects": subjects}


def _thorough(policy: Policy, facts: Facts, now: float) -> frozenset[str]:
    """What decides; then, for who is to understand it, all that any rule would go by. Of an embargo the hub is asked
    nothing."""
    found = trace(policy, facts, now)
    match found.answer:
        case Need(facts=facts_needed):
            return facts_needed
        case Deny(tier=Tier.EMBARGO):
            return frozenset()
    return _TOLD.union(*(step.waits for step in found.steps))


def _about_no_repo(
    policy: Policy, request: Request, resource: Resource, user: str | None, now: float, *, placed: bool
) -> Mapping[str, Any]:
    """As a server judges it: what nobody can place is denied as soon as a rule denies some repo."""
    from ..answer.judged import stray

    answer = Allow() if placed else stray(policy, resource.hub, request.client, user, now).answer
    if isinstance(answer, Deny):
        return {"exit": 1, "decision": "deny", "note": f"{answer.reason} ({answer.rule})", "subjects": []}
    return {"exit": 0, "decision": "allow", "note": _NO_REPO, "subjects": []}


async def _cached(desk: Desk, known: Known, resource: Resource) -> dict[str, Any]:
    subject, path = known.subject, known.facts.values.get("path")
    if isinstance(resource, File) or isinstance(path, str) or not subject.digest:
        target = Target(subject.repo, subject.rev)
        entries = await _of(desk.catalogue, target, path if isinstance(path, str) else None)
    else:
        one = await desk.catalogue.one(resource.digest if isinstance(resource, Blob) else subject.digest)
        entries = [one] if one else []
    return {
        "files": len(entries),
        "bytes": sum(entry.size for entry in entries),
        "held": sum(entry.listed.held for entry in entries),
    }


async def _of(catalogue: Catalogue, target: Target, path: str | None) -> list[Entry]:
    found = await catalogue.of(target)
    return [entry for entry in found if path is None or any(file.path == path for file in entry.files)]
