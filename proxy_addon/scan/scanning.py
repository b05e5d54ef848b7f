"""Scans, for the event loop: a few processes kept warm, each with one file at a time; who comes later waits.

Every file is given a little time at first. What needs more waits once more, and never takes all the processes: so a
hundred files that are made to be slow keep nobody else waiting for the time that all of them take.

A process that ends, hangs, or says what is no answer gives `unknown`, and is replaced when the next file comes. Nothing
that it says is believed beyond its form. Whoever is cancelled ends the process that worked for it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from .contract import ENGINE, Findings, Limits, from_json
from .opinions import Command, asked
from .sources import Data

ROOT = Path(__file__).parents[2]
#: A path of its own, because an isolated interpreter has neither the working directory nor PYTHONPATH.
COMMAND = (
    sys.executable,
    "-I",
    "-c",
    "import sys; sys.path.insert(0, sys.argv[1]); from proxy_addon.scan.worker import main; main()",
    str(ROOT),
)
ANSWER = 1 << 20  # bytes of a line
MANY = 500  # files until a process is replaced
AT_FIRST = 1.0  # seconds of CPU time
WAITED = 10.0  # seconds of wall clock for that


class Broken(Exception):
    """The process is of no more use; the text says why."""


class Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self._files = process, 0

    @classmethod
    async def start(cls, command: Sequence[str]) -> Worker:
        """Raises Broken."""
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=nothing, limit=ANSWER, env={"LC_ALL": "C.UTF-8"}
            )
        except OSError as fault:
            raise Broken(f"the scanner does not start: {fault}") from fault
        return cls(process)

    @property
    def worn(self) -> bool:
        return self._files >= MANY or self._process.returncode is not None

    async def look(self, data: Data, name: str, limits: Limits) -> Findings:
        """Raises Broken."""
        self._files += 1
        number = self._files
        small = base64.b64encode(data).decode() if isinstance(data, bytes) else None
        pieces = () if isinstance(data, bytes) else data
        question = {"id": number, "name": name, "pieces": pieces, "data": small, "limits": asdict(limits)}
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        except OSError as fault:
            raise Broken("the scanner ended while it was at work") from fault
        except ValueError as fault:
            raise Broken("the scanner says more than an answer") from fault
        if not line.endswith(b"\n"):
            raise Broken("the scanner ended while it was at work")
        try:
            said = json.loads(line)
            if not isinstance(said, dict) or said.keys() != {"id", "findings"} or said["id"] != number:
                raise ValueError("not an answer to this")
            return from_json(said["findings"])
        except (ValueError, RecursionError) as fault:
            raise Broken("the scanner says what is no answer") from fault

    @property
    def spent(self) -> bool:
        """The kernel has ended it for the CPU time that it took."""
        return self._process.returncode == -signal.SIGXCPU

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


class Scanner:
    """`commands` are asked after our own look, and may only make it worse."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        seconds: float = 60.0,
        workers: int = 2,
        commands: Iterable[Command] = (),
        scratch: Path | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """`seconds` of wall clock for one file, the commands not among them. `scratch`: a directory for `commands`."""
        self._limits, self._seconds, self._command = limits or Limits(), seconds, command
        self._commands, self._scratch = tuple(commands), scratch
        self._idle: list[Worker] = []
        self._turns = asyncio.Semaphore(workers)
        self._long = asyncio.Semaphore(max(1, workers - 1))
        self._closed = False

    @property
    def engine(self) -> str:
        """Who looks: what it finds in the same bytes stays the same until this is another."""
        others = "\0".join(each for command in self._commands for each in (command.name, *command.argv))
        return f"{ENGINE}+{hashlib.sha256(others.encode()).hexdigest()[:8]}" if others else ENGINE

    async def findings(self, data: Data, name: str) -> Findings:
        """What lies in the file; never raises for the file's sake. `name` is its path in the repo."""
        first = replace(self._limits, seconds=min(AT_FIRST, self._limits.seconds))
        async with self._turns:
            findings, spent = await self._looked(data, name, first, min(WAITED, self._seconds))
            if not spent:
                return await self._also(data, name, findings)
        async with self._long, self._turns:
            findings, _ = await self._looked(data, name, self._limits, self._seconds)
            return await self._also(data, name, findings)

    async def _also(self, data: Data, name: str, findings: Findings) -> Findings:
        return await asked(self._commands, data, name, findings, self._scratch) if self._commands else findings

    async def _looked(self, data: Data, name: str, limits: Limits, seconds: float) -> tuple[Findings, bool]:
        """And whether with more time there might be more."""
        if self._closed:
            return Findings(problems=("the scanner is closed",), passing=True), False
        worker: Worker | None = None
        try:
            worker = await self._worker()
            async with asyncio.timeout(seconds):
                findings = await worker.look(data, name, limits)
        except (Broken, TimeoutError) as fault:
            await self._end(worker)
            told = str(fault) or f"budget: the scanner took more than {seconds:g} s"
            more = seconds < self._seconds if isinstance(fault, TimeoutError) else limits != self._limits
            spent = isinstance(fault, TimeoutError) or (worker is not None and worker.spent)
            return Findings(problems=(told,), passing=True), spent and more
        except BaseException:
            await self._end(worker)
            raise
        if worker.worn or self._closed:
            await worker.end()
        else:
            self._idle.append(worker)
        return findings, limits != self._limits and any("budget: " in problem for problem in findings.problems)

    async def _worker(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if not worker.worn:
                return worker
            await worker.end()
        return await Worker.start(self._command)

    @staticmethod
    async def _end(worker: Worker | None) -> None:
        if worker is not None:
            await asyncio.shield(worker.end())

    async def close(self) -> None:
        """Those at work finish first, unless they are cancelled."""
        self._closed = True
        while self._idle:
            await self._idle.pop().end()
