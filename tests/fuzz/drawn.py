"""One target by hypothesis for some seconds, where there is no atheris. Ends at the first input that does not hold."""

from __future__ import annotations

import hashlib
import sys
import time
import traceback
from pathlib import Path

import hypothesis

from .profile import PROFILE
from .table import TARGETS

_ROUND = 100  # inputs between two looks at the clock


def main(name: str, seconds: str, seed: str, crashes: str, corpus: str) -> None:
    target, ends, count = TARGETS[name], time.monotonic() + float(seconds), 0
    failed = b""

    def check(data: bytes) -> None:
        nonlocal count, failed
        count += 1
        try:
            target.check(data)
        except BaseException:
            failed = data
            raise

    settings = hypothesis.settings(PROFILE, max_examples=_ROUND, database=None)
    turn = int(seed)
    while time.monotonic() < ends:
        drawn = hypothesis.seed(turn)(settings(hypothesis.given(target.inputs)(lambda data: check(data))))
        turn += 1
        try:
            drawn()
        except BaseException:
            traceback.print_exc()
            Path(crashes, f"crash-{hashlib.sha1(failed, usedforsecurity=False).hexdigest()}").write_bytes(failed)
            break
    print(f"stat::number_of_executed_units: {count}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
