"""R22: what the scanner can do wrong, at random, one after the other: `unknown` each time, and the next file is judged.

A worker is killed at work or while it is idle, stopped, out of memory, out of time, or says something else than an
answer. Never is anything clean for that; no process, no descriptor is left.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy_addon.scan import Piece, Scanner
from proxy_addon.scan.scanning import COMMAND
from tests.faults.invariants import Footprint
from tests.faults.test_scrubber import until
from tests.scan import made
from tests.scan.judging import scanned

CONFINED = (
    COMMAND[3].partition("; from")[0] + "; from proxy_addon.scan.worker import allow, confine; confine(); input(); "
)
RUBBISH = ("", "\n", "{}", '{"id": 1}', "[" * 90_000, "\x00\xff", "x" * 3_000_000, '{"id": 1, "findings": null}')


def whole(path: Path, data: bytes) -> list[Piece]:
    path.write_bytes(data)
    return [Piece(str(path), 0, len(data))]


def python(text: str) -> tuple[str, ...]:
    return (*COMMAND[:3], CONFINED + text, *COMMAND[4:])


async def signalled(scans: Scanner, folder: Path, number: signal.Signals) -> str:
    """While it waits for a file that does not come; one that is stopped hangs."""
    fifo = folder / f"fifo-{random.randrange(2**40)}"
    os.mkfifo(fifo)
    scans = Scanner(workers=1) if number == signal.SIGSTOP else scans
    await scanned(scans, [], "warm")
    if number == signal.SIGSTOP:
        scans._seconds = 1.0
    pid = scans._idle[-1]._process.pid
    scan = asyncio.create_task(scanned(scans, [Piece(str(fifo), 0, 10)], "a.pkl"))
    await asyncio.sleep(0)
    os.kill(pid, number)
    return (await scan).state


async def idle(scans: Scanner, folder: Path) -> str:
    await scanned(scans, [], "warm")
    process = scans._idle[-1]._process
    process.kill()
    await process.wait()
    return "unknown"  # nothing was asked


def instead(text: str) -> Callable[[Scanner, Path], Awaitable[str]]:
    async def told(scans: Scanner, folder: Path) -> str:
        other = Scanner(command=python(text), seconds=1.0)
        try:
            return (await scanned(other, [], "a.pkl")).state
        finally:
            await other.close()

    return told


FAULTS: dict[str, Callable[[Scanner, Path], Awaitable[str]]] = {
    "killed": lambda scans, folder: signalled(scans, folder, signal.SIGKILL),
    "crashed": lambda scans, folder: signalled(scans, folder, signal.SIGSEGV),
    "stopped": lambda scans, folder: signalled(scans, folder, signal.SIGSTOP),
    "idle": idle,
    "memory": instead("bytearray(2 << 30); print('{}', flush=True)"),
    "time": instead("allow(-4.9)\nwhile True: pass"),
    "sleeps": instead("import threading; threading.Event().wait()"),
    "ends": instead("sys.exit(0)"),
    **{f"says {n}": instead(f"print({text!r}, flush=True)") for n, text in enumerate(RUBBISH)},
}


@pytest.mark.fault("R22", tries=20)
async def test_whatever_a_worker_does_the_next_file_is_judged(tmp_path: Path, tries: int) -> None:
    seed = int(os.environ.get("HUBGATE_SEED", "1"))
    print("HUBGATE_SEED", seed)
    rnd = random.Random(seed)
    good = whole(tmp_path / "good", made.torch_file(made.state_dict({"w": 12})))
    bad = whole(tmp_path / "bad", made.torch_file(made.payload("os", 2)))
    names = [*FAULTS, *rnd.choices([*FAULTS], k=max(tries, int(os.environ.get("HUBGATE_TRIES", 0))) - len(FAULTS))]
    rnd.shuffle(names)
    scans = Scanner(workers=1)
    assert (await scanned(scans, good, "m.bin", made.TORCH)).state == "clean"
    before = Footprint.of(os.getpid())
    try:
        for name in names:
            assert await FAULTS[name](scans, tmp_path) == "unknown", name
            assert (await scanned(scans, bad, "m.bin", made.TORCH)).state == "found", name
            assert (await scanned(scans, good, "m.bin", made.TORCH)).state == "clean", name
    finally:
        await scans.close()
    before.restored(spare=0)
    until(lambda: not children(), "a process is left")


def children() -> list[str]:
    """Of this process, those that scan."""
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in pids if b"proxy_addon.scan" in Path(f"/proc/{pid}/cmdline").read_bytes()]
