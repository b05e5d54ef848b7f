"""Where the text of rule files comes from: the disk, or texts that were kept.

Rules may lie where others write too. So nothing here waits (a pipe is not opened), nothing is read that is not a plain
file, and what is read has bounds. What ends in .yaml and cannot be read is a fault, never passed over: the rule that
is not seen is the one that somebody relies on. The disk's reader remembers what it read and in which state that was,
as it was *before* reading: who compares with the state of later learns of every change that the texts do not have.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from ..written.strict_yaml import MAX_BYTES

ENDINGS = (".yaml", ".yml")
MAX_FILES = 1000
MAX_TOTAL = 16 * 1024 * 1024  # bytes of all files together
_NOT_PLAIN = "is no plain file; put one in its place, or remove it"
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

type State = Hashable


class Unreadable(Exception):
    """What is wrong with a path, and the fix."""


class Reader(Protocol):
    def files(self, path: Path) -> Sequence[Path]:
        """The rule files that a configured path stands for. Raises Unreadable."""

    def same(self, path: Path) -> Path:
        """A name that is equal for two paths to one file."""

    def text(self, path: Path) -> bytes:
        """What is in a file, MAX_BYTES and one byte more at most. Raises Unreadable."""


class Texts:
    """A reader of texts that are here already."""

    def __init__(self, texts: Mapping[Path, bytes]) -> None:
        self._texts = texts

    def files(self, path: Path) -> Sequence[Path]:
        return (path,)

    def same(self, path: Path) -> Path:
        return path

    def text(self, path: Path) -> bytes:
        if path not in self._texts:
            raise Unreadable("was not kept; keep it together with the rest")
        return self._texts[path]


class Disk:
    """A reader for one load. `optional`: a configured path that is not there stands for no file."""

    def __init__(self, *, optional: bool = False) -> None:
        self.states: dict[str, State] = {}
        self.texts: dict[Path, bytes] = {}
        self.failed = False  # something could not be read: that may mend itself without any change of state
        self._optional = optional
        self._files = self._bytes = 0

    def files(self, path: Path) -> Sequence[Path]:
        return tuple(map(Path, self.found(str(path))))

    def found(self, path: str) -> Sequence[str]:
        """As `files`; every look does this, and a Path costs three times as much as a stat."""
        try:
            found = os.stat(path)
            if not stat.S_ISDIR(found.st_mode):
                self.mark(path)
                return (path,)
            inside = _inside(path)
        except FileNotFoundError as error:
            self.states.setdefault(path, error.errno)
            if self._optional and not os.path.lexists(path):
                return ()
            raise self._unreadable(error, "name rule files or a directory of them") from None
        except (OSError, ValueError) as error:
            self.states.setdefault(path, getattr(error, "errno", None))
            raise self._unreadable(error, "name rule files or a directory of them") from None
        self.states.setdefault(path, (found.st_dev, found.st_ino, *inside))
        self._files += len(inside)
        if self._files > MAX_FILES:
            raise Unreadable(f"there are over {MAX_FILES} rule files; put rules together in fewer")
        for each in inside:
            self.mark(each)
        return inside

    def same(self, path: Path) -> Path:
        return Path(os.path.realpath(path))

    def text(self, path: Path) -> bytes:
        self.mark(str(path))
        try:
            data = contents(path, MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise self._unreadable(error, "make it readable to this user, or remove it") from None
        self._bytes += len(data)
        if self._bytes > MAX_TOTAL:
            raise Unreadable(f"with it all files have over {MAX_TOTAL} bytes together; leave out what is not needed")
        self.texts[path] = data
        return data

    def mark(self, path: str) -> None:
        """The first look counts: what is read after it may be newer, never older."""
        if path not in self.states:
            self.states[path] = _state(path)

    def _unreadable(self, error: OSError | ValueError, fix: str) -> Unreadable:
        self.failed = True
        return Unreadable(f"cannot be read: {getattr(error, 'strerror', None) or error}; {fix}")


def states(paths: Iterable[Path], others: Iterable[str], *, optional: bool) -> dict[str, State]:
    """As a `Disk` that reads configured paths and `others` now would find them."""
    looking = Disk(optional=optional)
    for path in paths:
        with contextlib.suppress(Unreadable):
            looking.found(str(path))
    for other in others:
        looking.mark(other)
    return looking.states


def _inside(path: str) -> tuple[str, ...]:
    with os.scandir(path) as entries:
        names = (each.path for each in entries if each.name.endswith(ENDINGS) and each.name[0] != ".")
        return tuple(sorted(islice(names, MAX_FILES + 1)))


def _state(path: str) -> State:
    """A change of content, of permissions or of the file behind the name is another state; ctime cannot be set back."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        return getattr(error, "errno", None)
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def contents(path: Path, limit: int) -> bytes:
    """Of a plain file, `limit` bytes at most. Raises OSError, ValueError for what is no path, Unreadable."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: opening a device may do something
        raise Unreadable(_NOT_PLAIN)
    fd = os.open(path, _FLAGS)
    with open(fd, "rb") as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable(_NOT_PLAIN)
        return stream.read(limit)
