from __future__ import annotations

import os
import resource
from pathlib import Path

import diskcache
import pytest

from proxy_addon.store.disk import BytesDisk, UntrustedRow


class Touches:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.path}",)


def cache(directory: Path, **settings: object) -> diskcache.Cache:
    return diskcache.Cache(str(directory), disk=BytesDisk, **settings)


@pytest.mark.parametrize("in_file", [False, True])
def test_a_planted_pickle_value_raises_and_is_not_run(tmp_path: Path, in_file: bool) -> None:
    trace = tmp_path / "trace"
    with diskcache.Cache(str(tmp_path / "c"), disk_min_file_size=0 if in_file else 1 << 20) as planter:
        planter["k"] = Touches(trace)
    with cache(tmp_path / "c") as ours, pytest.raises(UntrustedRow):
        ours.get("k")
    assert not trace.exists()


def test_a_planted_pickle_key_raises_and_is_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with diskcache.Cache(str(tmp_path / "c")) as planter:
        planter[(Touches(trace),)] = b"v"
    with cache(tmp_path / "c") as ours, pytest.raises(UntrustedRow):
        list(ours)
    assert not trace.exists()


@pytest.mark.parametrize("value", ["text", 1, 1.5, None, ("t",)])
def test_only_bytes_go_in(tmp_path: Path, value: object) -> None:
    with cache(tmp_path / "c") as ours, pytest.raises(TypeError):
        ours["k"] = value


@pytest.mark.parametrize("key", [b"bytes", 1, 1.5, None, ("t",)])
def test_only_text_is_a_key(tmp_path: Path, key: object) -> None:
    with cache(tmp_path / "c") as ours, pytest.raises(TypeError):
        ours[key] = b"v"


@pytest.mark.parametrize("planted", ["text", 1, 1.5])
def test_a_row_of_another_type_raises(tmp_path: Path, planted: object) -> None:
    with diskcache.Cache(str(tmp_path / "c")) as planter:
        planter["k"] = planted
    with cache(tmp_path / "c") as ours, pytest.raises(UntrustedRow):
        ours.get("k")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "ab/cd/../../../../secret", "ab/cd/x.val"])
def test_a_row_cannot_name_a_file_elsewhere(tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"s")
    with cache(tmp_path / "c", disk_min_file_size=0) as ours:
        ours["k"] = b"v"
        ours._sql("UPDATE Cache SET filename = ?", (name,))
        with pytest.raises(UntrustedRow):
            ours.get("k")
        del ours["k"]
    assert secret.read_bytes() == b"s"


@pytest.mark.parametrize("at", [0, 5, -1])
def test_a_flipped_bit_in_a_row_raises(tmp_path: Path, at: int) -> None:
    with cache(tmp_path / "c") as ours:
        ours["k"] = b"some value"
        ((value,),) = ours._sql("SELECT value FROM Cache").fetchall()
        broken = bytearray(value)
        broken[at] ^= 1
        ours._sql("UPDATE Cache SET value = ?", (bytes(broken),))
        with pytest.raises(UntrustedRow):
            ours.get("k")


@pytest.mark.parametrize("value", [b"", b"x", bytes(1 << 20), memoryview(b"abc"), bytearray(b"abc")])
@pytest.mark.parametrize("threshold", [0, 1 << 30])
def test_bytes_come_back(tmp_path: Path, value: bytes, threshold: int) -> None:
    with cache(tmp_path / "c", disk_min_file_size=threshold) as ours:
        ours["k"] = value
        assert ours["k"] == bytes(value)


def test_a_refused_write_leaves_no_file(tmp_path: Path) -> None:
    disk = BytesDisk(str(tmp_path), min_file_size=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(OSError):
            disk.store(bytes(1 << 20), False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
