"""The process that looks into files, one after another: a line of JSON in, a line of JSON out.

It has read foreign bytes, so it has little: no core dump, no file it may write, no process it may start, a bound on
memory and on CPU time, the second anew for each file. What goes beyond them ends it; the parent takes that for unknown.
Only the standard library and lz4 are imported.
"""

from __future__ import annotations

import base64
import json
import math
import resource
import sys
from typing import Any

from .contract import Findings, Limits, as_json
from .inspect import inspect
from .sources import Files, Piece, Region

MEMORY = 768 << 20  # bytes of address space, of which little is touched
FILES = 64
GRACE = 5  # seconds of CPU time beyond what a scan allows itself


def confine() -> None:
    for what, most in (
        (resource.RLIMIT_CORE, 1),  # of zero, a program that takes core dumps is not told
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_AS, MEMORY),
    ):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def allow(seconds: float) -> None:
    """From now on this much CPU time; the kernel ends the process after that."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds + GRACE)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def answer(asked: dict[str, Any]) -> Findings:
    limits = Limits(**asked["limits"])
    allow(limits.seconds)
    if asked["data"] is not None:
        return inspect(Region.of(base64.b64decode(asked["data"])), asked["name"], limits)
    files = Files([Piece(*piece) for piece in asked["pieces"]])
    try:
        return inspect(Region(files.read, 0, files.size), asked["name"], limits)
    finally:
        files.close()


def main() -> None:
    confine()
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        said = {"id": asked["id"], "findings": as_json(answer(asked))}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
