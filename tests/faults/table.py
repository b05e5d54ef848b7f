"""The table of faults in the README: made from the marks on the tests, so that it says what is tried and nothing else.

A test tries the rows that its mark `fault("R4", tries=50)` names; pytest collects the tests, so each case of a
parametrized one counts. Run as a program, this prints the table; with `--write` it puts it into the README.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
HEADING = "### Faults"
ROWS = {
    "R1": "killed in a fill",
    "R2": "killed between piece, row, manifest and reply",
    "R3": "killed in an eviction, a sweep, a reload of rules",
    "R4": "bytes on disk cut, zeroed, flipped: pieces, index, WAL",
    "R7": "the disk is full: at the start, in a body, at a row",
    "R8": "the cache directory cannot be written or is gone; no descriptors left",
    "R9": "the hub cuts a body, lies about its length, never ends it",
    "R10": "the hub stalls, trickles, hangs in TLS or DNS",
    "R11": "other bytes of the same length, another ETag, HTML with 200",
    "R12": "401, 403, 404, 416, 429, 5xx, redirects in a loop or to a private address",
    "R13": "the hub is gone",
    "R14": "a damaged piece, 50 readers at once",
    "R15": "the clock jumps",
    "R16": "200 clients, one cold file of 1 GiB",
    "R17": "200 clients, 200 files, slow readers, aborts",
    "R18": "clients leave: one, the first, the last",
    "R19": "SIGTERM with downloads open; another format on disk",
    "R20": "two proxies, one cache directory",
    "R21": "a broken rule file",
    "R22": "the scanner crashes, hangs, says rubbish",
    "R23": "ranges: overlapping, suffixes, beyond the end, thousands",
    "R24": "hostile clients",
}

type Tried = dict[str, dict[str, int]]  # row -> {file::test -> tries}


class _Collector:
    def __init__(self) -> None:
        self.tried: Tried = defaultdict(lambda: defaultdict(int))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for mark in item.iter_markers("fault"):
                name = item.nodeid.partition("[")[0].removeprefix("tests/")
                for row in mark.args:
                    self.tried[row][name] += mark.kwargs.get("tries", 1)


def collect() -> Tried:
    """What the marks say, by a pytest of its own; raises CalledProcessError when the tests cannot be collected."""
    command = [sys.executable, "-m", "tests.faults.table", "--json"]
    tried: Tried = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60).stdout)
    return tried


def _collected() -> Tried:
    files = [str(file) for file in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.fault(" in file.read_text()]
    collector, said = _Collector(), io.StringIO()
    with contextlib.redirect_stdout(said):
        if pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *files], plugins=[collector]):
            sys.exit(said.getvalue())
    return collector.tried


def lines(tried: Tried) -> list[str]:
    """The table in Markdown. Raises KeyError for a row that there is not."""
    if unknown := sorted(set(tried) - set(ROWS)):
        raise KeyError(f"no such row: {', '.join(unknown)}")
    table = ["| # | fault | tries | tests |", "|---|---|---|---|"]
    for row, fault in ROWS.items():
        files: dict[str, list[str]] = defaultdict(list)
        for name in sorted(tried.get(row, {})):
            file, _, test = name.partition("::")
            files[file].append(f"`{test}`")
        told = "; ".join(f"`{file}`: {', '.join(tests)}" for file, tests in files.items())
        table.append(f"| {row} | {fault} | {sum(tried.get(row, {}).values())} | {told} |")
    return table


def written(readme: str) -> list[str]:
    """The table as it stands in a README."""
    section = re.split(r"\n#+ ", readme.partition(f"\n{HEADING}\n")[2])[0]
    return [line for line in section.splitlines() if line.startswith("|")]


def replaced(readme: str, table: list[str]) -> str:
    """A README with this table in its section, at the end of it if there was none."""
    head, heading, rest = readme.partition(f"\n{HEADING}\n")
    section = re.split(r"(?=\n#+ )", rest)[0]
    old, new = "\n".join(written(readme)), "\n".join(table)
    made = section.replace(old, new, 1) if old else f"{section.rstrip()}\n\n{new}\n"
    return head + heading + made + rest.removeprefix(section)


def main() -> None:
    if "--json" in sys.argv:
        print(json.dumps(_collected()))
        return
    table = lines(collect())
    if "--write" in sys.argv:
        readme = ROOT / "README.md"
        readme.write_text(replaced(readme.read_text(), table))
    else:
        print("\n".join(table))


if __name__ == "__main__":
    main()
