"""What a set consists of: its files and where they are, and what is told of it while it is looked up and fetched."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.resources import File
from ..hub.targets import Target

_URLS = {hf.HUB: hf.resolve_url, ms.HUB: ms.file_url}


class State(StrEnum):
    HERE = "here"
    FETCHED = "fetched"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Item:
    """One file. `lacks`: bytes of it that were not here at first; `done`: bytes that have gone by in this try."""

    target: Target
    file: File
    size: int
    blob: str
    state: State = State.MISSING
    lacks: int = 0
    done: int = 0
    fault: str = ""

    @property
    def url(self) -> str:
        """As clients spell it."""
        return _URLS[self.file.hub](self.file)


@dataclass(slots=True)
class Plan:
    items: list[Item] = field(default_factory=list)
    documents: set[str] = field(default_factory=set)  # blobs of infos and listings
    faults: list[tuple[str, str]] = field(default_factory=list)  # (target or glob, why)

    @property
    def size(self) -> int:
        """Bytes, what is there twice counted once."""
        return sum({item.blob or item.url: item.size for item in self.items}.values())

    @property
    def fetched(self) -> int:
        """Bytes that came."""
        return sum(item.lacks for item in self.items if item.state is State.FETCHED)

    @property
    def whole(self) -> bool:
        return not self.faults and all(item.state in (State.HERE, State.FETCHED) for item in self.items)

    @property
    def blobs(self) -> set[str]:
        """All that the set needs when the hub is away."""
        return {item.blob for item in self.items if item.blob} | self.documents


class Watcher(Protocol):
    """Told how it goes."""

    def planned(self, plan: Plan) -> None: ...
    def advanced(self, item: Item, size: int) -> None: ...
    def ended(self, item: Item) -> None: ...
    def said(self, text: str) -> None: ...
