"""What is wrong with rules that are well formed: faults, which keep the whole set out, and warnings.

A fault is what could make a person believe in a rule that is not there: an exception for everything, a list that nobody
wrote, a rule that matches all because nothing was written below `match`. A warning is a rule that has no effect.
Each is a key within its file and what is wrong there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, date, datetime

from .facts import GATES
from .globs import Globs
from .judge import fields
from .schema import Approval, Classification, Exempt, Match, Rule, RuleFile

type Found = Iterator[tuple[str, str]]
type Item = Classification | Rule | Approval | Exempt
type KnownLicence = Callable[[str], bool]

KINDS = ("classifications", "rules", "approvals", "exceptions")
_REPO = re.compile(r"[\w.*-]+(?:/[\w.*-]+){0,2}")
_NAMESPACE = re.compile(r"[\w.*-]+")
_SHAPES = {"repo": _REPO, "namespace": _NAMESPACE, "author": _NAMESPACE}
_HUB_OF_TYPE = {"space": "huggingface", "studio": "modelscope"}


def items(file: RuleFile) -> Iterator[tuple[str, Item]]:
    for kind in KINDS:
        for n, item in enumerate(getattr(file, kind)):
            yield f"{kind}[{n}]", item


def end_of(day: date) -> float:
    """UNIX time at which the day has passed, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + 86400  # the last day of all has no next one


def faults(file: RuleFile, lists: Mapping[str, Globs], barriers: Mapping[str, str], days: int, now: float) -> Found:
    """`barriers` maps each id that an exception may name to what it is."""
    for key, item in items(file):
        match = item.match
        written = match.model_fields_set - {"on_unknown"}
        if not written:
            yield f"{key}.match", 'names nothing, so it would hold for everything; write repo: "**" to mean that'
        if match.license and not match.license.model_fields_set - {"on_unknown", "accept_conditional"}:
            yield f"{key}.match.license", "names no licence and no attribute; write one, such as commercial_use: no"
        yield from _lists(f"{key}.match", match, lists)
        yield from _revision(f"{key}.match", match)
        if isinstance(item, Approval | Exempt) and (match.on_unknown or (match.license and match.license.on_unknown)):
            yield f"{key}.match", "what is not known is never approved or excepted; leave `on_unknown` out"
        yield from _reason(f"{key}.reason", getattr(item, "reason", ""))
        if _denies(item):
            yield from _never_matches(key, item)
        if isinstance(item, Exempt):
            yield from _overrides(f"{key}.overrides", item, barriers)
            if end_of(item.expires) > now + (days + 1) * 86400:
                yield (
                    f"{key}.expires",
                    f"is more than {days} days ahead; choose an earlier day, or raise exception_days",
                )


def _lists(key: str, match: Match, lists: Mapping[str, Globs]) -> Found:
    for name in sorted(match.model_fields_set):
        value = getattr(match, name)
        if name.endswith("_in") and isinstance(value, str) and value not in lists:
            yield (
                f"{key}.{name}",
                f"there is no list {value!r}{_close(value, lists)}; write it under `lists`, or [names]",
            )


def _revision(key: str, match: Match) -> Found:
    if match.revision:
        commits = [re.fullmatch("[0-9a-f]{40}", glob.text) is not None for glob in match.revision.members]
        if any(commits) and not all(commits):
            yield f"{key}.revision", "mixes commits with names; write two rules, one for either"


def _reason(key: str, text: str) -> Found:
    for name in fields(text):
        if name.partition(".")[0] not in GATES and name != "rule":
            yield key, f"{{{name}}} is no fact{_close(name, GATES)}; use one such as {{repo}} or {{license.id}}"


def _overrides(key: str, item: Exempt, barriers: Mapping[str, str]) -> Found:
    for name in item.overrides:
        if name == "*":
            yield key, '"*" would lift everything; name the rules that this exception is from'
        elif name not in barriers:
            yield key, f"there is no rule {name!r}{_close(name, barriers)}; name one that denies"
        elif barriers[name] == "embargoed":
            yield key, f"{name} is an embargo, which no exception lifts; end the embargo itself"


def _close(word: str, known: Collection[str]) -> str:
    found = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def warnings(file: RuleFile, audit: bool, known: KnownLicence, now: float) -> Found:
    for key, item in items(file):
        expires = getattr(item, "expires", None)
        if expires is not None and now >= end_of(expires):
            yield f"{key}.expires", f"{item.id} expired on {expires}; remove it, or have it granted anew"
        if isinstance(item, Classification):
            if item.class_ == "public":
                yield key, f"{item.id}: public is the lowest class, so this has no effect; remove it"
            if item.class_ == "embargoed" and audit and item.mode is None:
                yield key, f"{item.id}: `mode: audit` above lifts this embargo too; write mode: enforce here to keep it"
        if not _denies(item):
            yield from _never_matches(key, item)
        ids = item.match.license.id if item.match.license else None
        for glob in ids.members if ids else ():
            if glob.literal and not known(glob.text):
                yield f"{key}.match.license", f"licence {glob.text!r} is not in the table; see hubgate rules licences"


def _denies(item: Item) -> bool:
    """What it is written for would pass, if it did not work."""
    return isinstance(item, Classification) or (isinstance(item, Rule) and item.effect != "allow")


def _never_matches(key: str, item: Item) -> Found:
    for where, why in _never(item.match):
        yield f"{key}.match.{where}", f"{item.id} can never match: {why}"


def _never(match: Match) -> Found:
    for name, shape in _SHAPES.items():
        globs = getattr(match, name)
        for glob in globs.members if globs else ():
            if glob.text != "**" and not glob.text.endswith("/**") and not shape.fullmatch(glob.text):
                yield name, f"no {name} on a hub is called {glob.text!r}; correct it"
    for glob in match.path.members if match.path else ():
        if glob.text.startswith("/") or {"", ".", ".."} & {*glob.text.split("/")}:
            yield "path", f"{glob.text!r}: paths begin without a slash, and have no empty or dotted part; correct it"
    if match.hub and match.type and all(_HUB_OF_TYPE.get(kind, match.hub[0]) not in match.hub for kind in match.type):
        yield "type", f"{' or '.join(match.hub)} has no {' or '.join(match.type)}; correct one of the two"
    for name in ("repo_size", "revision_age"):
        compared = getattr(match, name)
        if compared and compared.sign == "<" and compared.bound <= 0:
            yield name, "nothing is less than 0; correct it"
    if match.namespace and match.repo:
        spaces = [glob.prefix.partition("/")[0] for glob in match.repo.members if "/" in glob.prefix]
        if len(spaces) == len(match.repo.members) and not any(map(match.namespace.matches, spaces)):
            yield "namespace", "every `repo` here is of another namespace; leave one of the two out"
    for name in ("namespace", "repo", "user", "author"):
        wanted, barred = getattr(match, name), getattr(match, f"{name}_not_in", None)
        if wanted and isinstance(barred, Globs) and not wanted.pattern and all(map(barred.matches, wanted.names)):
            yield name, f"all of it is in `{name}_not_in` too; leave it out there"


__all__ = ["KINDS", "end_of", "faults", "items", "warnings"]
