"""All cases of a directory of rules: those in its rule files, and those in the files of its directory `tests`.

A file of cases runs against the directory above it, unless it says `about:` which rule files it is for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .cases import Outcome, fault, outcome
from .load import RulesError, found, load, read
from .schema import CaseFile

_FOLDER = "tests"


def run(paths: Iterable[Path], *, now: float) -> list[Outcome]:
    """Raises RulesError for rules or cases that cannot be read."""
    paths = tuple(paths)
    own = load(paths, now=now)
    outcomes = [outcome(own.policy, each.case, each.place, now) for each in own.cases]
    faults: list[str] = []
    for folder in (path / _FOLDER for path in paths if (path / _FOLDER).is_dir()):
        for file in found([folder], faults):
            outcomes += _of_file(file, paths, now, faults)
    if faults:
        raise RulesError(*faults)
    return outcomes


def _of_file(file: Path, paths: tuple[Path, ...], now: float, faults: list[str]) -> list[Outcome]:
    got = read(file, CaseFile, faults)
    if got is None:
        return []
    written, origin = got
    places = [origin.place(f"tests[{n}]") for n, _ in enumerate(written.tests)]
    wrong = [(n, what) for n, case in enumerate(written.tests) if (what := fault(case, now))]
    faults += [origin.fault(f"tests[{n}].given", what) for n, what in wrong]
    about = [file.parent / name for name in written.about] if written.about else paths
    try:
        policy = load(about, now=now).policy
    except RulesError as error:
        faults += error.faults
        return []
    return [] if wrong else [outcome(policy, c, at, now) for c, at in zip(written.tests, places, strict=True)]
