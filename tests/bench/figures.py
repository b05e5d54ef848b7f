"""What was measured, and what was wanted: the values that a table is made of.

A figure is all tries of one side; its value is their median. A goal is judged on one number: the figure itself, its
ratio to the peer's, or what it is more than the peer's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from statistics import median


@dataclass(frozen=True)
class Figure:
    tries: tuple[float, ...]
    digits: int = 2

    @property
    def value(self) -> float:
        return median(self.tries)

    @property
    def text(self) -> str:
        return f"{self.value:,.{self.digits}f}"

    @property
    def spread(self) -> str:
        """Least and greatest, when there is more than one try."""
        if len(self.tries) < 2:
            return ""
        return f"{min(self.tries):,.{self.digits}f}..{max(self.tries):,.{self.digits}f}"


class On(StrEnum):
    """What a goal is about."""

    FIGURE = "hubgate"
    RATIO = "ratio"
    MORE = "hubgate - peer"


@dataclass(frozen=True)
class Goal:
    on: On
    at_least: bool
    limit: float

    def met(self, number: float) -> bool:
        return number >= self.limit if self.at_least else number <= self.limit

    @property
    def text(self) -> str:
        return f"{self.on} {'>=' if self.at_least else '<='} {self.limit:,g}"


@dataclass(frozen=True)
class Row:
    what: str
    unit: str
    ours: Figure
    peer: Figure | None = None
    than: str = ""  # who the peer is
    goal: Goal | None = None
    detail: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.peer is None or not self.peer.value else self.ours.value / self.peer.value

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        match self.goal.on:
            case On.FIGURE:
                return self.goal.met(self.ours.value)
            case On.RATIO:
                return None if self.ratio is None else self.goal.met(self.ratio)
            case On.MORE:
                return None if self.peer is None else self.goal.met(self.ours.value - self.peer.value)


def in_turn[T](tries: int, *sides: Callable[[], T]) -> list[list[T]]:
    """Every side once, then all again; the results by side."""
    found: list[list[T]] = [[] for _ in sides]
    for _ in range(tries):
        for side, results in zip(sides, found, strict=True):
            results.append(side())
    return found
