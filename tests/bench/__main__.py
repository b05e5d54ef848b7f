"""One run, one table: `python -m tests.bench [--quick] [--only NAME]... [--json | --markdown]`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hub import HubProcess

from . import cold, decisions, first_byte, large, lookups, modelscope, prefetch, small, stalled, xet
from .figures import Row
from .rig import FULL, QUICK, Rig
from .table import as_json, machine, markdown, plain

GROUPS: dict[str, Callable[[Rig], Iterator[Row]]] = {
    "large": large.rows,
    "small": small.rows,
    "first-byte": first_byte.rows,
    "cold": cold.rows,
    "stalled": stalled.rows,
    "prefetch": prefetch.rows,
    "modelscope": modelscope.rows,
    "xet": xet.rows,
    "lookups": lookups.rows,
    "decisions": decisions.rows,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="hubgate beside nginx and a direct download.")
    parser.add_argument("--only", action="append", choices=GROUPS, metavar="NAME", help=", ".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="smaller files, fewer tries: to see that it works")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="also write the JSON there")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--markdown", action="store_true", help="for the README")
    return parser.parse_args()


def main() -> int:
    wanted = arguments()
    facts = machine()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="hubgate-bench-") as folder, HubProcess() as hub:
        rig = Rig(Path(folder), QUICK if wanted.quick else FULL, hub)
        for name in wanted.only or GROUPS:
            started = time.perf_counter()
            for row in GROUPS[name](rig):
                rows.append(row)
                seconds = time.perf_counter() - started
                print(f"{seconds:4.0f} s {name}: {row.what}: {row.ours.text} {row.unit}", file=sys.stderr)
    facts["load"] += f", {os.getloadavg()[0]:.1f} at the end"
    if wanted.keep:
        wanted.keep.write_text(as_json(rows, facts))
    if wanted.json:
        print(as_json(rows, facts))
        return 0
    about = "; ".join(f"{name} {value}" for name, value in facts.items())
    print(f"{about}\n\n{markdown(rows) if wanted.markdown else plain(rows)}")
    print("\nA figure is the median of its tries (least..greatest).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
