"""What a scan says of a file.

Whether that is allowed is for the rules to say: a file is *clean* only if all of it was understood and nothing in it is
beyond what they allow. What was not understood, for whatever reason, is *unknown*; what is known to be dangerous is
*found*, however broken the rest is.

An import is written `module.name`. A name that reaches through a module (a path of attributes, a dunder, another
module that happens to be imported there) is written `module/name`, which no `module.*` matches: an allow-list is about
what a module defines. UNRESOLVED stands for an import whose name is made while loading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

type Kind = Literal["pickle", "safetensors", "gguf", "template", "keras", "savedmodel", "none"]
type Template = Literal["safe", "unsafe"]

ENGINE: Final = "2"  # goes up whenever the same bytes may be judged otherwise than before
UNRESOLVED: Final = "?"
KINDS: Final[tuple[str, ...]] = get_args(Kind.__value__)
MOST_IMPORTS = 500  # told of one file
MOST_PROBLEMS = 20
LONGEST = 300  # characters of an import or a problem


class Unparsable(Exception):
    """The bytes are not what they should be; the text says what and where."""


class Budget(Unparsable):
    """More of something than is looked at."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`seconds` of CPU time and `inflated` bytes are for one scan."""

    seconds: float = 20.0
    inflated: int = 8 << 30
    entries: int = 200_000  # of an archive
    text: int = 16 << 20  # bytes of JSON, and of what else is held whole
    depth: int = 4  # archives in archives


@dataclass(frozen=True, slots=True)
class Findings:
    """`passing`: who looks again may see more."""

    kind: Kind = "none"
    imports: tuple[str, ...] = ()
    template: Template | None = None
    problems: tuple[str, ...] = ()
    passing: bool = False

    @property
    def unsure(self) -> bool:
        """Not all of it was understood."""
        return bool(self.problems) or UNRESOLVED in self.imports


@dataclass(slots=True)
class Notes:
    """Findings while they are made."""

    limits: Limits = field(default_factory=Limits)
    kinds: list[Kind] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    template: Template | None = None
    problems: dict[str, None] = field(default_factory=dict)

    def imported(self, name: str) -> None:
        name = (name if name.isprintable() else name.encode("unicode_escape").decode())[:LONGEST]
        if len(self.imports) < MOST_IMPORTS:
            self.imports.add(name)
        elif name not in self.imports:
            self.problem(f"budget: more than {MOST_IMPORTS} different imports")

    def problem(self, text: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems[text.encode("unicode_escape").decode()[:LONGEST]] = None

    def templated(self, unsafe: bool) -> None:
        if self.template != "unsafe":
            self.template = "unsafe" if unsafe else "safe"

    def findings(self) -> Findings:
        """The kind is the most dangerous of those that the bytes can be taken for."""
        kinds: list[Kind] = sorted(self.kinds, key=KINDS.index)
        return Findings(kinds[0] if kinds else "none", tuple(sorted(self.imports)), self.template, tuple(self.problems))


def as_json(findings: Findings) -> dict[str, object]:
    return {
        "kind": findings.kind,
        "imports": findings.imports,
        "template": findings.template,
        "problems": findings.problems,
    }


def from_json(said: object) -> Findings:
    """Raises ValueError for anything that `as_json` does not give: the process it comes from has read foreign bytes."""
    if not isinstance(said, Mapping) or said.keys() != {"kind", "imports", "template", "problems"}:
        raise ValueError("not findings")
    if said["kind"] not in KINDS or said["template"] not in (None, "safe", "unsafe"):
        raise ValueError("not findings: kind or template")
    for name, most in (("imports", MOST_IMPORTS), ("problems", MOST_PROBLEMS)):
        texts = said[name]
        if not (isinstance(texts, list) and len(texts) <= most):
            raise ValueError(f"not findings: {name}")
        if not all(isinstance(text, str) and len(text) <= LONGEST and text.isprintable() for text in texts):
            raise ValueError(f"not findings: {name}")
    return Findings(said["kind"], tuple(sorted(set(said["imports"]))), said["template"], tuple(said["problems"]))
