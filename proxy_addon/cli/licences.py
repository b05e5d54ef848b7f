"""`hubgate rules licences`: the facts about licences that rules decide by, each with where it is from.

Exit 1 means that the name is no licence, no family, and no expression of licences that are known.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..policy.licences import KNOWN_FAMILIES, LICENCES, canonical, family, near, spellings_of
from ..policy.terms import NAMES, SOURCES, Family, Licence
from . import options
from .output import as_json, say, shown, table, tell

_HEADS = ("LICENCE", "SPDX", "COMMERCIAL", "MODIFY", "REDISTRIBUTE", "SHARE ALIKE", "MIRROR", "SOURCE")
_SHORT = ("commercial_use", "modify", "redistribute", "share_alike")


def licences(
    name: Annotated[str | None, typer.Argument(metavar="ID", help="A licence, as a hub or a person spells it.")] = None,
    json: options.Json = False,
) -> int:
    """What is known about licences: all of them, or one with every attribute, its source and what is not known."""
    if name is None:
        _all(json)
    elif (found := canonical(name, hub="huggingface")) is not None:
        _one(found, json)
    elif (loose := family(name)) is not None:
        _loose(loose, json)
    else:
        meant = f"; did you mean {' or '.join(near(name))}?" if near(name) else ""
        tell(f"hubgate: {name!r} is no licence that is known{meant}")
        return 1
    return 0


def _all(json: bool) -> None:
    if json:
        known, loose = map(_as_value, LICENCES.values()), map(_as_value, KNOWN_FAMILIES.values())
        sources = {letter.value: {"is": told, "confidence": sure} for letter, (told, sure) in SOURCES.items()}
        as_json({"licences": [*known], "families": [*loose], "sources": sources})
        return
    table(_HEADS, map(_line, LICENCES.values()))
    say()
    table(
        ("FAMILY, NO LICENCE", "WHICH MAY BE", ""),
        ((each.id, ", ".join(each.members) or "none that is known", each.notes) for each in KNOWN_FAMILIES.values()),
    )
    say()
    table(("SOURCE", "", ""), ((letter.value, told, sure) for letter, (told, sure) in SOURCES.items()))


def _line(of: Licence) -> tuple[str, ...]:
    return (of.id, of.spdx or "-", *(str(of.attributes[name]) for name in _SHORT), of.mirror.value, of.source.value)


def _one(of: Licence, json: bool) -> None:
    if json:
        as_json(_as_value(of))
        return
    table(
        ("", ""),
        (
            ("licence", of.id),
            ("SPDX", of.spdx or "not on its list"),
            ("mirror", of.mirror.value),
            ("notes", of.notes or "-"),
            ("source", f"{SOURCES[of.source][0]}: {of.confidence}"),
            ("also written", "; ".join(spellings_of(of.id)) or "-"),
            ("not known", ", ".join(of.attributes.unknown()) or "nothing"),
        ),
    )
    say()
    table(
        ("ATTRIBUTE", "VALUE", "SOURCE"),
        ((name, _spoken(of.attributes[name]), _told(of, name)) for name in NAMES),
    )


def _loose(of: Family, json: bool) -> None:
    if json:
        as_json(_as_value(of))
        return
    say(shown(f"{of.id} is a family and no licence, so that rules take it as unknown. {of.notes}"))
    table(_HEADS, (_line(LICENCES[id]) for id in of.members))


def _spoken(value: object) -> str:
    return "; ".join(value) or "none" if isinstance(value, tuple) else str(value)


def _told(of: Licence, name: str) -> str:
    source = of.source_of(name)
    return f"{source.value}  {SOURCES[source][1]}"


def _as_value(of: Licence | Family) -> dict[str, Any]:
    if isinstance(of, Family):
        return {"id": of.id, "family": True, "members": list(of.members), "notes": of.notes}
    return {
        "id": of.id,
        "spdx": of.spdx,
        "mirror": of.mirror,
        "attributes": {name: {"value": of.attributes[name], "source": of.source_of(name)} for name in NAMES},
        "unknown": list(of.attributes.unknown()),
        "notes": of.notes,
        "source": of.source,
        "confidence": of.confidence,
        "spellings": list(spellings_of(of.id)),
    }
