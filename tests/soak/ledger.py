"""What was seen, and what excuses it: requests by kind and outcome, troubles by when they began and ended, faults.

A trouble excuses a client that was not served if it was at work while that client asked, or had ended no longer than
`GRACE` before: a proxy that was told Retry-After, or that gives a stalled connection its time, is not at fault. What a
trouble excuses is by its class: `hub`, all but what is kept here; `proxy`, everything that wants the process; `local`,
nothing: what happens to the disk costs the cache and never a client. Nothing excuses wrong bytes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

type Class = Literal["hub", "proxy", "local"]

UNPROVEN = frozenset({"wrong bytes, then cut", "wrong part"})  # what may be of a hub that lied just then
LIES = ("wrong bytes", "a page for a file", "another ETag", "ranges ignored")  # which a cut reply may have begun with
ENOUGH = 20  # faults of a kind that are told one by one
GRACE: dict[Class, float] = {"hub": 10.0, "proxy": 3.0, "local": 0.0}  # seconds

#: What a fault may be called, as the table has it; those of the first line are the measures of a run.
KINDS = (
    *("wrong bytes", "lost blob", "given to a wrong token", "denied by a rule, but given", "secret on disk"),
    *("not served", "hung", "late after a restart", "damage left", "memory", "descriptors", "internal error"),
    *("wrong bytes, then cut", "wrong part", "smuggled", "process died", "the run itself"),
)


@dataclass
class Trouble:
    name: str
    excuses: Class
    begin: float
    end: float = float("inf")


@dataclass(frozen=True)
class Fault:
    at: float  #: seconds since the run began
    kind: str
    text: str


@dataclass
class Ledger:
    began: float = field(default_factory=time.monotonic)
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  #: (kind, outcome) -> how many
    troubles: list[Trouble] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)  #: of each kind the first ones
    counts: Counter[str] = field(default_factory=Counter)  #: kind -> how many
    file: Path | None = None  #: where it is told as it happens
    bytes: int = 0  #: of bodies that were compared
    doubts: int = 0  #: how often the pinned files were no longer known to be here
    _sure: float = float("inf")  #: since when they are complete

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    def fault(self, kind: str, text: str) -> None:
        assert kind in KINDS, kind
        self.counts[kind] += 1
        if self.counts[kind] <= ENOUGH:
            self.faults.append(Fault(self.now, kind, text))
            self.note(f"FAULT: {kind}: {text}")

    def note(self, text: str) -> None:
        if self.file is not None:
            with self.file.open("a") as log:
                log.write(f"{self.now:6.1f} s {text}\n")

    def of(self, kind: str) -> int:
        return self.counts[kind]

    @contextmanager
    def trouble(self, name: str, excuses: Class) -> Iterator[Trouble]:
        one = Trouble(name, excuses, time.monotonic())
        self.troubles.append(one)
        self.note(f"{name} begins")
        try:
            yield one
        finally:
            one.end = time.monotonic()
            self.note(f"{name} is over")

    def excuse(self, since: float, *classes: Class) -> str | None:
        """A trouble of one of these classes that was at work since `since` (monotonic), or just before."""
        for one in reversed(self.troubles):
            if one.excuses in classes and one.end + GRACE[one.excuses] >= since:
                return one.name
        return None

    def lied(self, since: float) -> bool:
        """Whether a hub told one, since then (monotonic) or just before."""
        return any(one.name in LIES and one.end + GRACE["hub"] >= since for one in self.troubles)

    def under_way(self) -> list[str]:
        return [one.name for one in self.troubles if one.end == float("inf")]

    def kept(self, sure: bool) -> None:
        """Whether from now on all pinned files are known to be here."""
        if not sure:
            self._sure = float("inf")
            self.doubts += 1
        elif self._sure == float("inf"):
            self._sure = time.monotonic()

    def kept_since(self, since: float) -> bool:
        """Whether they have been, ever since `since` (monotonic)."""
        return self._sure <= since

    @property
    def sure(self) -> bool:
        return self._sure != float("inf")
