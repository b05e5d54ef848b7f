"""What other scanners say of a file: commands that are configured, and picklescan if it is installed.

A command's exit status is all that is read: 0 clean, 1 found, anything else is unknown. They want one file under a
path, so the pieces are put together for them, under a name of ours that keeps the ending, and dropped afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .contract import MOST_PROBLEMS, Findings
from .sources import Data

FILE = "{file}"
_ENDING = re.compile(r"\.[A-Za-z0-9_]{1,12}")
_COPIED = 8 << 20


@dataclass(frozen=True, slots=True)
class Command:
    """`argv` has `{file}` in it; `seconds` of wall clock."""

    name: str
    argv: tuple[str, ...]
    seconds: float = 60.0


def picklescan() -> Command | None:
    """By its command line, and told to find all that is not known to be harmless; None if it is not there."""
    if importlib.util.find_spec("picklescan") is None:
        return None
    return Command("picklescan", (sys.executable, "-I", "-m", "picklescan.cli", "--strict", "--path", FILE))


async def asked(
    commands: Sequence[Command], data: Data, name: str, findings: Findings, scratch: Path | None
) -> Findings:
    """The findings, and what the commands make worse. One that finds something is told as an import of its own."""
    try:
        with tempfile.TemporaryDirectory(prefix="scan-", dir=scratch) as directory:
            ending = _ENDING.fullmatch(os.path.splitext(name)[1])
            file = Path(directory, f"file{ending[0] if ending else ''}")
            await asyncio.to_thread(_together, data, file)
            said = [(command, await run(command, file)) for command in commands]
    except OSError as fault:
        return replace(_worse(findings, (), (f"other scanners cannot be asked: {fault.strerror}",)), passing=True)
    found = tuple(f"{command.name}/found" for command, status in said if status == 1)
    unsure = tuple(f"{command.name} does not know" for command, status in said if status not in (0, 1))
    worse = _worse(findings, found, unsure)
    return replace(worse, passing=True) if unsure else worse


def _worse(findings: Findings, imports: tuple[str, ...], problems: tuple[str, ...]) -> Findings:
    return replace(
        findings,
        imports=tuple(sorted({*findings.imports, *imports})),
        problems=(*problems, *findings.problems)[:MOST_PROBLEMS],
    )


async def run(command: Command, file: Path) -> int | None:
    """Its exit status; None if it does not start or does not end in time."""
    argv = [each.replace(FILE, str(file)) for each in command.argv]
    nothing = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=nothing, stdout=nothing, stderr=nothing, cwd=file.parent, start_new_session=True
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(command.seconds):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, 9)
            await asyncio.shield(process.wait())


def _together(data: Data, file: Path) -> None:
    if isinstance(data, bytes):
        file.write_bytes(data)
        return
    with open(file, "xb") as out:
        for piece in data:
            with open(piece.path, "rb") as source:
                source.seek(piece.offset)
                left = piece.size
                while left > 0 and (part := source.read(min(left, _COPIED))):
                    out.write(part)
                    left -= len(part)
