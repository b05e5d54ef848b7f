"""Globs over names and paths, compiled to patterns that cannot be made slow.

`*` stands for anything within a segment, `**` for whole segments, none included; every other character for itself.
Names are compared without case, as the hubs do. A segment's stars are matched atomically, the first fit being as good
as any later one, and so are the segments between two `**`: a hostile name costs at most the square of its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_LENGTH = 512  # characters


@dataclass(frozen=True, slots=True)
class Glob:
    """`prefix` is what comes before the first star; for a glob without one, all of it."""

    text: str
    prefix: str
    pattern: re.Pattern[str]

    @property
    def literal(self) -> bool:
        return len(self.prefix) == len(self.text)

    def matches(self, name: str) -> bool:
        return self.pattern.fullmatch(name.casefold()) is not None


@dataclass(frozen=True, slots=True)
class Globs:
    """Several, any of which may match: names without a star by lookup, the rest by one pattern.

    Its repr is the same in every process, since the digest of rules is made of it."""

    members: tuple[Glob, ...]
    names: frozenset[str] = field(repr=False)
    pattern: re.Pattern[str] | None = field(repr=False)

    def matches(self, name: str) -> bool:
        name = name.casefold()
        return name in self.names or (self.pattern is not None and self.pattern.fullmatch(name) is not None)

    def prefix(self, name: str) -> int:
        """The length of the longest literal prefix among those that match; -1 if none does."""
        return max((len(glob.prefix) for glob in self.members if glob.matches(name)), default=-1)


def glob(text: str) -> Glob:
    """Raises ValueError with the fix in it."""
    if not text or len(text) > MAX_LENGTH:
        raise ValueError(f'a glob has between 1 and {MAX_LENGTH} characters; write one such as "org/*"')
    segments = text.casefold().split("/")
    if any("**" in segment and segment != "**" for segment in segments):
        raise ValueError(f'{text!r}: `**` stands for whole segments; write it between slashes, such as "**/*.bin"')
    folded = "/".join(segments)
    return Glob(folded, folded.partition("*")[0], re.compile(_pattern(segments), re.DOTALL))


def globs(texts: Iterable[str]) -> Globs:
    """Raises ValueError."""
    members = tuple(glob(text) for text in texts)
    starred = [member.pattern.pattern for member in members if not member.literal]
    pattern = re.compile("|".join(f"(?:{each})" for each in starred), re.DOTALL) if starred else None
    return Globs(members, frozenset(member.text for member in members if member.literal), pattern)


def _pattern(segments: list[str]) -> str:
    groups: list[list[str]] = [[]]
    for segment in segments:
        if segment == "**":
            groups.append([])
        else:
            groups[-1].append(_segment(segment))
    first, *rest = groups
    if not rest:
        return "/".join(first)
    head = "".join(f"{each}/" for each in first)
    *between, last = rest
    middle = "".join(f"(?>(?:[^/]*/)*?{'/'.join(group)}/)" for group in between if group)
    return head + middle + (f"(?:[^/]*/)*{'/'.join(last)}" if last else ".+")


def _segment(text: str) -> str:
    first, *rest = (re.escape(part) for part in text.split("*"))
    if not rest:
        return first
    *between, last = rest
    if not (first or last or any(between)):
        return "[^/]+"
    return first + "".join(f"(?>[^/]*?{part})" for part in between if part) + f"[^/]*{last}"
