"""A disk that is small: a file system of its own where one may be mounted, else a limit on what a process may write."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.nursery import Nursery
from tests.processes import COMMAND


@dataclass(frozen=True)
class Small:
    directory: Path
    command: Sequence[str]  # how hubgate is started on it
    lift: Callable[[int], None]  # from now on the process of this id has room


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """Room for less than 40 MB."""
    at = tmp_path / "small"
    at.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(at)], capture_output=True)
    if mounted.returncode:  # not allowed: no file may grow past 2 MB, which no piece of 4 MiB fits in
        limited = ["bash", "-c", 'ulimit -S -f 2048; exec "$@"', "bash", *COMMAND]
        yield Small(at, limited, lambda pid: _run("prlimit", "--pid", str(pid), "--fsize=unlimited:"))
    else:
        try:
            yield Small(at, COMMAND, lambda _: _run("mount", "-o", "remount,size=400m", str(at)))
        finally:
            _run("umount", "-l", str(at))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where tests that kill often have their processes from."""
    with Nursery() as made:
        yield made
