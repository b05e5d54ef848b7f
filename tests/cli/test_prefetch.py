"""`hubgate prefetch` as people run it: processes, a terminal, ^C, a proxy beside it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from proxy_addon.cli.main import run
from proxy_addon.cli.progress import EVERY, Lines
from proxy_addon.hub.resources import File
from proxy_addon.hub.targets import target
from proxy_addon.prefetch import Item, State
from proxy_addon.store.contract import PIECE
from proxy_addon.store.local import DiskStore
from tests.hub import TestHub
from tests.processes import COMMAND, Process, configuration, hubgate

CDN = "cdn-lfs*"


@pytest.fixture
def config(tmp_path: Path, hub: TestHub) -> Path:
    hub.clear()
    return configuration(tmp_path, hub)


@pytest.fixture
def said(config: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[str, str]]]:
    def say(*arguments: str, code: int = 0) -> tuple[str, str]:
        assert run(["prefetch", *arguments, "--config", str(config)]) == code
        told = capsys.readouterr()
        return told.out, told.err

    yield say


def test_a_dry_run_lists_and_fetches_nothing(hub: TestHub, said: Callable[..., tuple[str, str]]) -> None:
    out, _ = said("hf:acme/tiny", "--dry-run", "--include", "*.json", "--include", "old.bin", "--exclude", "token*")
    assert [line.split()[1] for line in out.splitlines()] == ["file", "config.json", "old.bin", "files,"]
    assert out.endswith("2 files, 1.5 MB; missing: 1.5 MB\n") and hub.requests(host=CDN) == []
    out, _ = said("hf:acme/tiny", "--dry-run", "--json")
    told = json.loads(out)
    assert told["count"] == {"here": 0, "fetched": 0, "missing": 9, "failed": 0} and len(told["files"]) == 9


def test_targets_come_from_a_file_too(hub: TestHub, said: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    listed = tmp_path / "set.txt"
    listed.write_text("# our set\nhf:acme/tiny@v1  # pinned\n\nhf:datasets/acme/tiny-ds\n")
    out, err = said("--from", str(listed), "--json", "--pin")
    told = json.loads(out)
    assert {file["target"] for file in told["files"]} == {"hf:acme/tiny@v1", "hf:datasets/acme/tiny-ds"}
    assert told["count"]["fetched"] == 12 and told["fetched"] == told["bytes"] and not told["errors"]
    assert "fetched  hf:acme/tiny@v1: old.bin, 1.5 MB" in err


def test_targets_come_by_a_pipe_too(said: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hf:datasets/acme/tiny-ds\n"))
    assert "0 were here, 3 fetched (256 bytes)" in said("--from", "-")[0]


def test_a_large_file_is_heard_of_now_and_then() -> None:
    out, passed = io.StringIO(), iter((0.0, EVERY - 1, EVERY + 1, 2 * EVERY, 2 * EVERY + 2))
    item = Item(target("hf:a/b"), File(target("hf:a/b").repo, "c" * 40, "w[1].bin"), 10_000_000, "", lacks=10_000_000)
    lines = Lines(Console(file=out, markup=False, width=200), passed.__next__)
    for _ in range(5):
        item.done += 2_000_000
        lines.advanced(item, 2_000_000)
    item.state = State.FETCHED
    lines.ended(item)
    assert [line.strip() for line in out.getvalue().splitlines()] == [
        "w[1].bin: 6.0 MB of 10.0 MB",
        "w[1].bin: 10.0 MB of 10.0 MB",
        "fetched  hf:a/b: w[1].bin, 10.0 MB",
    ]


def test_what_cannot_be_had_exits_1_and_the_rest_comes(hub: TestHub, said: Callable[..., tuple[str, str]]) -> None:
    hub.knob(path="/acme/tiny/resolve/*/vocab.txt", status=404)
    out, err = said("hf:acme/tiny", "hf:acme/nope", code=1)
    assert "hf:acme/nope: there is no such repo" in err and "hf:acme/tiny: vocab.txt: " in err
    assert "0 were here, 8 fetched" in out and "1 failed; 1 of what was named cannot be had" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--from"),
        (["acme/tiny"], "hf:org/name"),
        (["ms:tiny", "hf:acme/tiny"], "ms:org/name"),
        (["hf:acme/tiny", "--type", "studio"], "no studios"),
        (["hf:acme/tiny", "--every", "5m"], "--watch"),
        (["hf:acme/tiny", "--watch", "--every", "5"], "5m"),
        (["hf:acme/tiny", "--watch", "--every", "0"], "between"),
        (["hf:acme/tiny", "--watch", "--dry-run"], "dry-run"),
        (["--watch"], "lists none"),
        (["hf:acme/tiny", "--jobs", "0"], "jobs"),
        (["hf:acme/tiny", "--type", "modell"], "modell"),
        (["--from", "/nonexistent"], "cannot be read"),
    ],
)
def test_wrong_use_exits_2(arguments: list[str], told: str, said: Callable[..., tuple[str, str]]) -> None:
    out, err = said(*arguments, code=2)
    assert told in err and out == ""


def test_a_set_larger_than_the_cache_is_refused(
    hub: TestHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add_synthetic("acme/large", "w.bin", 50_000_000)
    config = configuration(tmp_path, hub, cache={"dir": str(tmp_path / "c"), "size": "40MB", "memory": "8MB"})
    assert run(["prefetch", "hf:acme/large", "--config", str(config)]) == 1
    assert "the set has 50.0 MB, cache.size is 40.0 MB" in capsys.readouterr().err
    assert hub.requests(host=CDN) == []


@pytest.mark.parametrize("kind", ["huggingface", "modelscope"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_leaves_all_that_came(hub: TestHub, config: Path, number: signal.Signals, kind: str) -> None:
    digest = hub.add_synthetic("acme/large", "w.bin", 10 * PIECE, hub=kind)
    hub.knob(host=CDN, skip=4, hold="rest")
    name = {"huggingface": "hf:acme/large", "modelscope": "ms:acme/large"}[kind]
    command = [*COMMAND, "prefetch", name, "--config", str(config)]
    with Process(command) as process:
        process.wait_for("1 file, ")
        hub.wait(5, host=CDN)
        pieces(config, f"sha256:{digest}", 4)
        process.signal(number)
        assert process.wait() == {signal.SIGINT: 130, signal.SIGKILL: -9}[number], process.told
    assert "Traceback" not in process.told
    assert ("run the same again" in process.told) == (number is signal.SIGINT)
    hub.release("rest")
    hub.reset()
    done = hubgate("prefetch", name, "--config", str(config))
    assert done.returncode == 0 and "1 fetched (25.2 MB)" in done.stdout, done.stderr
    assert hub.bytes_sent(host=CDN) == 6 * PIECE


def test_a_disk_that_has_no_more_room_for_a_pin_is_told_in_a_line(hub: TestHub, config: Path) -> None:
    hub.knob(host=CDN, hold="rest")
    with Process([*COMMAND, "prefetch", "hf:acme/tiny", "--pin", "--config", str(config)]) as process:
        hub.wait(1, host=CDN)
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))
        hub.release("rest")
        assert process.wait() == 1, process.told
    assert "the cache cannot be written" in process.told and "Traceback" not in process.told


def pieces(config: Path, blob: str, count: int) -> None:
    """Wait until so many pieces are on disk."""
    asyncio.run(_pieces(config, blob, count))


async def _pieces(config: Path, blob: str, count: int) -> None:
    store = DiskStore(config.parent / "cache", 4_000_000_000, 1_000_000)
    await store.open()
    try:
        async with asyncio.timeout(60):
            while len(await store.blobs.present(blob)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # written by another process: there is no event
    finally:
        await store.close()


def test_a_terminal_gets_bars(hub: TestHub, config: Path) -> None:
    hub.knob(host=CDN, path="*", hold="all", hold_at=1_000_000)
    ours, theirs = pty.openpty()
    command = [*COMMAND, "prefetch", "hf:acme/tiny", "--config", str(config)]
    process = subprocess.Popen(command, stdout=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"})
    os.close(theirs)
    text = b""
    while b"old.bin" not in text or b"in all" not in text:
        text += os.read(ours, 4096)
    hub.release("all")
    while b"9 fetched" not in text:
        text += os.read(ours, 4096)
    os.close(ours)
    assert process.wait(20) == 0
    assert "━".encode() in text and b"MB" in text
