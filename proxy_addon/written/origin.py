"""Where each setting was written: the file and line, or the command line. Kept beside the values, never compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_LAST_PART = re.compile(r"(?:\.[^.\[\]]*|\[\d+\]|^[^.\[\]]*)$")


@dataclass(frozen=True, slots=True)
class Origin:
    """`lines` maps a dotted key to its line; `overrides` names the keys that the command line set."""

    file: str = "defaults"
    lines: Mapping[str, int] = field(default_factory=dict)
    overrides: frozenset[str] = frozenset()

    def place(self, key: str) -> str:
        """`hubgate.yaml:12`, by the nearest enclosing key that was written; else the file alone."""
        while key:
            if key in self.overrides:
                return "command line"
            if key in self.lines:
                return f"{self.file}:{self.lines[key]}"
            shorter = _LAST_PART.sub("", key)
            key = shorter if shorter != key else ""  # of no such form
        return self.file

    def fault(self, key: str, what: str) -> str:
        return f"{self.place(key)}: {key}: {what}"
