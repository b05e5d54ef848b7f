"""Where the cache lies, and what may happen to that place: it is full, or may not be written.

A file system of its own where one may be mounted: then it is really full, and a read-only mount over it refuses root as
well. Elsewhere no file of the processes may grow, and the directories lose their write permission.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

#: Bytes. Full it is on purpose only: pieces whose index was spoilt are left lying for ten minutes.
SIZE = 640_000_000
_STEPS = (1 << 20, 1 << 16, 1 << 12)


class Place:
    def __init__(self, folder: Path) -> None:
        self.root = folder / "disk"
        self.cache = self.root / "cache"
        self.root.mkdir()
        self.mounted = not _mount("-t", "tmpfs", "-o", f"size={SIZE}", "none", str(self.root))
        self.cache.mkdir(mode=0o700)

    @contextlib.contextmanager
    def full(self, pids: Iterable[int]) -> Iterator[None]:
        ballast, pids = self.root / "ballast", list(pids)
        try:
            if self.mounted:
                _fill(ballast)
            else:
                _limit(pids, 0)
            yield
        finally:
            ballast.unlink(missing_ok=True)
            if not self.mounted:
                _limit(pids, resource.RLIM_INFINITY)

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """For whatever is opened from now on."""
        if self.mounted:
            _mount("--bind", str(self.cache), str(self.cache))
            _mount("-o", "remount,bind,ro", str(self.cache))
        else:
            self._permit(0o500)
        try:
            yield
        finally:
            if self.mounted:
                subprocess.run(["umount", "-l", str(self.cache)], capture_output=True, check=True)
            else:
                self._permit(0o700)

    def _permit(self, mode: int) -> None:
        for folder in (self.cache, *(path for path in self.cache.rglob("*") if path.is_dir())):
            folder.chmod(mode)

    def close(self, keep: Path | None) -> None:
        """Nothing of it stays, but for a copy at `keep`."""
        if keep is not None and self.mounted:
            shutil.copytree(self.cache, keep, dirs_exist_ok=True)
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.root)], capture_output=True, check=False)


def _mount(*arguments: str) -> int:
    if os.geteuid() or not shutil.which("mount"):
        return 1
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode


def _fill(ballast: Path) -> None:
    with ballast.open("wb") as file:
        for step in _STEPS:
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), file.tell(), step)
                    file.seek(step, os.SEEK_CUR)


def _limit(pids: Iterable[int], size: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (min(size, hard) if hard >= 0 else size, hard))
