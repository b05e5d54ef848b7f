"""What `hubgate prefetch` shows while it works: bars on a terminal, else a line for each file that came or failed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from rich.console import Console
from rich.progress import TaskID

from ..prefetch import Item, Plan, State
from .output import bars, counted, human, shown

EVERY = 30.0  # seconds between two lines about one large file
_LONGEST = 48  # characters of a path beside a bar


class Lines:
    def __init__(self, on: Console, timer: Callable[[], float] = time.monotonic) -> None:
        self._on, self._timer = on, timer
        self._told: dict[Item, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def planned(self, plan: Plan) -> None:
        lacks = sum({item.blob or item.url: item.lacks for item in plan.items}.values())
        self.said(f"{counted(len(plan.items), 'file')}, {human(plan.size)}; missing: {human(lacks)}")

    def advanced(self, item: Item, size: int) -> None:
        now = self._timer()
        if now - self._told.setdefault(item, now) >= EVERY:
            self._told[item] = now
            self.said(f"         {item.file.path}: {human(item.done)} of {human(item.size)}")

    def ended(self, item: Item) -> None:
        self._told.pop(item, None)
        if item.state is State.FETCHED:
            self.said(f"fetched  {item.target}: {item.file.path}, {human(item.lacks)}")
        elif item.state is State.FAILED:
            self.said(f"FAILED   {item.target}: {item.file.path}: {item.fault}")

    def said(self, text: str) -> None:
        self._on.print(shown(text), soft_wrap=True)


class Bars:
    def __init__(self, on: Console) -> None:
        self._bars = bars(on)
        self._total: TaskID | None = None
        self._tasks: dict[Item, TaskID] = {}
        self._here: Counter[Item] = Counter()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def planned(self, plan: Plan) -> None:
        self._total = self._bars.add_task("in all", total=sum(item.size for item in plan.items))

    def advanced(self, item: Item, size: int) -> None:
        if size <= 0 and item not in self._tasks:
            return
        if item not in self._tasks:
            self._tasks[item] = self._bars.add_task(_short(item.file.path), total=item.size)
        self._bars.advance(self._tasks[item], size)
        self._count(item, size)

    def ended(self, item: Item) -> None:
        if (task := self._tasks.pop(item, None)) is not None:
            self._bars.remove_task(task)
        self._count(item, item.size - self._here.pop(item, 0))
        if item.state is State.FAILED:
            self.said(f"FAILED   {item.target}: {item.file.path}: {item.fault}")

    def said(self, text: str) -> None:
        self._bars.console.print(shown(text))

    def _count(self, item: Item, size: int) -> None:
        if self._total is not None:
            self._here[item] += size
            self._bars.advance(self._total, size)


def _short(path: str) -> str:
    path = shown(path)
    return path if len(path) <= _LONGEST else f"...{path[-_LONGEST + 3 :]}"


def summary(plan: Plan, seconds: float) -> str:
    states = Counter(item.state for item in plan.items)
    came = sum(item.lacks for item in plan.items if item.state is State.FETCHED)
    repos = len({item.target for item in plan.items})
    parts = [
        f"{counted(repos, 'repo')}, {counted(len(plan.items), 'file')}, {human(plan.size)}",
        f"{states[State.HERE]} were here, {states[State.FETCHED]} fetched ({human(came)})",
    ]
    if states[State.FAILED]:
        parts.append(f"{states[State.FAILED]} failed")
    if plan.faults:
        parts.append(f"{len(plan.faults)} of what was named cannot be had")
    return f"{'; '.join(parts)}; {seconds:.1f} s"


def described(plan: Plan) -> dict[str, Any]:
    """For programs."""
    states = Counter(item.state for item in plan.items)
    return {
        "files": [
            {
                "target": str(item.target),
                "commit": item.file.rev,
                "path": item.file.path,
                "bytes": item.size,
                "missing": 0 if item.state in (State.HERE, State.FETCHED) else item.lacks,
                "blob": item.blob,
                "state": str(item.state),
                **({"error": item.fault} if item.fault else {}),
            }
            for item in plan.items
        ],
        "errors": [{"what": what, "error": why} for what, why in plan.faults],
        "bytes": plan.size,
        "fetched": sum(item.lacks for item in plan.items if item.state is State.FETCHED),
        "count": {str(state): states[state] for state in State},
    }
