"""Which licence is meant by what a hub says. The facts are in the tables, the spellings in `spellings`.

What is declared is either a licence of the table, or nothing that a rule may rely on: `other`, `unknown`, silence, a
family without a version and a name nobody knows are all None here, and never the licence that looks nearest. In doubt
the answer is None, because a rule then treats the licence as unknown.
"""

from __future__ import annotations

import difflib
from functools import reduce

from license_expression import AND, OR, LicenseSymbol, Licensing

from . import model_licences, open_licences
from .spellings import ALIASES, FAMILIES, LOOSE, PREFIXES, spelling
from .terms import NAMES, SOURCES, Answer, Attributes, Family, Licence, Mirror, ShareAlike

LICENCES: dict[str, Licence] = {entry.id: entry for entry in (*open_licences.TABLE, *model_licences.TABLE)}
KNOWN_FAMILIES: dict[str, Family] = {entry.id: entry for entry in FAMILIES}

_FOUND = {spelling(id): id for id in LICENCES} | {spelling(text): id for text, id in ALIASES}
_LOOSE = {spelling(id): id for id in KNOWN_FAMILIES} | {spelling(text): id for text, id in LOOSE}
_NAMED_ELSEWHERE = "other"
_LONGEST = 200  # characters; what is longer is no name
_OPERATORS = {"and", "or", "with"}
_LICENSING = Licensing()


def canonical(text: str | None, *, hub: str, name: str | None = None) -> Licence | None:
    """The licence that `text` names, in any spelling or as an expression of such; None if it names none.

    `name` is what stands beside `other` (`license_name`), and is read only then. `hub` is where it was said: so far
    every spelling means the same everywhere. AND binds to all of its licences, the strictest of each term; of OR the
    most permissive licence counts, since who gets a copy may choose. A part that is not known makes the whole unknown,
    and so does WITH, as an exception may be one to the rights as well.
    """
    if text is None or len(text) > _LONGEST:
        return None
    key = spelling(text)
    if key == _NAMED_ELSEWHERE:
        return canonical(name, hub=hub) if name is not None and spelling(name) != _NAMED_ELSEWHERE else None
    ids = _ids(_parsed(text)) if key not in _FOUND and _is_expression(text) else _simple(key)
    whole = _together(ids) if ids else None
    return whole if whole is not None and len(whole.id) <= _LONGEST else None


def family(text: str | None) -> Family | None:
    """The family that `text` names: there is a licence, and only the uploader knows which."""
    found = _LOOSE.get(spelling(text)) if text is not None and len(text) <= _LONGEST else None
    return KNOWN_FAMILIES[found] if found else None


def spellings_of(id: str) -> tuple[str, ...]:
    """Other ways of writing an id of the table or of a family that are understood, besides those that only differ in
    case, spaces and punctuation."""
    return tuple(sorted({text for text, named in (*ALIASES, *LOOSE) if named == id}, key=str.casefold))


def near(text: str) -> tuple[str, ...]:
    """Ids that may have been meant, the likeliest first."""
    every = {**_FOUND, **_LOOSE}
    return tuple(dict.fromkeys(every[key] for key in difflib.get_close_matches(spelling(text), every, 3, 0.6)))


def _simple(key: str) -> frozenset[str]:
    found = _FOUND.get(key) or next((id for start, id in PREFIXES.items() if key.startswith(start)), None)
    return frozenset({found}) if found else frozenset()


def _is_expression(text: str) -> bool:
    return not _OPERATORS.isdisjoint(text.casefold().replace("(", " ").replace(")", " ").split())


def _parsed(text: str) -> object:
    """None for what is no sound expression."""
    try:
        return _LICENSING.parse(text.casefold())
    except Exception:  # besides its own, it lets assertions fail, and what then follows under -O
        return None


def _ids(node: object) -> frozenset[str]:
    """Ids that all hold; empty if any part is unknown."""
    if isinstance(node, LicenseSymbol):
        return _simple(spelling(str(node.key)))
    parts = [_ids(each) for each in node.args] if isinstance(node, AND | OR) else []
    if not parts or not all(parts):
        return frozenset()
    return min(parts, key=_cost) if isinstance(node, OR) else frozenset().union(*parts)


def _cost(ids: frozenset[str]) -> tuple[object, ...]:
    """The smaller, the more it lets one do."""
    licence = _together(ids)
    facts = licence.attributes
    rights = (facts.commercial_use, facts.redistribute, facts.modify)
    return (
        list(Mirror).index(licence.mirror),
        *(_GRANTS.index(right) for right in rights),
        _REACH.index(facts.share_alike),
        licence.id,
    )


_GRANTS = (Answer.YES, Answer.COND, Answer.UNKNOWN, Answer.NO)
_DUTIES = (Answer.NO, Answer.COND, Answer.UNKNOWN, Answer.YES)
_REACH = tuple(ShareAlike)
_SURENESS = tuple(SOURCES)
_SCALES = {
    **dict.fromkeys(("commercial_use", "modify", "redistribute", "patent_grant"), _GRANTS),
    **dict.fromkeys(("use_restrictions", "notice", "research_only"), _DUTIES),
    "share_alike": _REACH,
}


def _together(ids: frozenset[str]) -> Licence:
    """As one licence: of each term the strictest, and the least sure source."""
    return reduce(_both, (LICENCES[id] for id in sorted(ids)))


def _both(one: Licence, other: Licence) -> Licence:
    facts, sources = {}, []
    for name in NAMES:
        told = [part.source_of(name) for part in (one, other) if name not in part.attributes.unknown()]
        sources += [(name, max(told, key=_SURENESS.index))] if told else []
        here, there = getattr(one.attributes, name), getattr(other.attributes, name)
        if (scale := _SCALES.get(name)) is not None:
            facts[name] = max(here, there, key=scale.index)
        else:
            facts[name] = None if here is None or there is None else tuple(dict.fromkeys(here + there))
    return Licence(
        id=f"{one.id} AND {other.id}",
        spdx=f"{one.spdx} AND {other.spdx}" if one.spdx and other.spdx else None,
        attributes=Attributes(**facts),
        notes=" ".join(filter(None, (one.notes, other.notes))),
        source=max(one.source, other.source, key=_SURENESS.index),
        but=tuple(sources),
    )
