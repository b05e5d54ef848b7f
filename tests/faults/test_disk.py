"""A disk that is full, or a cache directory that is gone: it costs the cache, never the download."""

from __future__ import annotations

import contextlib
import hashlib
import json
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Small
from tests.faults.test_scrubber import until
from tests.hub import Repo, Synthetic, TestHub
from tests.processes import Hubgate, configuration, hubgate

H = "https://huggingface.co/acme/large/resolve/main"
SIZES = {"0.bin": 24_000_000, "1.bin": 24_000_000, "2.bin": 60_000_000}


@pytest.fixture
def digests(hub: TestHub) -> dict[str, str]:
    files = {path: Synthetic(size, n) for n, (path, size) in enumerate(SIZES.items())}
    repo = hub.add(Repo("acme/large", "model", files=files, storage=dict.fromkeys(files, "lfs")))
    return {path: repo.file(path).digest for path in files}


def right(proxy: Hubgate, digests: dict[str, str]) -> bool:
    """Every file comes whole and as it is at the hub."""
    for path, digest in digests.items():
        answer = proxy.ask(f"{H}/{path}")
        assert answer.status == 200 and hashlib.sha256(answer.body).hexdigest() == digest
    return True


def health(proxy: Hubgate) -> dict[str, Any]:
    try:
        return dict(proxy.asked_admin("/healthz").json)
    except urllib.error.HTTPError as ill:
        return dict(json.load(ill))


@pytest.mark.fault("R7")
def test_a_full_disk(hub: TestHub, tmp_path: Path, small: Small, digests: dict[str, str]) -> None:
    keys = {"dir": str(small.directory / "cache"), "size": "4GB", "memory": "1MB"}
    config = configuration(tmp_path / "h", hub, cache=keys)
    with Hubgate(config, command=small.command) as proxy:
        for _ in range(2):
            assert right(proxy, digests)
        assert "cache cannot be written" in str(health(proxy)["reasons"])
        small.lift(proxy.pid)
        assert right(proxy, digests) and right(proxy, digests)
        hub.clear()
        assert right(proxy, digests)
        assert hub.bytes_sent() < 1_000_000, "later fills work"
        assert health(proxy) == {"status": "ok", "reasons": []}
        assert proxy.stop() == 0
        assert "Traceback" not in proxy.told
    assert hubgate("cache", "verify", "--config", str(config)).returncode == 0


@pytest.mark.fault("R7", tries=2)
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ended"])
def test_a_disk_that_is_full_at_the_start(
    hub: TestHub, tmp_path: Path, small: Small, digests: dict[str, str], killed: bool
) -> None:
    keys = {"dir": str(small.directory / "cache"), "size": "4GB", "memory": "1MB"}
    config, url = (
        configuration(tmp_path / "h", hub, cache=keys),
        "https://huggingface.co/acme/tiny/resolve/main/old.bin",
    )
    with Hubgate(config) as proxy:
        known = proxy.ask(url).body
        proxy.kill() if killed else proxy.stop()
    with (small.directory / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        for _ in range(1 << 14):
            ballast.write(bytes(1 << 12))
    hub.clear()
    with Hubgate(config) as proxy:
        assert proxy.ask(url).body == known and hub.requests() == []
        assert right(proxy, {"0.bin": digests["0.bin"]}) and proxy.stop() == 0


def gone(cache: Path) -> None:
    """Taken away, and something in its place that no directory can be made in: for root too."""
    cache.rename(cache.with_name("away"))
    cache.write_text("in the way")


def emptied(cache: Path) -> None:
    for path in sorted(cache.rglob("*"), reverse=True):
        path.unlink() if not path.is_dir() else path.rmdir()


@pytest.mark.fault("R8")
@pytest.mark.parametrize("take", [gone, emptied])
def test_a_cache_directory_that_is_taken_away(
    hub: TestHub, tmp_path: Path, digests: dict[str, str], take: Callable[[Path], None]
) -> None:
    with Hubgate(configuration(tmp_path / "h", hub)) as proxy:
        assert right(proxy, digests)
        take(proxy.cache)
        assert right(proxy, digests) and right(proxy, digests)
        back = {gone: "degraded", emptied: "ok"}
        until(lambda: health(proxy)["status"] == back[take], "its health does not tell")
        assert proxy.stop() == 0
        assert "Traceback" not in proxy.told


@pytest.mark.fault("R8")
def test_a_directory_that_cannot_be_used_is_told_at_the_start(hub: TestHub, tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "cache").write_text("in the way")
    done = hubgate("serve", "--config", str(configuration(tmp_path / "h", hub)))
    assert done.returncode == 2 and "cache.dir" in done.stderr and "Traceback" not in done.stderr
