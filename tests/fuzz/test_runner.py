"""What scripts/fuzz does where there is no atheris: it ends in time, keeps what it found, and finds it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from . import __main__ as runner
from . import drawn
from .table import TARGETS
from .target import Target


def _no_nul(data: bytes) -> None:
    assert b"\0" not in data


def test_what_was_found_is_kept_small_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(TARGETS, "broken", Target("broken", _no_nul, (b"some\0thing",)))
    drawn.main("broken", "30", "7", str(tmp_path), "")
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == b"\0"
    said = capsys.readouterr().err
    assert "AssertionError" in said and "number_of_executed_units: " in said
    with pytest.raises(AssertionError):
        TARGETS["broken"].check(kept.read_bytes())


def test_a_run_tells_its_seed_and_how_often(tmp_path: Path) -> None:
    code = "import sys, tests.fuzz.__main__ as m, pathlib; m.CACHE = pathlib.Path(sys.argv.pop(1)); sys.exit(m.main())"
    argv = [sys.executable, "-c", code, str(tmp_path), "0.01", "passwords", "--seed", "5"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.splitlines()[0].startswith("1 targets, 0.01 minutes, seed 5, by ")
    assert " executions, 0 crashes; seed 5" in done.stdout


def test_a_process_that_dies_counts_as_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CACHE", tmp_path)
    runs, found = runner._run("passwords", 1, 1, "no_such_engine")
    assert runs == 0 and found == [tmp_path / "passwords.log"]
