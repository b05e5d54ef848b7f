"""`python -m tests.soak MINUTES [--seed N] [--clients 50] [--json] [--keep]`: exit 0 if nothing was wrong, else 1."""

from __future__ import annotations

import argparse
import random
import sys

from . import report
from .stage import Order, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description="hubgate among faults of every sort, at random.")
    parser.add_argument("minutes", type=float, metavar="MINUTES")
    parser.add_argument("--seed", type=int, help="that of a run which is to be repeated")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="the result, for programs")
    parser.add_argument("--keep", action="store_true", help="keep the directory of a good run too")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    order = Order(given.minutes * 60, seed, given.clients, given.keep)
    print(report.begins(order), file=sys.stderr if given.json else sys.stdout, flush=True)
    every = 10.0 if sys.stderr.isatty() else 30.0
    outcome = run(order, lambda *now: print(report.progress(*now), file=sys.stderr, flush=True), every)
    if given.json:
        print(report.as_json(outcome))
    else:
        print("\n".join([*report.table(outcome), "", *report.faults(outcome)]))
    return 130 if outcome.interrupted else 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
