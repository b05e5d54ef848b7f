"""The scanner that the configuration asks for, and what it is counted by."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from dataclasses import replace

from .answer.contents import Contents
from .config import Settings
from .config.settings import PICKLESCAN
from .metrics import Metrics
from .scan import Command, Limits, Scanner, picklescan

_ABSENT = "scan.commands: there is no program %s; install it: what it would be asked counts as unknown until then"
ABANDONED = 3600.0  # seconds; of a copy that a killed process has left behind
log = logging.getLogger(__name__)


def scanner_of(settings: Settings) -> Scanner:
    """Starts nothing. Blocking."""
    scan, commands = settings.scan, list[Command]()
    for each in scan.commands:
        if each.argv == (PICKLESCAN,):
            command = picklescan()
            if command is None:
                log.error(_ABSENT, "picklescan")
                command = Command("picklescan", ("picklescan-is-not-installed",))
            commands.append(command)
        else:
            if shutil.which(each.argv[0]) is None:
                log.error(_ABSENT, each.argv[0])
            commands.append(Command(each.name or os.path.basename(each.argv[0]), each.argv, each.seconds))
    scratch = settings.cache.dir / "scan"
    if commands:
        with contextlib.suppress(OSError):
            scratch.mkdir(mode=0o700, exist_ok=True)
            for left in scratch.iterdir():
                if left.stat().st_mtime < time.time() - ABANDONED:
                    shutil.rmtree(left, ignore_errors=True)
    usual = Limits()
    return Scanner(
        limits=replace(usual, seconds=min(usual.seconds, scan.seconds)),
        seconds=scan.seconds,
        workers=scan.workers,
        commands=commands,
        scratch=scratch if commands else None,
    )


def count(metrics: Metrics, contents: Contents) -> None:
    metrics.counters("scans", "Files that were looked into", "verdict", lambda: contents.verdicts)
    metrics.counter("scan_seconds", "Seconds that looking into files took", lambda: contents.seconds)
