"""What another user of the machine gets of a running proxy: no core dump of its processes, no file of the cache."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy_addon.scrub import State, StateFile
from tests.faults.test_canary import processes
from tests.faults.test_scrubber import until
from tests.hub import TestHub
from tests.processes import COMMAND, ROOT, Hubgate, configuration

URL = "https://huggingface.co/acme/tiny/resolve/main/"


def core_limit(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max core file size")).split()[4:6]


@pytest.fixture
def unlimited() -> Iterator[None]:
    """What is started now would dump its core, if it did nothing about it."""
    was = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (was[1], was[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, was)


def test_no_process_of_it_dumps_core(hub: TestHub, tmp_path: Path, unlimited: None) -> None:
    cache = {"dir": str(tmp_path / "h/cache"), "size": "4GB", "scrub": "1s", "scrub_rate": "1kB/s"}
    config = configuration(tmp_path / "h", hub, cache=cache, sync=["hf:acme/tiny"])
    (tmp_path / "h/cache").mkdir(mode=0o700)
    StateFile(tmp_path / "h/cache").write(State(first=1.0))  # long due
    with Hubgate(config) as proxy:
        proxy.ask(URL + "old.bin")

        def modules() -> dict[str, list[str]]:
            found = {
                pid: Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in processes(proxy.pid)
            }
            return {line[line.index("-m") + 1]: core_limit(pid) for pid, line in found.items() if "-m" in line}

        beside = {"proxy_addon.background", "proxy_addon.scrubber"}
        until(lambda: beside <= set(modules()), "they were not started")
        assert [core_limit(proxy.pid), *modules().values()] == [["1", "1"]] * 3


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_leaves_no_core(hub: TestHub, tmp_path: Path, unlimited: None, number: signal.Signals) -> None:
    """In its working directory, which is where systems put it that have no program for it."""
    (tmp_path / "there").mkdir()
    command = [*COMMAND, "serve", "--config", str(configuration(tmp_path / "h", hub))]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path / "there", env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any("hubgate listens on" in line for line in process.stderr)
    assert core_limit(process.pid) == ["1", "1"]
    process.send_signal(number)
    process.stderr.close()
    assert process.wait(60) == -number
    assert os.listdir(tmp_path / "there") == []


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_nobody_else_reads_what_it_writes(hub: TestHub, tmp_path: Path, mask: int) -> None:
    """Whatever the umask, and also below a directory that was there before and is open to all."""
    (tmp_path / "h/cache").mkdir(parents=True)
    (tmp_path / "h/cache").chmod(0o755)
    was = os.umask(mask)
    try:
        running = Hubgate(configuration(tmp_path / "h", hub, sync=["hf:acme/tiny"]))
    finally:
        os.umask(was)
    with running as proxy:
        for path in ("old.bin", "config.json", "model.safetensors"):
            assert proxy.ask(URL + path).status == 200
        assert proxy.stop() == 0
    open_to_others = {
        str(path.relative_to(proxy.cache))
        for path in proxy.cache.rglob("*")
        if path.stat().st_mode & 0o077 and not any(up.stat().st_mode & 0o077 == 0 for up in path.parents)
    }
    assert open_to_others <= {"FORMAT"}, "which says which version this is"
    assert (tmp_path / "h/access.log").stat().st_mode & 0o777 == 0o640
    keys = [path for path in proxy.ca.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert keys and {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    assert proxy.ca.stat().st_mode & 0o777 == 0o700


def test_a_cache_directory_of_its_own_is_closed(hub: TestHub, start: Callable[..., Hubgate]) -> None:
    assert start().cache.stat().st_mode & 0o777 == 0o700
