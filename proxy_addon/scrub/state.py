"""How far the reading has come, in a small file that is replaced whole: after a crash it is the old one or the new.

One that cannot be read, or that somebody else wrote, is as none: the round begins anew, which costs time only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class State:
    """Times in epoch seconds, amounts in bytes. `read`, `blobs` and `found` count since ever, `done` in this round."""

    first: float = 0.0  # when the first round is due
    began: float = 0.0
    ended: float = 0.0  # the last round that came to its end
    blob: str = ""  # the last that was read to its end
    inside: str = ""  # the one after it that is being read
    piece: int = 0  # of that, those before it have been read
    done: int = 0
    due: int = 0  # about as much as there was when the round began
    read: int = 0
    blobs: int = 0
    found: dict[str, int] = field(default_factory=dict)  # piece, blob, row, leftover

    @property
    def under_way(self) -> bool:
        return self.began > self.ended

    def next(self, every: float, now: float) -> float:
        """When there is something to do; `every` in seconds. A clock that went back does not put it off."""
        if self.under_way or self.ended > now:
            return now
        return self.ended + every if self.ended else min(self.first, now + every)


class StateFile:
    def __init__(self, cache: Path) -> None:
        self._directory = cache / "scrub"
        self._file = self._directory / "state.json"

    def read(self) -> State:
        try:
            raw = json.loads(self._file.read_bytes())
            good = {f.name: raw[f.name] for f in fields(State) if type(raw[f.name]) is type(getattr(State(), f.name))}
            sound = len(good) == len(raw) and all(type(count) is int for count in raw["found"].values())
            return State(**good) if sound else State()
        except (OSError, ValueError, TypeError, KeyError):
            return State()

    def write(self, state: State) -> None:
        """Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self._file.with_name(f"state.{os.getpid()}")
        try:
            aside.write_text(json.dumps(asdict(state)))
            os.replace(aside, self._file)
        except OSError:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether this process may read now; another one that does so keeps it until it ends, or dies."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._directory / "lock", "wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
