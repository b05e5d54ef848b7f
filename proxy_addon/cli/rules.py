"""`hubgate rules`: is what is written in the rule files right, and does it decide as expected?

Exit 0: yes. 1: a case comes out otherwise, or (under --strict) there are warnings. 2: faults, each with FILE:LINE.
Nothing here asks a hub.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ..core.errors import ConfigError
from ..policy import trial
from ..policy.cases import Outcome
from ..policy.load import RulesError, load
from ..policy.schema import RuleFile
from . import junit, options
from .lazy import lazy
from .output import as_json, console, counted, near, shown, tell

COMMANDS = {
    "licences": (
        "licences:licences",
        "What is known about licences: all of them, or one with every attribute, its source and what is not known.",
    ),
    "diff": (
        "difference:diff",
        "Replay real requests under two sets of rules: what is newly blocked, what newly allowed.",
    ),
    "report": ("report:report", "What the rules denied lately, what ends soon, what nobody uses."),
}
app = typer.Typer(cls=lazy(COMMANDS), no_args_is_help=True, help="The rules about what may be downloaded.")

Where = Annotated[
    Path | None, typer.Argument(metavar="PATH", help="A rule file or a directory of them; else what `rules` names.")
]


@app.command()
def lint(
    path: Where = None,
    config: options.ConfigFile = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if there are warnings.")] = False,
    json: options.Json = False,
) -> int:
    """Check rule files, and tell everything that is wrong in them at once."""
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    told: dict[str, Any] = {}
    try:
        loaded = load(_paths(path, config), now=time.time())
    except RulesError as error:
        faults = error.faults
    else:
        warnings, policy = loaded.warnings, loaded.policy
        told = {"files": [*map(str, loaded.files)], "digest": policy.digest, "rules": policy.size}
    code = 2 if faults else 1 if warnings and strict else 0
    if json:
        as_json({"exit": code, "errors": faults, "warnings": warnings, **told})
        return code
    for fault in faults:
        _line("error", "red", fault)
    for warning in warnings:
        _line("warning", "yellow", warning)
    if not faults:
        within = f"{counted(told['rules'], 'rule')} in {counted(len(told['files']), 'file')}"
        tell(f"{within}, {counted(len(warnings), 'warning')}")
    return code


@app.command()
def test(
    path: Where = None,
    config: options.ConfigFile = None,
    report: Annotated[Path | None, typer.Option("--junit", help="Write the outcome as JUnit XML to this file.")] = None,
    json: options.Json = False,
) -> int:
    """Run the cases: `tests:` in the rule files, and the files in the directory tests/ beside them."""
    outcomes = trial.run(_paths(path, config), now=time.time())
    failed = [each for each in outcomes if each.differences]
    if report is not None:
        try:
            report.write_bytes(junit.xml(outcomes))
        except OSError as error:
            raise ConfigError(f"--junit: {report} cannot be written: {error.strerror}; name another file") from None
    code = 1 if failed else 0
    if json:
        as_json({"exit": code, "cases": [_described(each) for each in outcomes]})
        return code
    for each in failed:
        _line("FAILED", "red", f"{each.place}: {each.name}")
        for difference in each.differences:
            console().print(Text(f"    {shown(difference)}"), soft_wrap=True)
    tell(f"{counted(len(outcomes), 'case')}, {len(failed)} failed")
    return code


@app.command()
def schema(json: options.Json = False) -> None:
    """Print the JSON Schema of rule files, by which editors complete and check them."""
    made = RuleFile.model_json_schema()
    as_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "hubgate rules"})


def _paths(path: Path | None, config: Path | None) -> tuple[Path, ...]:
    return (path,) if path is not None else options.settings(config).rules


def _line(word: str, style: str, text: str) -> None:
    console().print(Text.assemble((word, style), f": {shown(near(text))}"), soft_wrap=True)


def _described(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "place": outcome.place,
        "passed": not outcome.differences,
        "differences": outcome.differences,
    }
