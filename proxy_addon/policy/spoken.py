"""Words that others wrote, made fit to be sent: one line without controls, within a limit, ASCII where it must be.

Reasons come from rule files, names of repos from whoever made up the URL. What this lets through can neither end a
header field, nor move a terminal's cursor, nor turn the direction of writing; a name can be pasted into a shell.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs"})  # controls, direction marks, private use, half characters
_IN_NAMES = "/@:+="  # besides letters, digits and "_.-~": what no shell and no page reads as its own
_IN_URLS = _IN_NAMES + "%?#,!~[]&"
_CUT = "..."


def line(text: str) -> str:
    """One line of Unicode; white space of any kind becomes single spaces."""
    if text.isascii() and text.isprintable():  # as nearly all are
        return " ".join(text.split())
    seen = (c for c in text if c.isspace() or unicodedata.category(c) not in _UNSEEN)
    return " ".join("".join(seen).split())


def ascii_line(text: str) -> str:
    """One line of printable ASCII: accents go, what has no letter below is "?"."""
    text = line(text)
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text)
    bare = "".join(c for c in apart if not unicodedata.combining(c))
    return line(bare.encode("ascii", "replace").decode())


def cut(text: str, limit: int) -> str:
    """At most `limit` characters; the last ones say when something is missing."""
    return text if len(text) <= limit else text[: max(0, limit - len(_CUT))] + _CUT[: max(0, limit)]


def name(text: str) -> str:
    """Percent-encoded where it could mean something to a shell or a header."""
    return quote(text.encode("utf-8", "replace"), safe=_IN_NAMES)


def place(url: str) -> str:
    """As `name`, of a URL without its query; what is encoded stays so."""
    return quote(url.encode("utf-8", "replace"), safe=_IN_NAMES + "%")


def address(url: str) -> str:
    """A link to follow, with its query; empty for what is neither http nor https."""
    if not url.lower().startswith(("https://", "http://")):
        return ""
    return quote(line(url).encode("utf-8", "replace"), safe=_IN_URLS)
