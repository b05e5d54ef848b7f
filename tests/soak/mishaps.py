"""What happens to the processes, to their disk and to what they are told, one at a time of each sort.

An index that was damaged may cost what is here: from then on the pinned files count as not known to be here, until the
nurse has had them fetched again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.surgeon import CUTS
from tests.processes import COMMAND, ROOT

from .disk import Place
from .keeper import Keeper
from .ledger import Ledger
from .world import KEPT, OWNER, World

DISK_TROUBLES = ("disk full", "directory read-only")


@dataclass
class Scene:
    world: World
    ledger: Ledger
    keeper: Keeper
    place: Place

    def hindered(self, since: float) -> bool:
        """Whether the disk was in no state to begin with, at any time since then (monotonic)."""
        return any(each.name in DISK_TROUBLES and each.end >= since for each in self.ledger.troubles)


type Mishap = Callable[[Scene, random.Random, float], Awaitable[None]]


async def killed(s: Scene, rnd: random.Random, seconds: float) -> None:
    with s.ledger.trouble("kill -9", "proxy"):
        await s.keeper.end(0, signal.SIGKILL)
        await s.keeper.restart(0, s.hindered)


async def stopped(s: Scene, rnd: random.Random, seconds: float) -> None:
    with s.ledger.trouble("SIGTERM", "proxy"):
        await s.keeper.end(0)
        await s.keeper.restart(0, s.hindered)


async def index_damaged(s: Scene, rnd: random.Random, seconds: float) -> None:
    """While nobody has it open: what lies under a running database is the file system's."""
    with s.ledger.trouble("index or log damaged", "proxy"):
        s.ledger.kept(False)
        for which in (1, 0):
            await s.keeper.end(which, rnd.choice((signal.SIGKILL, signal.SIGTERM)))
        names = [f"{shelf}/cache.db{kind}" for shelf in ("index", "pieces") for kind in ("", "-wal")]
        found = [file for name in names if (file := s.place.cache / name).exists()]
        _hurt(rnd, rnd.sample(found, k=min(len(found), 2)), ("flip", "zero", "truncate"), rnd.choice((1, 20)))
        s.ledger.kept(False)  # the nurse may have found all of it here until now
        await s.keeper.restart(0, s.hindered)


async def pieces_damaged(s: Scene, rnd: random.Random, seconds: float) -> None:
    with s.ledger.trouble("pieces damaged", "local"):
        pieces = [path for path in sorted(s.place.cache.glob("pieces/??/*/*.val")) if not _kept(path)]
        _hurt(rnd, rnd.sample(pieces, k=min(len(pieces), rnd.choice((1, 3, 8)))), tuple(CUTS), 1)


def _kept(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_size in KEPT.values()
    return True


def _hurt(rnd: random.Random, files: list[Path], ways: tuple[str, ...], times: int) -> None:
    for file in files:
        with contextlib.suppress(OSError, ValueError):  # evicted, on a disk that is read-only, or empty already
            for _ in range(times):
                CUTS[rnd.choice(ways)](file, rnd)


async def second(s: Scene, rnd: random.Random, seconds: float) -> None:
    with s.ledger.trouble("a second proxy", "local"):
        await s.keeper.restart(1, s.hindered)
        await asyncio.sleep(max(8.0, 2 * seconds))
    with s.ledger.trouble("the second proxy ends", "proxy"):
        await s.keeper.end(1, rnd.choice((signal.SIGKILL, signal.SIGTERM)))


async def no_descriptors(s: Scene, rnd: random.Random, seconds: float) -> None:
    proxy = s.keeper.running[0]
    if proxy is None:
        return
    with s.ledger.trouble("no descriptors left", "proxy"):
        before = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
        few = len(list(Path(f"/proc/{proxy.pid}/fd").iterdir())) + rnd.choice((0, 2, 10))
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (min(few, before[0]), before[1]))
        try:
            await asyncio.sleep(min(seconds, 4))
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, before)


async def full(s: Scene, rnd: random.Random, seconds: float) -> None:
    with s.ledger.trouble("disk full", "local"), s.place.full(s.keeper.pids):
        await asyncio.sleep(seconds)


async def read_only(s: Scene, rnd: random.Random, seconds: float) -> None:
    with s.ledger.trouble("directory read-only", "local"), s.place.read_only():
        await asyncio.sleep(seconds)


async def rules_broken(s: Scene, rnd: random.Random, seconds: float) -> None:
    with s.ledger.trouble("rules broken", "local"):
        s.keeper.break_rules()
        try:
            await asyncio.sleep(seconds)
        finally:
            s.keeper.mend_rules()


async def rules_edited(s: Scene, rnd: random.Random, seconds: float) -> None:
    with s.ledger.trouble("rules edited", "local"):
        s.keeper.mend_rules(more=rnd.randrange(1, 1000))


async def rules_gone(s: Scene, rnd: random.Random, seconds: float) -> None:
    with s.ledger.trouble("rule file gone", "local"):
        s.keeper.rules.unlink(missing_ok=True)
        try:
            await asyncio.sleep(seconds)
        finally:
            s.keeper.mend_rules()


async def looked_at(s: Scene, rnd: random.Random, seconds: float) -> None:
    what = rnd.choice((("ls",), ("verify", "--json"), ("stats",), ("quarantine", "ls")))
    began = time.monotonic()
    with s.ledger.trouble("an operator's command", "local"):
        status, told = await command(s.keeper, "cache", *what)
    if status not in (0, 1) and not s.hindered(began):
        s.ledger.fault("internal error", f"cache {' '.join(what)}: {status}: {told[-800:]}")


#: sort -> what may happen; of each sort one at a time
MISHAPS: dict[str, tuple[Mishap, ...]] = {
    "process": (killed, stopped, second, index_damaged, no_descriptors),
    "disk": (pieces_damaged, full, read_only, rules_broken, rules_edited, rules_gone, looked_at),
}


async def command(keeper: Keeper, *arguments: str) -> tuple[int, str]:
    """A command of hubgate beside the running proxies: (status, what it said)."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        "--config",
        str(keeper.configs[0]),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        told, _ = await asyncio.wait_for(process.communicate(), 120)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, told.decode(errors="replace")


async def nurse(s: Scene) -> None:
    """Has the pinned files fetched and pinned whenever they are not known to be here. Ends when it is cancelled."""
    while True:
        if s.ledger.sure:
            await asyncio.sleep(0.3)
            continue
        doubts = s.ledger.doubts
        status, told = await command(s.keeper, "prefetch", f"hf:{OWNER}/kept", "--pin")
        if status == 0 and doubts == s.ledger.doubts:
            s.ledger.kept(True)
        elif "Traceback" in told:
            s.ledger.fault("internal error", f"prefetch: {told[-1500:]}")
        await asyncio.sleep(1.0 if status else 0.0)
