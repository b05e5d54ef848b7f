"""The process that scans: kept, confined, and whatever becomes of it the answer is `unknown`, never clean."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy_addon.scan import Command, Findings, Limits, Piece, Scanner, picklescan
from proxy_addon.scan.contract import as_json, from_json
from proxy_addon.scan.opinions import run
from proxy_addon.scan.scanning import AT_FIRST, COMMAND, WAITED
from tests.engine.rig import until

from . import made
from .judging import judged, scanned

GOOD = made.torch_file(made.state_dict({"w": 12}))


def kept(directory: Path, data: bytes, size: int = 100) -> list[Piece]:
    """As pieces of `size` bytes, each in the middle of a file of its own."""
    pieces = []
    for number, at in enumerate(range(0, len(data), size)):
        part = data[at : at + size]
        path = directory / f"piece{number}"
        path.write_bytes(b"before" + part + b"after")
        pieces.append(Piece(str(path), 6, len(part)))
    return pieces


@contextlib.asynccontextmanager
async def scanner(**how: object) -> AsyncIterator[Scanner]:
    made = Scanner(**how)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.close()


def script(tmp_path: Path, text: str) -> tuple[str, ...]:
    file = tmp_path / "worker.py"
    file.write_text(text)
    return (sys.executable, "-I", str(file))


async def test_pieces_are_one_file(tmp_path):
    async with scanner() as scans:
        found = await scanned(scans, kept(tmp_path, GOOD), "pytorch_model.bin", made.TORCH)
        assert (found.state, found.kind, found.why) == ("clean", "pickle", "")
        evil = kept(tmp_path, made.torch_file(made.payload("os", 2)))
        found = await scanned(scans, evil, "x.safetensors", made.TORCH)
        assert found.state == "found" and found.why.startswith("would import os.system")


async def test_a_process_is_kept_and_many_files_share_two(tmp_path):
    pieces = kept(tmp_path, GOOD)
    async with scanner(workers=2) as scans:
        found = await asyncio.gather(*(scanned(scans, pieces, "m.bin", made.TORCH) for _ in range(20)))
        assert {each.state for each in found} == {"clean"}
        assert 1 <= len(scans._idle) <= 2
        first = scans._idle[-1]
        await scanned(scans, pieces, "m.bin")
        assert scans._idle[-1] is first


async def test_a_file_that_is_not_there_or_too_short_is_unknown(tmp_path):
    async with scanner() as scans:
        pieces = kept(tmp_path, GOOD)
        assert (await scanned(scans, [Piece(str(tmp_path / "none"), 0, 9)], "a.bin")).state == "unknown"
        cut = [*pieces[:-1], pieces[-1]._replace(size=5000)]
        assert (await scanned(scans, cut, "a.bin", made.TORCH)).state == "unknown"
        assert (await scanned(scans, pieces, "a.bin", made.TORCH)).state == "clean"


@pytest.mark.fault("R22")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV, signal.SIGXCPU])
async def test_a_process_that_is_killed_at_work_is_unknown_and_the_next_one_works(tmp_path, sent):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # opening it waits for a writer
    async with scanner(limits=Limits(seconds=AT_FIRST), seconds=WAITED) as scans:
        await scanned(scans, kept(tmp_path, GOOD), "m.bin")
        process = scans._idle[0]._process
        scan = asyncio.create_task(scanned(scans, [Piece(str(fifo), 0, 10)], "a.pkl"))
        await until(lambda: not scans._idle)
        process.send_signal(sent)
        found = await scan
        assert (found.state, found.why) == ("unknown", "the scanner ended while it was at work")
        assert (await scanned(scans, kept(tmp_path, GOOD), "m.bin", made.TORCH)).state == "clean"


_SLOW = """
import json, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    slow = asked["name"] == "slow"
    if slow and asked["limits"]["seconds"] > 1:
        time.sleep(300)
    said = {"kind": "none", "imports": [], "template": None, "problems": ["budget: time"] if slow else []}
    print(json.dumps({"id": asked["id"], "findings": said}), flush=True)
