"""Whether a card promises more than the models allow that it was made from. Pure; licences come from elsewhere.

A base model's licence is stricter where a term of it takes away what the card gives. Terms that nobody knows leave a
doubt, which is UNKNOWN; one that is certainly broken is enough to settle it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .declared import Licences
from .facts import UNKNOWN, LicenceLike, Unknown
from .foreign import LONGEST

#: The terms that count, from what leaves one free on.
_TERMS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("commercial_use", "modify", "redistribute"), ("yes", "cond", "no")),
    **dict.fromkeys(("use_restrictions", "research_only"), ("no", "cond", "yes")),
}


def conflict(card: Licences | Unknown, bases: Iterable[tuple[str, Licences | Unknown]]) -> str | Unknown | None:
    """In words what disagrees; None if nothing does. `bases`: each with its name and its licences."""
    doubt = False
    for name, licences in bases:
        if isinstance(card, Unknown) or isinstance(licences, Unknown):
            doubt = True
            continue
        stricter = _stricter(licences, card)
        if stricter is True:
            return f"the card says {_ids(card)}, its base model {name} says {_ids(licences)}"[:LONGEST]
        doubt = doubt or stricter is UNKNOWN
    return UNKNOWN if doubt else None


def _ids(licences: Sequence[LicenceLike]) -> str:
    return ", ".join(each.id for each in licences)


def _stricter(base: Licences, card: Licences) -> bool | Unknown:
    if {each.id for each in base} <= {each.id for each in card}:
        return False
    found = [_takes_away(_rank(base, name), _rank(card, name), len(_TERMS[name]) - 1) for name in _TERMS]
    return True if True in found else UNKNOWN if UNKNOWN in found else False


def _takes_away(base: int | None, card: int | None, most: int) -> bool | Unknown:
    if base is None or card is None:
        return False if base == 0 or card == most else UNKNOWN
    return base > card


def _rank(licences: Licences, name: str) -> int | None:
    """The strictest that any says; None if it is not known."""
    said = [str(each.attributes.get(name)).casefold() for each in licences]
    words = _TERMS[name]
    ranks = [words.index(word) for word in said if word in words]
    settled = len(ranks) == len(said) or (len(words) - 1) in ranks
    return max(ranks) if ranks and settled else None
