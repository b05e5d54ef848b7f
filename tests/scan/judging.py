"""What the rules make of findings, as one word and a line for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from proxy_addon.answer.contents import Looked
from proxy_addon.policy.globs import globs
from proxy_addon.policy.matching import Imports
from proxy_addon.scan import Data, Findings, Scanner


@dataclass(frozen=True, slots=True)
class Verdict:
    state: str  # clean | found | unknown
    why: str
    kind: str
    imports: tuple[str, ...]
    problems: tuple[str, ...]


def judged(findings: Findings, allowed: Iterable[str] = ()) -> Verdict:
    """By rules that allow these imports."""
    facts = Looked(findings, "", 0.0).facts
    names = facts["pickle_imports"]
    beyond = Imports(globs(allowed), beyond=True).among(names) if isinstance(names, tuple) else ()
    found = [f"would import {', '.join(beyond)}"] if beyond else []
    found += ["has an unsafe template"] if facts["template"] == "unsafe" else []
    state = "found" if found else "unknown" if findings.unsure else "clean"
    return Verdict(state, "; ".join([*found, *findings.problems]), findings.kind, findings.imports, findings.problems)


async def scanned(scanner: Scanner, data: Data, name: str, allowed: Iterable[str] = ()) -> Verdict:
    return judged(await scanner.findings(data, name), allowed)