"""


async def test_files_that_take_long_keep_no_others_waiting(tmp_path):
    async with scanner(command=script(tmp_path, _SLOW)) as scans:
        slow = [asyncio.create_task(scanned(scans, b"x", "slow")) for _ in range(5)]
        await until(scans._long.locked)
        async with asyncio.timeout(60):
            for _ in range(8):
                assert (await scanned(scans, b"x", "quick")).state == "clean"
        assert not any(each.done() for each in slow)
        for each in slow:
            each.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_what_needs_more_time_than_at_first_is_given_it(tmp_path):
    asks = _SLOW.replace("time.sleep(300)", "slow = False")
    async with scanner(command=script(tmp_path, asks)) as scans:
        assert (await scanned(scans, b"x", "slow")).state == "clean"


@pytest.mark.fault("R22")
async def test_a_process_that_hangs_is_unknown_and_ended(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with scanner(seconds=0.2) as scans:
        found = await scanned(scans, [Piece(str(fifo), 0, 10)], "a.pkl")
        assert found.state == "unknown" and "more than 0.2 s" in found.why
        assert scans._idle == []


async def test_who_is_cancelled_ends_the_process(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with scanner() as scans:
        await scanned(scans, kept(tmp_path, GOOD), "m.bin")
        process = scans._idle[0]._process
        scan = asyncio.create_task(scanned(scans, [Piece(str(fifo), 0, 10)], "a.pkl"))
        await until(lambda: not scans._idle)
        scan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scan
        assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL


CLEAN = json.dumps(as_json(Findings("pickle")))


@pytest.mark.fault("R22")
@pytest.mark.parametrize(
    "said",
    [
        "",
        "\n",
        "rubbish\n",
        "{}\n",
        "[1]\n",
        '{"id": 1}\n',
        "[" * 100_000 + "\n",
        "x" * 3_000_000,
        '{"id": 1, "findings": {}}\n',
        f'{{"id": 2, "findings": {CLEAN}}}\n',
        f'{{"id": 1, "findings": {CLEAN}}}',
        f'{{"id": 1, "findings": {CLEAN}, "more": 1}}\n',
        f'{{"id": 1, "findings": {CLEAN.replace("pickle", "all is well")}}}\n',
        f'{{"id": 1, "findings": {CLEAN.replace("[]", "[1]", 1)}}}\n',
        f'{{"id": 1, "findings": {CLEAN.replace("[]", "null")}}}\n',
        f'{{"id": 1, "findings": {CLEAN.replace("null", "[]")}}}\n',
    ],
)
async def test_a_process_that_says_rubbish_is_unknown(tmp_path, said):
    command = script(tmp_path, f"import sys\nsys.stdin.readline()\nsys.stdout.write({said!r})\nsys.stdout.flush()\n")
    async with scanner(command=command) as scans:
        found = await scanned(scans, kept(tmp_path, GOOD), "m.bin")
        assert found.state == "unknown" and found.why.startswith("the scanner")
    honest = script(tmp_path, f"input()\nprint({json.dumps({'id': 1, 'findings': json.loads(CLEAN)})!r}, flush=True)\n")
    async with scanner(command=honest) as scans:
        assert (await scanned(scans, [], "m.bin")).state == "clean"


@pytest.mark.fault("R22")
async def test_a_process_that_does_not_start_is_unknown(tmp_path):
    async with scanner(command=(str(tmp_path / "none"),)) as scans:
        assert (await scanned(scans, [], "m.bin")).why.startswith("the scanner does not start")
    async with scanner() as scans:
        await scans.close()
        assert (await scanned(scans, [], "m.bin")).why == "the scanner is closed"


async def test_the_process_may_do_little(tmp_path):
    """No file, no child, no core, little memory and time: each is tried in a process that has confined itself."""
    tries = {
        "write": f"open({str(tmp_path / 'made')!r}, 'wb', 0).write(b'x' * 10)",
        "memory": "bytearray(2 << 30)",
        "files": "[open('/dev/null') for _ in range(100)]",
    }
    setup = (
        COMMAND[3].partition("; from")[0]
        + "; import os, resource, signal; from proxy_addon.scan.worker import allow, confine; "
    )
    setup += "signal.signal(signal.SIGXFSZ, signal.SIG_DFL); confine(); "
    done = await asyncio.gather(*(_run(setup + text) for text in tries.values()))
    assert dict(zip(tries, (status != 0 for status in done), strict=True)) == dict.fromkeys(tries, True)
    limits = "assert max(resource.getrlimit(resource.RLIMIT_CORE)) <= 1; "
    limits += "assert resource.getrlimit(resource.RLIMIT_NPROC) == (0, 0)"
    assert await _run(setup + limits) == 0
    assert await _run(setup + "allow(-4.9)\nwhile True: pass") == -signal.SIGXCPU


async def _run(text: str) -> int:
    nothing = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*COMMAND[:3], text, COMMAND[4], stdout=nothing, stderr=nothing)
    return await asyncio.wait_for(process.wait(), 60)


def test_findings_go_over_the_pipe_and_back():
    said = Findings("gguf", ("a.b",), "unsafe", ("x",))
    assert from_json(json.loads(json.dumps(as_json(said)))) == said


def test_a_verdict_says_what_is_worse():
    assert judged(Findings("pickle", ("a.b",)), ("a.*",)).state == "clean"
    assert judged(Findings("pickle", ("a/b", "a.c")), ("*", "a.*")).why == "would import a/b"
    assert judged(Findings("pickle", ("?",)), ("*", "?", "**")).state == "unknown"
    assert judged(Findings("pickle", ("?", "os.system"), problems=("truncated",))).state == "found"
    assert judged(Findings("gguf", (), "unsafe", ("budget",))).state == "found"


def command(status: str, seconds: float = 20.0) -> Command:
    return Command("other", ("/bin/sh", "-c", status, "sh", "{file}"), seconds)


@pytest.mark.fault("R22")
@pytest.mark.parametrize(
    ("asked", "state"),
    [
        (command("exit 0"), "clean"),
        (command("exit 1"), "found"),
        (command("exit 2"), "unknown"),
        (command("kill -9 $$"), "unknown"),
        (command("sleep 60 & wait", 0.2), "unknown"),
        (Command("other", ("/none/such", "{file}")), "unknown"),
        (command('test "$(cat "$1" | wc -c)" = 3; exit $?'), "clean"),
        (command('case "$1" in *.bin) exit 0;; esac; exit 1'), "clean"),
    ],
)
async def test_other_scanners_may_only_make_it_worse(tmp_path, asked, state):
    async with scanner(commands=[asked], scratch=tmp_path) as scans:
        assert (await scanned(scans, kept(tmp_path, b"abc", 2), "../we'ird/a.bin")).state == state
        assert (await scanned(scans, kept(tmp_path, made.payload("os"), 2), "a.bin")).state == "found"
    assert not list(tmp_path.glob("scan-*"))


@pytest.mark.fault("R22")
async def test_a_command_that_does_not_end_is_ended_with_its_children(tmp_path):
    began = tmp_path / "began"
    found = await run(command(f"sleep 300 & echo $! > {began}; wait", 2), tmp_path / "file")
    assert found is None
    child = int(began.read_text())
    for _ in range(1000):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            break
        await asyncio.to_thread(time.sleep, 0.01)
    else:
        pytest.fail("the child lives on")


async def test_no_place_to_put_the_file_together_is_unknown(tmp_path):
    async with scanner(commands=[command("exit 0")], scratch=tmp_path / "none") as scans:
        assert (await scanned(scans, kept(tmp_path, b"abc"), "a.bin")).state == "unknown"


def test_picklescan_is_asked_strictly_if_it_is_there(monkeypatch):
    assert picklescan() is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    asked = picklescan()
    assert asked is not None and "--strict" in asked.argv and asked.argv[-1] == "{file}"
