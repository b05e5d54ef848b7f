"""Cache-Control: what the two sides said, read so that a doubt never makes a response live longer.

Names compare without case; a quoted argument means the same as a bare one; a quoted string hides what is inside it
(RFC 9111 §5.2). An argument that should be delta-seconds and is not counts as 0, several different ones as the least
of them (§4.2.1), and anything past 2^31 as 2^31 (§1.2.2). A quote that never closes may hide a prohibition, so such a
line also says `no-store`. Targeted fields for content delivery networks (RFC 9213) do not concern a forward proxy.

The tables that go with a status code (`UNDERSTOOD`) must grow with what `storing` learns to store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from .messages import Headers

MAX_SECONDS = 2**31

#: Status codes whose caching rules are known here; `must-understand` asks for one of these (RFC 9111 §5.2.2.3).
UNDERSTOOD = frozenset(
    {200, 203, 204, 206, 300, 301, 302, 303, 307, 308, 400, 404, 405, 410, 414, 500, 501, 502, 503, 504}
)

# Quoted strings cannot fail to match, so that no text makes the expression go back.
_MEMBER = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.?)*"?)+', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def split_list(value: str) -> list[str]:
    """The non-empty members of a comma-separated list; commas in quoted strings do not part (RFC 9110 §5.6.1)."""
    return [member for part in _MEMBER.findall(value) if (member := part.strip())]


def delta_seconds(value: str | None) -> int | None:
    """Seconds, at most 2^31; None if `value` is anything but digits (RFC 9111 §1.2.2)."""
    if value is None or not (value.isascii() and value.isdigit()):
        return None
    digits = value.lstrip("0")
    return MAX_SECONDS if len(digits) > 10 else min(int(digits or "0"), MAX_SECONDS)


class Directives(Mapping[str, str | None]):
    """Directives by lower-case name; the value is the first argument, None without one."""

    __slots__ = ("_said",)

    def __init__(self, said: Mapping[str, tuple[str | None, ...]]) -> None:
        self._said = dict(said)

    def __getitem__(self, name: str) -> str | None:
        return self._said[name][0]

    def __contains__(self, name: object) -> bool:
        return name in self._said

    def __iter__(self) -> Iterator[str]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)

    def __repr__(self) -> str:
        return f"Directives({self._said!r})"

    def seconds(self, name: str) -> int | None:
        """The least delta-seconds given for `name`; 0 if any is no number; None if it was not said."""
        if name not in self._said:
            return None
        return min(delta_seconds(value) or 0 for value in self._said[name])

    def bare(self, name: str) -> bool:
        """Whether `name` was said without naming fields: its wide form (RFC 9111 §5.2.2.4, §5.2.2.7)."""
        return name in self._said and not all(_field_names(value) for value in self._said[name])

    def field_names(self, name: str) -> frozenset[str]:
        """The lower-case fields in the narrow form of `no-cache` and `private`."""
        return frozenset().union(*(_field_names(value) for value in self._said.get(name, ())))

    def adding(self, name: str) -> Directives:
        return Directives({**self._said, name: (None,)})

    def without(self, name: str) -> Directives:
        return Directives({key: value for key, value in self._said.items() if key != name})


def _field_names(value: str | None) -> frozenset[str]:
    names = frozenset(name for part in (value or "").split(",") if (name := part.strip().lower()))
    return names if all(map(_TOKEN.fullmatch, names)) else frozenset()  # what names no field means the wide form


@lru_cache(maxsize=256)
def _parse(lines: tuple[str, ...]) -> Directives:
    said: dict[str, tuple[str | None, ...]] = {}
    for line in lines:
        for member in split_list(line):
            name, equals, value = member.partition("=")
            argument: str | None = None
            if equals:
                quoted = _QUOTED.fullmatch(value)
                argument = _ESCAPE.sub(r"\1", quoted[1]) if quoted else value
                if name != name.rstrip():  # "max-age =1" is no argument that anybody may count on
                    argument = " " + argument
                if value.lstrip().startswith('"') and not quoted:
                    said["no-store"] = (None,)
            name = name.strip().lower()
            said[name] = (*said.get(name, ()), argument)
    return Directives(said)


def parse(values: Iterable[str]) -> Directives:
    """The directives of all lines of one Cache-Control field; total on any text."""
    return _parse(tuple(values))


NOTHING = parse(())
_NO_CACHE = parse(("no-cache",))


def of_request(headers: Headers) -> Directives:
    """What the client asks; `Pragma: no-cache` counts where there is no Cache-Control (RFC 9111 §5.4)."""
    if "cache-control" in headers:
        return parse(headers.get_all("cache-control"))
    if "pragma" in headers and "no-cache" in parse(headers.get_all("pragma")):
        return _NO_CACHE
    return NOTHING


def of_response(status: int, headers: Headers) -> Directives:
    """What the origin asks; `must-understand` lifts `no-store` from a status we know, and puts it on any other
    (RFC 9111 §5.2.2.3)."""
    if "cache-control" not in headers:
        return NOTHING
    said = parse(headers.get_all("cache-control"))
    if "must-understand" not in said:
        return said
    return said.without("no-store") if status in UNDERSTOOD else said.adding("no-store")
