"""The processes of a run: the proxy that is always meant to be there, and for some of the time a second one on the
same cache, which hands out native Xet. They keep their ports when they are started again. One that ends by itself is
a fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.process import memory
from tests.processes import Hubgate, configuration, free_port, to_hub

from . import actions
from .ledger import Ledger
from .times import HEALTHY, STALE
from .wire import Connection, trust
from .world import DENIED_BY, OWNER, PLAIN, World

RULES = {
    "version": 1,
    "rules": [
        {
            "id": DENIED_BY,
            "effect": "deny",
            "match": {"repo": f"{OWNER}/denied"},
            "reason": "soak",
            "owner": "a@b.example",
        }
    ],
}


@dataclass(frozen=True)
class Use:
    """Of a process, at one time."""

    memory: int  #: bytes resident
    descriptors: int  #: but for those of databases
    databases: int = 0  #: descriptors of the store's databases: a few for each thread that has ever used them

    @classmethod
    def of(cls, pid: int) -> Use:
        open = []
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed by now
                open.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        databases = sum("/cache.db" in target for target in open)
        return cls(memory(pid), len(open) - databases, databases)


class Patient(Hubgate):
    """On a machine with other work a start may take long. One that stands still says where, and is given up."""

    def wait_for(self, text: str, timeout: float = 120.0) -> str:
        began = time.monotonic()
        while True:
            try:
                return super().wait_for(text, 2 * HEALTHY)
            except RuntimeError:
                if self.popen.poll() is not None:
                    raise
                idle = time.monotonic() - began - _waited(self.pid)
                if idle > 3 * HEALTHY or time.monotonic() - began > timeout:
                    self.signal(signal.SIGABRT)  # faulthandler writes all stacks
                    self.wait()
                    raise RuntimeError(f"no {text!r} in {idle:.0f} s: {self.told}") from None


class Keeper:
    def __init__(self, folder: Path, cache: Path, world: World, ledger: Ledger) -> None:
        self.folder, self.world, self.ledger = folder, world, ledger
        self.rules = folder / "rules" / "soak.yaml"
        self.rules.parent.mkdir()
        self.mend_rules()
        self.configs = [self._configured(name, cache, xet) for name, xet in (("first", "auto"), ("second", "native"))]
        settings = [json.loads(config.read_text()) for config in self.configs]
        self.ports = [int(found["listen"].rpartition(":")[2]) for found in settings]
        self.running: list[Hubgate | None] = [None, None]
        self.baseline = Use(0, 0)  #: of the first proxy when it had just been started, with nothing in its cache
        self.last = self.peak = Use(0, 0)
        self.starts = self.refused = 0
        self._all: list[Hubgate] = []
        self.slowest = 0.0  #: seconds to health

    def _configured(self, name: str, cache: Path, xet: str) -> Path:
        folder = self.folder / name
        upstream = to_hub(self.world.hub, stall_timeout="3s", connect_timeout="3s")
        return configuration(
            folder,
            listen=f"127.0.0.1:{free_port()}",
            ca={"dir": str(self.folder / "ca")},
            cache={"dir": str(cache), "size": "48MB", "memory": "8MB", "quarantine": "16MB", "scrub": "60s"},
            freshness={"ref": f"{STALE:g}s", "api": f"{STALE:g}s", "not_found": "1s", "stale_if_error": "1h"},
            rules=[str(self.rules.parent)],
            upstream=upstream,
            hubs={"huggingface": {"xet": xet}, "others": [PLAIN]},
            access_log=str(folder / "access.log"),
            drain="2s",
        )

    def mend_rules(self, more: int = 0) -> None:
        """The rules as they are to be; with `more`, another one that says nothing of what is asked here."""
        rule = RULES["rules"][0] | {"id": f"other-{more}", "match": {"repo": f"{OWNER}/none-{more}"}}  # type: ignore[index]
        self._write_rules(json.dumps(RULES | {"rules": [*RULES["rules"], *([rule] if more else [])]}))  # type: ignore[misc]

    def break_rules(self) -> None:
        self._write_rules('{"version": 1, "rules": [{"id": "x", "effect": "dney"}]}')

    def _write_rules(self, text: str) -> None:
        aside = self.rules.with_suffix(".new")
        aside.write_text(text)
        aside.replace(self.rules)

    # their life

    @property
    def ca_pem(self) -> Path:
        return self.folder / "ca" / "ca.pem"

    @property
    def pids(self) -> list[int]:
        return [proxy.pid for proxy in self.running if proxy is not None]

    def doors(self) -> list[int]:
        """Which proxies a client may try: the first one always."""
        return [0, *([1] if self.running[1] is not None else [])]

    async def start(self, which: int) -> None:
        """Raises RuntimeError when it does not come up, with what it said."""
        began, waited = time.monotonic(), _waited("self")
        proxy = await asyncio.to_thread(self._made, which)
        await asyncio.to_thread(self.health, proxy)
        others = _waited(proxy.pid) + (_waited("self") - waited)
        took = time.monotonic() - began - others
        self.starts += 1
        self.slowest = max(self.slowest, took)
        if took > HEALTHY:
            self.ledger.fault("late after a restart", f"{took:.1f} s, and {others:.1f} s for others")
        if not self.baseline.memory:
            self.baseline = await self._at_work(proxy)
        self.running[which] = proxy

    def _made(self, which: int) -> Hubgate:
        proxy = Patient(self.configs[which])
        self._all.append(proxy)  # here: who waits for this may be gone by now
        return proxy

    async def _at_work(self, proxy: Hubgate) -> Use:
        """What it uses when it has had a few clients: threads and their databases are there from then on."""
        want, context = actions.kept(self.world, random.Random(0)), trust(self.ca_pem)

        async def ask() -> None:
            with contextlib.suppress(Exception):  # a hub that is gone, as when it was there
                connection = await Connection.open(proxy.port, "huggingface.co", context)
                try:
                    head = await connection.ask(want, urlsplit(want.url).path)
                    async for _ in connection.body(want, head):
                        pass
                finally:
                    connection.close()

        await asyncio.gather(*(ask() for _ in range(12)))
        use = Use.of(proxy.pid)
        for _ in range(12):
            await asyncio.sleep(0.25)
            before, use = use, Use.of(proxy.pid)
            if use.descriptors == before.descriptors:
                break
        return use

    async def restart(self, which: int, patience: Callable[[float], bool]) -> None:
        """Start it; as often as `patience` says that something stood in its way since then (monotonic), again."""
        while True:
            began = time.monotonic()
            try:
                return await self.start(which)
            except RuntimeError as fault:
                if not patience(began):
                    raise
                self.refused += 1
                self.ledger.note(f"it did not start: {str(fault)[-300:]}")
                await asyncio.sleep(0.5)

    @staticmethod
    def health(proxy: Hubgate) -> dict[str, Any]:
        try:
            return dict(proxy.asked_admin("/healthz").json)
        except OSError as ill:
            if not hasattr(ill, "read"):
                raise
            return dict(json.loads(ill.read()))

    async def end(self, which: int, number: signal.Signals = signal.SIGTERM) -> None:
        """By that signal, and wait; what it said goes to its log."""
        proxy, self.running[which] = self.running[which], None
        if proxy is None:
            return
        proxy.signal(number)
        status = await asyncio.to_thread(proxy.wait, 60)
        if status not in (0, -number):
            self.ledger.fault("process died", f"{number.name} ended it with {status}")
        self._said(proxy)

    def look(self) -> None:
        """Has one ended by itself? What do they use?"""
        for which, proxy in enumerate(self.running):
            if proxy is None:
                continue
            if proxy.popen.poll() is not None:
                self.running[which] = None
                self.ledger.fault("process died", f"by itself, with {proxy.wait()}: {proxy.told[-1000:]}")
                self._said(proxy)
            elif which == 0:
                use = self.last = Use.of(proxy.pid)
                self.peak = Use(*map(max, astuple(use), astuple(self.peak)))

    def _said(self, proxy: Hubgate) -> None:
        with (proxy.config.parent / "said.log").open("a") as log:
            log.write(f"-- process {proxy.pid}\n{proxy.told}")
        for at, line in enumerate(proxy.lines):
            if line.startswith("Traceback"):
                self.ledger.fault("internal error", "".join(proxy.lines[max(0, at - 1) : at + 30])[-1500:])
        proxy.__exit__(None, None, None)

    def kill(self) -> None:
        """All that still run, at once."""
        for proxy in self._all:
            if proxy.popen.poll() is None:
                proxy.kill()
                self._said(proxy)
        self.running = [None, None]


def _waited(pid: int | str) -> float:
    """Seconds that its first thread was ready to run and did not."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[1]) / 1e9
