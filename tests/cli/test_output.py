"""What every command says: its help, to whoever stops reading, and in a locale that has few letters."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from proxy_addon.cli.main import app, run
from tests.processes import COMMAND

DENIED = """version: 1
rules:
  - {id: no-a, effect: deny, match: {repo: "a/*"}, reason: "Verboten für 禁止"}
"""


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/own.yaml").write_text(DENIED)
    file = tmp_path / "hubgate.yaml"
    file.write_text("cache: {dir: cache}\n")
    return file


@pytest.mark.parametrize("command", [*commands(get_command(app))], ids=" ".join)  # type: ignore[arg-type]
def test_every_command_has_its_help(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    assert f"Usage: hubgate {' '.join(command)} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["explain", "hf:a/b", "--offline"], 1),
        (["explain", "hf:a/b", "--offline", "--json"], 1),
        (["explain", "hf:b/b", "--offline"], 0),
        (["rules", "licences"], 0),
    ],
)
def test_who_stops_reading_changes_no_exit_code(config: Path, arguments: list[str], code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    options = ["--config", str(config)] if arguments[0] == "explain" else []
    done = subprocess.run([*COMMAND, *arguments, *options], stdout=writing, stderr=subprocess.PIPE, timeout=30)
    os.close(writing)
    assert (done.returncode, done.stderr) == (code, b"")


def test_letters_that_the_locale_has_not_are_spelled_out(config: Path) -> None:
    plain = {**os.environ, "PYTHONIOENCODING": "", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [*COMMAND, "explain", "hf:a/b", "--offline", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, env=plain, timeout=30)
    assert (done.returncode, done.stderr) == (1, b"")
    assert rb"Verboten f\xfcr \u7981\u6b62" in done.stdout
