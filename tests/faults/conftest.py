"""A disk that is small: a file system of its own where one may be mounted, else a limit on what a process may write."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import asking, invariants
from tests.faults.nursery import Nursery
from tests.faults.refusing import Refusing, refusing_disk
from tests.hub import TestHub
from tests.processes import COMMAND, Hubgate, configuration, to_hub


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


@pytest.fixture
def refusing() -> Iterator[Refusing]:
    """Stores are like that while the test lasts."""
    with refusing_disk() as made:
        yield made


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where tests that kill often have their processes from."""
    with Nursery() as made:
        yield made


@pytest.fixture(scope="module")
def hasty(shared_hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubgate]:
    """One process for a module, which waits for nothing longer than two seconds, and asks again each time. At the end
    it has let go of all that it held, and what it leaves on the disk is sound."""
    yield from _standing(shared_hub, tmp_path_factory.mktemp("hasty"), connect_timeout="2s", stall_timeout="2s")


@pytest.fixture(scope="module")
def patient(shared_hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubgate]:
    """As `hasty`, for tests that hold the hub back until something has happened, however long that takes."""
    yield from _standing(shared_hub, tmp_path_factory.mktemp("patient"), connect_timeout="20s", stall_timeout="60s")


def _standing(hub: TestHub, folder: Path, **limits: str) -> Iterator[Hubgate]:
    upstream = to_hub(hub, connections_per_file=3, **limits)
    keys = {"hubs": {"others": ["plain.example"]}, "freshness": {"ref": "0s", "api": "0s", "not_found": "0s"}}
    with Hubgate(configuration(folder, hub, upstream=upstream, **keys)) as proxy:
        proxy.ask("https://huggingface.co/acme/tiny/resolve/main/config.json")
        before = invariants.Footprint.of(proxy.pid)
        yield proxy
        asking.settled(proxy)
        assert proxy.asked_admin("/healthz").json == {"status": "ok", "reasons": []}
        before.restored(timeout=150, spare=64)  # a connection to the hub is kept for half a minute, or for twice that
        assert proxy.stop() == 0
        assert "Traceback" not in proxy.told, proxy.told
    invariants.settled(proxy.cache)
