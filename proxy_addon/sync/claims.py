"""Which repos the servers on one cache directory list in their configurations, so that none lets go what another wants.

Each server has a file that it holds locked as long as it lives: one that can be locked is of a server that has ended,
and is removed.
"""

from __future__ import annotations

import fcntl
import json
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_SUFFIX = ".claim"


class Claims:
    """Any process, any thread; raises OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mine: IO[str] | None = None

    def close(self) -> None:
        if self._mine is not None:
            Path(self._mine.name).unlink(missing_ok=True)
            self._mine.close()
            self._mine = None

    def stake(self, repos: Collection[str]) -> None:
        """This process lists these, until `close` or its end."""
        self.close()
        with self._alone():
            self._living()
            self._mine = tempfile.NamedTemporaryFile("w", suffix=_SUFFIX, dir=self._directory, delete=False)  # noqa: SIM115
            fcntl.flock(self._mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
            json.dump(sorted(repos), self._mine)
            self._mine.flush()

    def others(self) -> set[str]:
        """What other processes list that are alive."""
        with self._alone():
            return self._living()

    def _living(self) -> set[str]:
        found = set[str]()
        for path in self._directory.glob(f"*{_SUFFIX}"):
            if self._mine is not None and str(path) == self._mine.name:
                continue
            with open(path) as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                except BlockingIOError:
                    found.update(json.load(file))
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with open(self._directory / "claims.lock", "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
