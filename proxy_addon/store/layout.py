"""What a cache directory looks like from outside, and whether it is one that this program may touch.

    FORMAT     the version of everything below; written first, once
    index/     stored responses, manifests, digests, small blobs
    pieces/    blobs in pieces
    reserve    room that is given up at a start on a full disk, and laid in again: no database opens without any

A directory of another format, older or newer, is refused as it is: a downgrade must not cost a team its cache.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from ..core.errors import ConfigError
from .contract import PIECE, UNIT

FORMAT = 1
ABANDONED = 3600.0  # seconds, after which nobody is still at its start
LEAST = 8 * PIECE  # bytes: below it, nothing much could be kept
RESERVE = PIECE  # bytes


def prepare(root: Path, size: int) -> None:
    """Make `root` ready, or raise ConfigError (what is wrong, and what to do) and leave it alone."""
    if size < LEAST:
        raise ConfigError(f"cache.size: {size} bytes is too little; give at least {LEAST // 2**20}MB")
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _claim(root)
        _probe(root)
        free = shutil.disk_usage(root).free
        _reserve(root, free)
    except OSError as error:
        raise ConfigError(f"cache.dir: {root} cannot be written ({error.strerror}); name another directory") from error
    if free < LEAST and not any(root.glob("pieces/??")):
        raise ConfigError(f"cache.dir: {root} has {free // 2**20} MB free; make room, or name another directory")


def _reserve(root: Path, free: int) -> None:
    """Give up the reserve where room is short; lay it in where there is plenty."""
    if free < RESERVE:
        (root / "reserve").unlink(missing_ok=True)
    elif free >= LEAST + RESERVE:
        with contextlib.suppress(OSError):
            lay_in(root)


def laid_in(root: Path) -> bool:
    return (root / "reserve").exists()


def lay_in(root: Path) -> None:
    """The reserve, if it is not there. Raises OSError, and then nothing of it is left."""
    file = root / "reserve"
    if laid_in(root):
        return
    try:
        file.write_bytes(bytes(RESERVE))
    except OSError:
        with contextlib.suppress(OSError):
            file.unlink()
        raise


def _claim(root: Path) -> None:
    mark, ours = root / "FORMAT", {"hubgate": FORMAT, "piece": PIECE, "unit": UNIT}
    try:
        found = json.loads(mark.read_bytes())
    except FileNotFoundError:
        found = None
    except ValueError:
        found = {"hubgate": "unreadable"}
    if found is None and not any((root / name / "cache.db").exists() for name in ("index", "pieces")):
        _write(mark, json.dumps(ours).encode())
    elif found != ours:
        version = found.get("hubgate", "?") if isinstance(found, dict) else "none"
        raise ConfigError(
            f"cache.dir: {root} has format {version}, this program writes format {FORMAT} and left it untouched; "
            "name another directory, or remove this one"
        )


def _write(path: Path, text: bytes) -> None:
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def _probe(root: Path) -> None:
    """Something can be written; what those have left who were killed just then is removed."""
    probe = root / f"probe.{os.getpid()}"
    probe.write_bytes(b"")
    before = probe.stat().st_mtime - ABANDONED  # by the clock of that disk
    probe.unlink()
    for aside in (*root.glob("probe.*"), *root.glob("FORMAT.*")):
        with contextlib.suppress(FileNotFoundError):
            if aside.stat().st_mtime < before:
                aside.unlink()
