"""`hubgate prefetch`: have a set of repos in the cache before anybody asks for it.

Works beside a running proxy on the same cache directory. Stopped at any moment it goes on, when run again, from what is
here. Exit 0: all of it is here; 1: something is not, and was told; 2: wrong use; 130: interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..hub.targets import Target, target
from . import options

_GLOB = "A glob over whole paths, such as '*.safetensors' or 'onnx/'; may be repeated."


class Type(StrEnum):
    MODEL = "model"
    DATASET = "dataset"
    SPACE = "space"


def prefetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="TARGET...", help="hf:org/name[@revision]")] = None,
    config: options.ConfigFile = None,
    include: Annotated[list[str] | None, typer.Option(help=f"Only these files. {_GLOB}")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help=f"Not these files. {_GLOB}")] = None,
    type: Annotated[Type, typer.Option(help="Of targets that do not say hf:datasets/... themselves.")] = Type.MODEL,
    source: Annotated[
        Path | None, typer.Option("--from", help="A file with a target in each line; '-': standard input.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List files and sizes, and what is missing.")] = False,
    pin: Annotated[bool, typer.Option("--pin", help="Keep all of it from eviction.")] = False,
    json: Annotated[bool, typer.Option("--json", help="At the end, for programs.")] = False,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Files at once.")] = 8,
) -> int:
    """Fill the cache with whole repos, or with parts of them."""
    from .fetching import run

    wanted = _targets([*(names or ()), *(_lines(source) if source else ())], type)
    settings = options.settings(config).model_copy(update={"access_log": None})
    return run(settings, wanted, include or (), exclude or (), dry_run=dry_run, pin=pin, json=json, jobs=jobs)


def _targets(names: Sequence[str], type: Type) -> list[Target]:
    if not names:
        raise typer.BadParameter("no target; write hf:org/name, or name a file of them with --from")
    found, faults = [], []
    for name in names:
        try:
            found.append(target(name, type))
        except ValueError as fault:
            faults.append(str(fault))
    faults += [f"{t}: ModelScope repos cannot be prefetched yet" for t in found if t.repo.hub != "huggingface"]
    if faults:
        raise typer.BadParameter("\n".join(faults))
    return found


def _lines(source: Path) -> list[str]:
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text()
    except (OSError, UnicodeDecodeError) as fault:
        raise typer.BadParameter(f"--from: {source} cannot be read: {fault}") from None
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line]
