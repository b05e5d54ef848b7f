"""The licences that an uploader declares: from the field in which a hub tells them, or from the README's front matter.

What is declared and cannot be read is UNKNOWN, and nothing else is asked in its stead: of two answers the one that was
meant to be hidden must not win. None says that nothing is declared here, so that one may look elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..written import strict_yaml
from .facts import UNKNOWN, LicenceLike, Unknown, Unrecognised
from .foreign import text
from .licences import canonical
from .spellings import spelling

MANY = 50  # licences of one repo
HEAD = 64 * 1024  # bytes of a README in which its front matter must end
OTHER = "other"

type Licences = tuple[LicenceLike, ...]

_START = re.compile(rb"\A(?:\xef\xbb\xbf)?---[ \t]*\r?\n")
_END = re.compile(rb"^---[ \t]*\r?$", re.MULTILINE)


def licences(value: object, *, hub: str, card: Mapping[str, object] | None = None) -> Licences | Unknown | None:
    """`value`: a text or a list of texts. `card` names the licence where `value` says `other`."""
    listed = value if isinstance(value, list) else [value]
    if value is None or value == "" or not listed:
        return None
    if len(listed) > MANY:
        return UNKNOWN
    said = [text(each) for each in listed]
    known = tuple(dict.fromkeys(each for each in said if each is not None))
    return tuple(_licence(each, hub, card or {}) for each in known) if None not in said else UNKNOWN


def is_other(value: object) -> bool:
    """The licence is named elsewhere."""
    listed = value if isinstance(value, list) else [value]
    return any(isinstance(each, str) and len(each) < 40 and spelling(each) == OTHER for each in listed[:MANY])


def _licence(said: str, hub: str, card: Mapping[str, object]) -> LicenceLike:
    names = [text(card.get(key)) for key in ("license_name", "license_link")] if is_other(said) else [None]
    for name in names:
        if (found := canonical(said, hub=hub, name=name)) is not None:
            return found
    return Unrecognised(next((name for name in names if name), said))


def front_matter(readme: bytes) -> Mapping[str, Any] | None:
    """What stands between the two lines `---` on top; empty if nothing does, None if it cannot be read for certain."""
    head = readme[:HEAD]
    if (start := _START.match(head)) is None:
        return {}
    if (end := _END.search(head, start.end())) is None:
        return None if len(readme) > HEAD else {}
    written = strict_yaml.parse(head[start.end() : end.start()])
    if written.faults:
        return None
    if written.value is None:
        return {}
    return written.value if isinstance(written.value, dict) else None


def of_front_matter(card: Mapping[str, object] | None, *, hub: str) -> Licences | Unknown | None:
    return UNKNOWN if card is None else licences(card.get("license"), hub=hub, card=card)
