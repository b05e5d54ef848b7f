"""From rule files to a Policy, with every fault in all of them reported together.

A fault reads `FILE:LINE: key: what; how to fix it`. With a single fault there is no policy at all: half a set of rules
would open what the other half closes. Warnings come along with the policy. Blocking: to be called in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..core.errors import ConfigError
from ..written.explained import explained
from ..written.origin import Origin
from ..written.strict_yaml import MAX_BYTES, dotted, parse
from . import cases, checks
from .compiled import Source, audits, compiled, default_of
from .globs import Globs, globs
from .judge import Policy
from .licences import canonical, family
from .reading import Disk, Reader, Unreadable
from .schema import Case, RuleFile

_AT = re.compile(r"(.*?):(\d+): ", re.DOTALL)


class RulesError(ConfigError):
    """Faults in rule files, one line each."""


@dataclass(frozen=True, slots=True)
class Written:
    """A case and the file it is from."""

    case: Case
    place: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """`said` has for each file what it speaks of: ids, names of lists, settings."""

    policy: Policy
    warnings: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    cases: tuple[Written, ...] = ()
    said: Mapping[Path, frozenset[str]] = field(default_factory=dict)


type File = tuple[Path, RuleFile, Origin]


def load(paths: Iterable[Path], *, now: float, reader: Reader | None = None) -> Loaded:
    """`paths` are files, or directories whose own *.yaml and *.yml count. Raises RulesError with all faults."""
    paths, reader = tuple(paths), reader or Disk()
    faults: list[str] = []
    names = list({reader.same(path): path for path in found(paths, faults, reader)}.values())
    files = [(path, *got) for path in names if (got := read(path, RuleFile, faults, reader)) is not None]
    lists = dict(_lists(files, faults, reader))
    faults += _together(files)
    sources = [Source(file, origin.place) for _, file, origin in files]
    if not faults:  # what one file says of another cannot be told while one of them is missing
        faults += [*_checked(files, sources, lists, now), *_unreadable(files, now)]
    if faults:
        raise RulesError(*sorted(set(faults), key=_by_place))
    policy = compiled(sources, lists, _id)
    policy.ready()
    written = [Written(case, o.place(f"tests[{n}]")) for _, f, o in files for n, case in enumerate(f.tests)]
    warnings = [*_warnings(files, audits(sources), _known, now)]
    if not names:
        warnings.append(f"{', '.join(map(str, paths))}: no rule file (*.yaml) is here, so everything is allowed")
    said = {path: frozenset(_said(file)) for path, file, _ in files}
    return Loaded(policy, tuple(sorted(warnings, key=_by_place)), tuple(names), tuple(written), said)


def _id(text: str) -> str:
    found = canonical(text, hub="huggingface")
    return found.id if found is not None else text


def _known(text: str) -> bool:
    return canonical(text, hub="huggingface") is not None or family(text) is not None


def _by_place(fault: str) -> tuple[str, int, str]:
    found = _AT.match(fault)
    return (found[1], int(found[2]), fault) if found else (fault, 0, fault)


def found(paths: Iterable[Path], faults: list[str], reader: Reader | None = None) -> Iterator[Path]:
    reader = reader or Disk()
    for path in paths:
        try:
            yield from reader.files(path)
        except Unreadable as error:
            faults.append(f"{path}: {error}")


def read[T: BaseModel](
    path: Path, model: type[T], faults: list[str], reader: Reader | None = None
) -> tuple[T, Origin] | None:
    """None if it is not to be read as a `model`; then `faults` say why."""
    try:
        document = parse((reader or Disk()).text(path))
    except Unreadable as error:
        faults.append(f"{path}: {error}")
        return None
    origin = Origin(str(path), {dotted(key): line for key, line in document.lines.items()})
    faults += [f"{path}:{line}: {what}" for line, what in document.faults]
    if document.value is None:
        if not document.faults:
            faults.append(f"{path}:1: the file is empty; write `version: 1` at least")
        return None
    if not isinstance(document.value, dict):
        faults.append(f"{path}:1: the file is not a mapping; write `version: 1` and the rest below it")
        return None
    try:
        return model.model_validate(document.value), origin
    except ValidationError as error:
        faults += [origin.fault(_written(key), what) for key, what in explained(error, model)]
        return None


def _written(key: str) -> str:
    """As in the file, where one text may stand for a list of one."""
    return key.removesuffix("[0]") if key.endswith("[0]") and key.count("[") > 1 else key


def _lists(files: Sequence[File], faults: list[str], reader: Reader) -> Iterator[tuple[str, Globs]]:
    for path, file, origin in files:
        for name, members in file.lists.items():
            if (members.names is None) == (members.file is None):
                faults.append(origin.fault(f"lists.{name}", "write either names, or `file:` and a path"))
                yield name, members.names or globs(["**"])
            elif members.names is not None:
                yield name, members.names
            else:
                yield name, _of_file(path.parent / str(members.file), origin, name, faults, reader)


def _of_file(path: Path, origin: Origin, name: str, faults: list[str], reader: Reader) -> Globs:
    """One glob to a line; `#` begins a comment."""
    try:
        data = reader.text(path)
        if len(data) > MAX_BYTES:
            raise ValueError(f"it has over {MAX_BYTES} bytes; split it into two lists")
        members = globs(filter(None, (line.partition("#")[0].strip() for line in data.decode().splitlines())))
        if not members.members:
            raise ValueError("nothing is in it; write one name to a line, or take the list out")
        return members
    except UnicodeDecodeError as error:
        what = f"line {data.count(b'\n', 0, error.start) + 1} is not UTF-8; save the file as UTF-8"
    except (Unreadable, ValueError) as error:
        what = str(error)
    faults.append(origin.fault(f"lists.{name}.file", f"{path}: {what}"))
    return globs(["**"])


def _said(file: RuleFile) -> Iterator[str]:
    yield from (f"id {item.id}" for _, item in checks.items(file))
    yield from (f"lists.{name}" for name in file.lists)
    yield from (f"defaults.{name}" for name in file.defaults.model_fields_set)
    yield from (name for name in ("mode", "scan") if getattr(file, name) is not None)


def _together(files: Sequence[File]) -> Iterator[str]:
    """Faults that files make only with each other: what may be there once is there again, in any of them."""
    seen: dict[str, tuple[str, Any]] = {}

    def once(what: str, key: str, origin: Origin, value: Any = None) -> Iterator[str]:
        place, before = seen.setdefault(what, (origin.place(key), value))
        if place != origin.place(key) and (value is None or value != before):
            yield origin.fault(key, f"{what} is here for the second time (first at {place}); keep one")

    for _, file, origin in files:
        for key, item in checks.items(file):
            yield from _twice(seen, f"id {item.id!r}", f"{key}.id", origin)
        for name in file.lists:
            yield from _twice(seen, f"list {name!r}", f"lists.{name}", origin)
        for name in sorted(file.defaults.model_fields_set):
            yield from once(f"`defaults.{name}`", f"defaults.{name}", origin, getattr(file.defaults, name))
        if file.mode is not None:
            yield from once("`mode`", "mode", origin, file.mode)
        if file.scan is not None:
            yield from once("`scan`", "scan", origin, file.scan)


def _twice(seen: dict[str, tuple[str, Any]], what: str, key: str, origin: Origin) -> Iterator[str]:
    if what in seen:
        yield origin.fault(key, f"{what} is here for the second time (first at {seen[what][0]}); rename one")
    seen.setdefault(what, (origin.place(key), None))


def _checked(files: Sequence[File], sources: Sequence[Source], lists: dict[str, Globs], now: float) -> Iterator[str]:
    own = ("decision", "classification", "unknown_license", "license_conflict")
    scans = ("pickle", "gguf_template", "hub_scan", "on_error")
    barriers = {**{f"defaults.{name}": "default" for name in own}, **{f"scan.{name}": "scan" for name in scans}}
    for _, file, _ in files:
        barriers |= {rule.id: rule.effect for rule in file.rules if rule.effect != "allow"}
        barriers |= {each.id: each.class_ for each in file.classifications}
    days = default_of(sources, "exception_days")
    for _, file, origin in files:
        yield from (origin.fault(key, what) for key, what in checks.faults(file, lists, barriers, days, now))


def _unreadable(files: Sequence[File], now: float) -> Iterator[str]:
    for _, file, origin in files:
        for n, case in enumerate(file.tests):
            if what := cases.fault(case, now):
                yield origin.fault(f"tests[{n}].given", what)


def _warnings(files: Sequence[File], audit: bool, known: checks.KnownLicence, now: float) -> Iterator[str]:
    for _, file, origin in files:
        yield from (origin.fault(key, what) for key, what in checks.warnings(file, audit, known, now))
