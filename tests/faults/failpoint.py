"""Hubgate with places in it at which it can die: no signal handler, no `finally`, no buffer is asked (SIGKILL).

A place is a function of the product, as "module:Class.function", and a moment: `before` or `after` its n-th call, or
`half`, for one that writes bytes: it is given half of them. Which one is meant is told in a file, while it runs; calls
count from when it is there, and only those whose arguments have `only` in their text. The product knows nothing of it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NAME = "HUBGATE_FAILPOINTS"
DIED = "died on purpose: "


@dataclass(frozen=True)
class Failpoint:
    at: str
    when: str
    nth: int = 1
    only: str = ""

    def __str__(self) -> str:
        return f"{self.when} {self.at.partition(':')[2]}" + (f" {self.nth}" if self.nth > 1 else "")

    def arm(self, file: Path) -> None:
        aside = file.with_name(f"{file.name}.new")
        aside.write_text(json.dumps(asdict(self)))
        os.replace(aside, file)

    def die(self) -> None:
        os.write(2, f"{DIED}{self}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()


def environment(file: Path, points: Iterable[Failpoint]) -> dict[str, str]:
    """For a process that shall know of these; `file` tells which one is armed, if it is there."""
    return {NAME: json.dumps({"file": str(file), "places": sorted({point.at for point in points})})}


class _Place:
    def __init__(self, at: str, file: str) -> None:
        self._at, self._file = at, file
        self._calls = 0
        module, _, path = at.partition(":")
        *classes, name = path.split(".")
        owner: Any = functools.reduce(getattr, classes, importlib.import_module(module))
        setattr(owner, name, self._deadly(getattr(owner, name)))

    def _due(self, args: tuple[Any, ...]) -> Failpoint | None:
        try:
            with open(self._file, encoding="utf-8") as file:
                point = Failpoint(**json.load(file))
        except FileNotFoundError:
            return None
        if point.at != self._at or point.only not in repr(args)[:4096]:
            return None
        self._calls += 1
        return point if self._calls == point.nth else None

    def _deadly(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def deadly(*args: Any, **kwargs: Any) -> Any:
            point = self._due(args)
            if point is not None and point.when == "before":
                point.die()
            if point is not None and point.when == "half":
                args = tuple(arg[: len(arg) // 2] if isinstance(arg, bytes | memoryview) else arg for arg in args)
            result = original(*args, **kwargs)
            if point is not None:
                point.die()
            return result

        @functools.wraps(original)
        async def deadly_later(*args: Any, **kwargs: Any) -> Any:
            point = self._due(args)
            if point is not None and point.when == "before":
                point.die()
            result = await original(*args, **kwargs)
            if point is not None:
                point.die()
            return result

        return deadly_later if inspect.iscoroutinefunction(original) else deadly


def main() -> None:
    """`hubgate`, with the places that the environment names."""
    told = json.loads(os.environ.pop(NAME, "{}"))
    for at in told.get("places", ()):
        _Place(at, told["file"])
    from proxy_addon.cli.main import main as hubgate

    sys.argv[0] = str(Path(sys.executable).with_name("hubgate"))
    hubgate()


if __name__ == "__main__":
    main()
