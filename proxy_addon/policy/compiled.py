"""From the files of rules, already checked, to a Policy. Settings that deny become rules of their own.

The order of what comes in does not matter: everything is sorted by id on the way. `mode` and `defaults` hold for all
files together. A written `unknown_license` holds for every repo; without it, for those that a licence rule asks about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .checks import end_of, items
from .facts import UNKNOWN, Partial
from .globs import Globs, globs
from .index import Entry, Tier
from .judge import DEFAULT, Policy
from .matching import Imports, Side, State, Test, opaque, tests
from .schema import Approval, Classification, Exempt, Match, Rule, RuleFile, Scan

_REVIEW = {"review": State.REVIEW, "deny": State.YES, "allow": State.NO}
_CLASSES = {"restricted": Tier.APPROVAL, "embargoed": Tier.EMBARGO}
_EFFECTS = {"deny": Tier.DENY, "require_approval": Tier.APPROVAL, "allow": Tier.GRANT}


@dataclass(frozen=True, slots=True)
class Source:
    """A file and where in it each thing was written."""

    file: RuleFile
    place: Callable[[str], str]  # of a dotted key


def default_of(sources: Iterable[Source], name: str) -> Any:
    """As written in one of the files, else the usual."""
    for source in sources:
        if name in source.file.defaults.model_fields_set:
            return getattr(source.file.defaults, name)
    return getattr(RuleFile(version=1).defaults, name)


def audits(sources: Iterable[Source]) -> bool:
    return any(source.file.mode == "audit" for source in sources)


def compiled(sources: Sequence[Source], lists: Mapping[str, Globs], canonical: Callable[[str], str]) -> Policy:
    """`canonical` gives the id of a licence that a rule names."""
    audit, unknown = audits(sources), _REVIEW[default_of(sources, "unknown_license")]
    kept: dict[type, list[Entry]] = {Rule: [], Approval: [], Exempt: []}
    for source in sources:
        for key, item in items(source.file):
            if isinstance(item, Classification) and item.class_ == "public":
                continue
            match = _with_ids(item.match, canonical)
            entry = _entry(item, match, tests(match, _side(item), unknown, lists), source.place(key), audit)
            kept[Rule if isinstance(item, Classification) else type(item)].append(entry)
    rules = [*kept[Rule], *_settings(sources, audit)]
    by_id = {name: tuple(sorted(entries, key=lambda e: e.id)) for name, entries in kept.items()}
    return Policy(
        barriers=tuple(sorted((e for e in rules if e.tier is not Tier.GRANT), key=lambda e: e.id)),
        allows=tuple(e for e in by_id[Rule] if e.tier is Tier.GRANT),
        exceptions=by_id[Exempt],
        approvals=by_id[Approval],
        default=_default(sources, audit),
        contact=default_of(sources, "contact"),
        request_url=default_of(sources, "request_url"),
        digest=_digest(sources, lists),
    )


def _side(item: object) -> Side:
    if isinstance(item, Approval | Exempt):
        return Side.LIFT
    return Side.ALLOW if isinstance(item, Rule) and item.effect == "allow" else Side.BARRIER


def _entry(item: Any, match: Match, made: tuple[Test, ...], place: str, audit: bool) -> Entry:
    match item:
        case Classification():
            tier, mode = _CLASSES[item.class_], item.mode
        case Rule():
            tier, mode = _EFFECTS[item.effect], item.mode
        case _:
            tier, mode = Tier.GRANT, None
    return Entry(
        id=item.id,
        place=place,
        tier=tier,
        tests=made,
        match=match,
        audit=mode == "audit" if mode else audit,
        reason=getattr(item, "reason", ""),
        owner=getattr(item, "owner", ""),
        expires=end_of(day) if (day := getattr(item, "expires", None)) else None,
        overrides=frozenset(getattr(item, "overrides", ())),
    )


def _with_ids(match: Match, canonical: Callable[[str], str]) -> Match:
    """Licences by the ids that facts have, however the rule spells them."""
    if match.license is None or match.license.id is None:
        return match
    names = (glob.text if not glob.literal else canonical(glob.text) for glob in match.license.id.members)
    return match.model_copy(update={"license": match.license.model_copy(update={"id": globs(names)})})


def _default(sources: Sequence[Source], audit: bool) -> Entry | None:
    if default_of(sources, "decision") == "allow":
        return None
    return Entry(DEFAULT, _place(sources, "decision"), Tier.DEFAULT, (), audit=audit)


def _place(sources: Iterable[Source], name: str) -> str:
    written = (s.place(f"defaults.{name}") for s in sources if name in s.file.defaults.model_fields_set)
    return next(written, "defaults")


def _settings(sources: Sequence[Source], audit: bool) -> Iterator[Entry]:
    if (tier := _CLASSES.get(default_of(sources, "classification"))) is not None:
        yield Entry("defaults.classification", _place(sources, "classification"), tier, (), audit=audit)
    written = any("unknown_license" in source.file.defaults.model_fields_set for source in sources)
    if written and (state := _REVIEW[default_of(sources, "unknown_license")]):
        tier = Tier.APPROVAL if state is State.REVIEW else Tier.DENY
        test = Test("license", lambda licences: any(map(opaque, licences)), state)
        reason = "The licence of {repo} is not one that is known ({license.id})."
        where = _place(sources, "unknown_license")
        yield Entry("defaults.unknown_license", where, tier, (test,), audit=audit, reason=reason)
    if (action := default_of(sources, "license_conflict")) != "allow":
        test = Test("license_conflict", lambda conflict: conflict is not None, State.YES)
        where, warn = _place(sources, "license_conflict"), audit or action == "warn"
        yield Entry("defaults.license_conflict", where, Tier.DENY, (test,), None, warn, "{license_conflict}")
    for source in sources:
        if source.file.scan is not None:
            yield from _scan(source.file.scan, source.place, audit)


def _scan(scan: Scan, place: Callable[[str], str], audit: bool) -> Iterator[Entry]:
    def entry(name: str, test: Test, action: str, reason: str) -> Iterator[Entry]:
        if action != "allow":
            where = place(f"scan.{name}")
            yield Entry(f"scan.{name}", where, Tier.SCAN, (test,), None, audit or action == "warn", reason)

    asked = []
    if scan.pickle is not None:
        test = Test("pickle_imports", Imports(scan.pickle.allow_imports, beyond=True), State.NO)
        yield from entry("pickle", test, scan.pickle.action, "{path} would import {pickle_imports} when it is loaded.")
        asked += ["pickle_imports"] * (scan.pickle.action != "allow")
    if scan.gguf_template is not None:
        test = Test("template", lambda verdict: verdict == "unsafe", State.NO)
        yield from entry("gguf_template", test, scan.gguf_template.action, "The chat template in {path} runs code.")
        asked += ["template"] * (scan.gguf_template.action != "allow")
    if scan.hub_scan is not None:
        actions = scan.hub_scan.model_dump()
        for action in ("deny", "warn"):
            words = frozenset(word for word, its in actions.items() if its == action)
            test = Test("hub_scan", words.__contains__, State.NO)
            yield from entry("hub_scan", test, action if words else "allow", "The hub's own scan says: {hub_scan}.")
        asked += ["hub_scan"] * (set(actions.values()) != {"allow"})
    for fact in asked:
        test = Test(fact, lambda value: UNKNOWN if isinstance(value, Partial) else False, State.YES)
        yield from entry("on_error", test, scan.on_error, "{path} could not be scanned.")


def _digest(sources: Iterable[Source], lists: Mapping[str, Globs]) -> str:
    """Of what the rules say, in whatever order and files they say it."""
    said = [repr(item) for source in sources for _, item in items(source.file)]
    said += [repr((name, [glob.text for glob in members.members])) for name, members in lists.items()]
    said += [
        repr((s.file.mode, s.file.scan, sorted(s.file.defaults.model_dump(exclude_unset=True).items())))
        for s in sources
    ]
    return hashlib.sha256("\n".join(sorted(said)).encode()).hexdigest()[:16]
