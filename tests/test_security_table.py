"""The tables of threats and of faults in the README name tests that are there, and tell what is really tried."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from tests.faults import table

TESTS = Path(__file__).parent
README = (TESTS.parent / "README.md").read_text()


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def threats(readme: str) -> list[list[str]]:
    """Cells of each row: threat, control, tests."""
    section = re.split(r"\n##+ ", readme.partition("\n## Security\n")[2])[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def absent(cell: str) -> list[str]:
    """Tests that a cell names, `file::test` below tests/, and that are not there."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", cell)
    return [f"{file}::{test}" for file, test in named if not (TESTS / file).is_file() or test not in functions_of(file)]


def test_every_threat_names_tests_that_are_there() -> None:
    rows = threats(README)
    assert len(rows) > 20
    for threat, control, tests in rows:
        assert threat and control and "::" in tests, threat
        assert len(re.findall(r"`([\w/]+\.py)::(\w+)`", tests)) == tests.count("::"), f"how a test is named: {tests}"
        assert absent(tests) == [], threat


def test_a_test_that_is_not_there_is_found() -> None:
    assert absent("`test_security_table.py::test_a_test_that_is_not_there_is_found`") == []
    assert absent("`test_security_table.py::test_none` `no/test_file.py::test_none`") == [
        "test_security_table.py::test_none",
        "no/test_file.py::test_none",
    ]


@cache
def tried() -> table.Tried:
    return table.collect()


def test_the_table_of_faults_says_what_is_tried() -> None:
    counted = tried()
    assert [row for row in table.ROWS if not sum(counted.get(row, {}).values())] == [], "rows that nothing tries"
    assert table.written(README) == table.lines(counted), "write it anew: python -m tests.faults.table --write"


def test_marks_are_counted_case_by_case() -> None:
    counted = tried()
    assert counted["R4"]["faults/test_damage.py::test_damaged_pieces_are_fetched_again"] % 5 == 0
    made = table.lines({"R4": {"a.py::test_b": 2, "a.py::test_c": 3}})
    assert "| R4 | bytes on disk cut, zeroed, flipped: pieces, index, WAL | 5 | `a.py`: `test_b`, `test_c` |" in made
    readme = "# x\n\n### Faults\n\nThe run of today.\n\n| # |\n| old |\n\nAfter.\n"
    assert table.written(table.replaced(readme, made)) == made and table.replaced(readme, made).endswith("\n\nAfter.\n")
