"""The last good rules on disk: the texts of all files they were made of, under the paths they were read from.

One file, replaced whole or not at all, so that whoever is killed while writing leaves the old one or the new one; what
does not agree with its own digest counts as absent. Texts rather than anything compiled: FILE:LINE stays right, and
nothing that is read here is executed. It is no configuration: rules are edited where they are, never here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .reading import MAX_TOTAL, Unreadable, contents

NAME = "last-good"
_HEAD = re.compile(rb"hubgate rules 1 ([0-9a-f]{64})\n")
_MOST = 6 * MAX_TOTAL + 2 * 1024 * 1024  # bytes: JSON takes six for one at most
_ABANDONED = 3600.0  # seconds, after which nobody is still writing


@dataclass(frozen=True, slots=True)
class Kept:
    """`paths` are those of the configuration, absolute; `files` are the rule files among `texts`."""

    paths: frozenset[Path]
    files: tuple[Path, ...]
    texts: Mapping[Path, bytes]
    at: float = field(compare=False)  # UNIX time at which they were found to be good


def read(folder: Path) -> Kept | None:
    """None: there is none that is whole."""
    try:
        data = contents(folder / NAME, _MOST)
    except (OSError, Unreadable):
        return None
    head = _HEAD.match(data)
    if head is None or hashlib.sha256(body := data[head.end() :]).hexdigest().encode() != head[1]:
        return None
    try:
        told = json.loads(body)
        texts = {Path(path): text.encode() for path, text in told["texts"].items()}
        return Kept(frozenset(map(Path, told["paths"])), tuple(map(Path, told["files"])), texts, float(told["at"]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def write(folder: Path, kept: Kept) -> None:
    """Raises OSError, and the old one stays."""
    told = {
        "at": kept.at,
        "paths": sorted(map(str, kept.paths)),
        "files": [*map(str, kept.files)],
        "texts": {str(path): text.decode() for path, text in kept.texts.items()},
    }
    body = json.dumps(told).encode()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=folder, prefix=f"{NAME}.")  # of mode 0600
    try:
        with open(fd, "wb") as stream:
            stream.write(b"hubgate rules 1 %s\n" % hashlib.sha256(body).hexdigest().encode())
            stream.write(body)
            stream.flush()
            os.fsync(fd)
        os.replace(name, folder / NAME)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # the file is in its place
        _settle(folder)


def _settle(folder: Path) -> None:
    """The new name is on disk too; what others left half written is gone."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    now = (folder / NAME).stat().st_mtime  # by the clock of that disk
    for each in folder.glob(f"{NAME}.*"):
        if each.stat().st_mtime < now - _ABANDONED:
            each.unlink()
