"""All targets, or one, for some minutes, each in a process of its own; a table at the end, and 1 if anything was found.

What was found stays under .cache/fuzz/crashes, each target's by itself, and what its inputs have reached under
.cache/fuzz/corpus, from where the next run goes on.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .table import TARGETS

CACHE = Path(__file__).parents[2] / ".cache/fuzz"
_RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_GRACE = 120  # seconds: to start, and for hypothesis to make what it found small


def _slug(name: str) -> str:
    return name.replace(" ", "-")


def _run(name: str, seconds: float, seed: int, engine: str) -> tuple[int, list[Path]]:
    """Executions, and files for which the target does not hold."""
    crashes, corpus = CACHE / "crashes" / _slug(name), CACHE / "corpus" / _slug(name)
    for folder in (crashes, corpus):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(crashes.iterdir())
    log = CACHE / f"{_slug(name)}.log"
    argv = [
        sys.executable,
        "-m",
        f"tests.fuzz.{engine}",
        name,
        str(max(1, round(seconds))),
        str(seed),
        str(crashes),
        str(corpus),
    ]
    ended = 0
    with log.open("wb") as out:
        try:
            ended = subprocess.run(argv, stdout=out, stderr=out, timeout=seconds + _GRACE).returncode
        except subprocess.TimeoutExpired:
            ended = -1
    said = log.read_text(errors="replace")
    found = sorted(set(crashes.iterdir()) - before)
    if ended and not found:
        found = [log]  # it ended in a way of its own: the log tells
    runs = _RUNS.search(said)
    return int(runs[1]) if runs else 0, found


def fuzz(minutes: float, names: Sequence[str], seed: int) -> int:
    engine = "guided" if importlib.util.find_spec("atheris") is not None else "drawn"
    by = "atheris" if engine == "guided" else "hypothesis (atheris is not here)"
    print(f"{len(names)} targets, {minutes:g} minutes, seed {seed}, by {by}", flush=True)
    found, total = list[tuple[str, Path]](), 0
    for name in names:
        runs, files = _run(name, minutes * 60 / len(names), seed, engine)
        total += runs
        found += [(name, file) for file in files]
        print(
            f"{name:20} {runs:>10} executions  {len(files) or 'no'} crash{'es' if len(files) != 1 else ''}", flush=True
        )
    print(f"{total} executions, {len(found)} crashes; seed {seed}")
    for name, file in found:
        print(f"again:  scripts/fuzz --repeat {name!r} {file}")
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Feed every parser what nobody expects.")
    parser.add_argument("minutes", nargs="?", type=float, default=10.0, help="for all targets together")
    parser.add_argument("target", nargs="?", choices=[*TARGETS], metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 31))
    parser.add_argument("--repeat", nargs=2, metavar=("TARGET", "FILE"), help="one input that was kept")
    given = parser.parse_args()
    if given.repeat:
        name, file = given.repeat
        TARGETS[name].check(Path(file).read_bytes())
        print("it holds")
        return 0
    return fuzz(given.minutes, [given.target] if given.target else [*TARGETS], given.seed)


if __name__ == "__main__":
    sys.exit(main())
