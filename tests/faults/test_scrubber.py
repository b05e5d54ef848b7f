"""The scrubber as a process: killed, stopped, without a server, without a place to write."""

from __future__ import annotations

import json
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy_addon.config import Settings
from proxy_addon.scrub import State, StateFile
from proxy_addon.scrubber import BUSY
from proxy_addon.store.local import DiskStore
from tests.contracts.samples import MIB, content, fill, read_all
from tests.faults.surgeon import flip
from tests.hub import TestHub
from tests.processes import ROOT, Hubgate, configuration, hubgate

SIZES = {f"blob-{n}": 3 * MIB + n for n in range(12)}
URL = "https://huggingface.co/acme/tiny/resolve/main/old.bin"


@pytest.fixture
async def cache(tmp_path: Path) -> Path:
    store = DiskStore(tmp_path / "cache", 256 * MIB, MIB)
    await store.open()
    for name, size in SIZES.items():
        await fill(store.blobs, name, content(name, size))
    await store.close()
    return tmp_path / "cache"


def scrubber(cache: Path, rate: float) -> subprocess.Popen[bytes]:
    settings = Settings.model_validate({"cache": {"dir": cache, "size": 256 * MIB, "scrub_rate": rate}})
    made = subprocess.Popen(
        [sys.executable, "-m", "proxy_addon.scrubber"], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert made.stdin is not None
    made.stdin.write(pickle.dumps(settings))
    made.stdin.flush()
    return made


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """(status, what it said); its input stays open until it ends by itself."""
    assert process.stderr is not None and process.stdin is not None
    said = process.stderr.read().decode()
    process.stdin.close()
    return process.wait(30), said


def until(true: Callable[[], bool], what: str, limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


async def sound(cache: Path) -> None:
    store = DiskStore(cache, 256 * MIB, MIB)
    await store.open()
    for name, size in SIZES.items():
        manifest = await store.blobs.manifest(name)
        assert manifest is not None and await read_all(store.blobs, manifest) == content(name, size)
    await store.close()


async def test_killed_it_goes_on_where_it_was(cache: Path) -> None:
    file, total = StateFile(cache), sum(SIZES.values())
    process = scrubber(cache, 2 * MIB)
    until(lambda: file.read().read > 0, "nothing was read")
    process.kill()
    assert ended(process)[0] == -signal.SIGKILL
    left = file.read()
    assert left.under_way and 0 < left.done < total
    process = scrubber(cache, 1e9)
    status, said = ended(process)
    state = file.read()
    assert status == 0 and "all of the cache was read" in said, said
    assert state.began == left.began and not state.under_way and state.blobs == len(SIZES)
    assert total <= state.done < total + 4 * MIB, "what was read is not read again, but the piece that was under way"
    await sound(cache)


@pytest.mark.parametrize("how", ["input", "SIGTERM"])
async def test_told_to_end_it_does_in_the_midst_of_waiting(cache: Path, how: str) -> None:
    process, file = scrubber(cache, 1000), StateFile(cache)
    assert process.stdin is not None
    until(lambda: file.read().under_way, "it did not begin")
    if how == "input":
        process.stdin.close()
        status = process.wait(30)
    else:
        process.terminate()
        status, _ = ended(process)
    assert process.stderr is not None
    process.stderr.close()
    assert status == 0 and file.read().under_way


async def test_two_do_not_read_the_same_cache(cache: Path) -> None:
    first = scrubber(cache, 1000)
    until(lambda: StateFile(cache).read().under_way, "it did not begin")
    assert ended(scrubber(cache, 1e9))[0] == BUSY
    first.kill()
    ended(first)
    assert ended(scrubber(cache, 1e9))[0] == 0, "who was killed holds nothing"


async def test_no_place_for_its_state_is_told_in_a_line(cache: Path) -> None:
    (cache / "scrub").write_text("in the way")
    status, said = ended(scrubber(cache, 1e9))
    assert status == 1 and "Traceback" not in said and "File exists" in said
    await sound(cache)


def test_beside_a_server(hub: TestHub, tmp_path: Path) -> None:
    keys = {"dir": str(tmp_path / "h/cache"), "size": "4GB", "memory": "0B", "scrub": "1s", "scrub_rate": "50MB/s"}
    with Hubgate(configuration(tmp_path / "h", hub, cache=keys)) as proxy:
        body = proxy.ask(URL).body
        until(lambda: proxy.metrics()["hubgate_scrub_read_bytes_total"] >= len(body), "it was not read")
        assert json.loads(proxy.asked_admin("/healthz").body)["status"] == "ok"
        (piece,) = [p for p in proxy.cache.glob("pieces/??/*/*.val") if p.stat().st_size == len(body)]
        flip(piece, random.Random(1))
        until(lambda: proxy.metrics()['hubgate_scrub_found_total{what="piece"}'] == 1, "it was not found")
        until(lambda: proxy.metrics()['hubgate_quarantine_entries{by="scrub"}'] == 1, "it was not set aside")
        ill = hubgate("cache", "quarantine", "ls", "--json", "--config", str(proxy.config))
        (entry,) = json.loads(ill.stdout)
        assert entry["by"] == "scrub" and entry["size"] == len(body)
        assert "the scrubber found damage" in proxy.asked_admin("/").body.decode()
        assert proxy.ask(URL).body == body and proxy.ask(URL).body == body
        assert hub.bodies_of(hub.digest("acme/tiny", "old.bin")) == 2, "fetched again, once"
        gone = hubgate("cache", "quarantine", "rm", "--all", "--config", str(proxy.config))
        assert gone.returncode == 0
        until(lambda: b"scrubber found" not in proxy.asked_admin("/").body, "it stays ill")
        assert proxy.stop() == 0


def test_a_server_that_is_killed_leaves_no_scrubber(hub: TestHub, tmp_path: Path) -> None:
    cache = tmp_path / "h/cache"
    keys = {"dir": str(cache), "size": "4GB", "scrub": "1h", "scrub_rate": "1kB/s"}
    with Hubgate(configuration(tmp_path / "h", hub, cache=keys)) as proxy:
        assert proxy.ask(URL).status in (200, 302)
        assert proxy.stop() == 0
    file = StateFile(cache)
    file.write(State(first=1.0))  # long due
    with Hubgate(configuration(tmp_path / "h", hub, cache=keys)) as proxy:
        until(lambda: file.read().under_way, "it did not begin")
        proxy.kill()

        def free() -> bool:
            with file.alone() as alone:
                return alone

        until(free, "it still holds the lock")
