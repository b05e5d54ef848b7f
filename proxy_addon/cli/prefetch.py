"""`hubgate prefetch`: have a set of repos in the cache before anybody asks for it.

Works beside a running proxy on the same cache directory. Stopped at any moment it goes on, when run again, from what is
here. Exit 0: all of it is here; 1: something is not, and was told; 2: wrong use; 130: interrupted, which is also how
`--watch` ends.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import Subscription
from ..hub.targets import Target, target
from ..written.units import duration
from . import options

if TYPE_CHECKING:
    from . import fetching

WATCH = 3600.0  # seconds between two looks of --watch
_GLOB = "A glob over whole paths, such as '*.safetensors' or 'onnx/'; may be repeated."


class Type(StrEnum):
    MODEL = "model"
    DATASET = "dataset"
    SPACE = "space"
    STUDIO = "studio"


def prefetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="TARGET", help="hf:org/name, hf:org/name@revision, ms:org/name, ms.ai:org/name"),
    ] = None,
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
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Files at once, of each repo.")] = 8,
    watch: Annotated[
        bool, typer.Option("--watch", help="Until ^C, fetch what changes; without TARGET: what `sync` lists.")
    ] = False,
    every: Annotated[
        str | None, typer.Option(help="How often --watch asks, such as 30m; else 1h, or as `sync` says.")
    ] = None,
) -> int:
    """Fill the cache with whole repos, or with parts of them."""
    from . import fetching

    settings = options.settings(config).model_copy(update={"access_log": None})
    lines = [*(names or ()), *(_lines(source) if source else ())]
    wanted = _targets(lines, type) if lines else []
    order = fetching.Order(settings, wanted, include or (), exclude or (), dry_run, pin, json, jobs)
    _sensible(order, watch, every)
    if not watch:
        return fetching.run(order)
    return fetching.watch(order, _subscriptions(order, every))


def _sensible(order: fetching.Order, watch: bool, every: str | None) -> None:
    if watch and order.dry_run:
        raise typer.BadParameter("--watch fetches, --dry-run does not: leave one of them out")
    if every is not None and not watch:
        raise typer.BadParameter("--every is for --watch")
    if not order.wanted and not watch:
        raise typer.BadParameter("no target; write hf:org/name, or name a file of them with --from")
    if not order.wanted and not order.settings.sync:
        raise typer.BadParameter("no target, and `sync` in the configuration lists none either; write hf:org/name")
    if not order.wanted and (order.include or order.exclude or order.pin):
        raise typer.BadParameter("what `sync` lists has its own include, exclude and pin there; name a target")
    for each in order.wanted:
        if not getattr(order.settings.hubs, each.repo.hub).enabled:
            raise typer.BadParameter(f"{each}: hubs.{each.repo.hub} is not enabled in the configuration")


def _subscriptions(order: fetching.Order, every: str | None) -> list[Subscription]:
    try:
        seconds = None if every is None else duration(every)
    except ValueError as fault:
        raise typer.BadParameter(f"--every: {fault}") from None
    if seconds is not None and not 1 <= seconds <= 365 * 86400:
        raise typer.BadParameter("--every: between 1s and 365d")
    if not order.wanted:
        return [each if seconds is None else each.model_copy(update={"every": seconds}) for each in order.settings.sync]
    include, exclude = tuple(order.include), tuple(order.exclude)
    distinct = {(each.repo, each.revision): each for each in order.wanted}.values()
    return [
        Subscription(repo=each, every=seconds or WATCH, include=include, exclude=exclude, pin=order.pin)
        for each in distinct
    ]


def _targets(names: Sequence[str], type: Type) -> list[Target]:
    found, faults = [], []
    for name in names:
        try:
            found.append(target(name, type))
        except ValueError as fault:
            faults.append(str(fault))
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
