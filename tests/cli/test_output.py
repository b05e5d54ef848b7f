"""What every command says: its help, to whoever stops reading, in a locale that has few letters; and what it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

from proxy_addon.ca import Authority
from proxy_addon.cli.main import app, run
from tests.processes import COMMAND

DENIED = """version: 1
rules:
  - {id: no-a, effect: deny, match: {repo: "a/*"}, reason: "Verboten für 禁止"}
"""


#: Prints what of the third argument is loaded once each of the command lines in the second was carried out.
LOADED = """
import contextlib, io, json, sys
from proxy_addon.cli.main import run
with contextlib.redirect_stdout(io.StringIO()):
    codes = [run(line) for line in json.loads(sys.argv[1])]
print(json.dumps([codes, [name for name in json.loads(sys.argv[2]) if name in sys.modules]]))
"""
type Found = tuple[tuple[str, ...], Any, str]


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[Found]:
    """Its words, the command itself, and the line that the list above has for it."""
    for name, listed in group.commands.items():
        found: Any = group.resolve_command(typer.Context(group), [name])[1]
        yield (*path, name), found, listed.help or ""
        if isinstance(found, TyperGroup):
            yield from commands(found, (*path, name))


COMMANDS = [*commands(get_command(app))]  # type: ignore[arg-type]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/own.yaml").write_text(DENIED)
    file = tmp_path / "hubgate.yaml"
    file.write_text("cache: {dir: cache}\nca: {dir: ca}\nupstream: {connect_to: {'*:*': '127.0.0.1:1'}}\n")
    return file


@pytest.mark.parametrize("command", [words for words, _, _ in COMMANDS], ids=" ".join)
def test_every_command_has_its_help(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    assert f"Usage: hubgate {' '.join(command)} " in capsys.readouterr().out


def test_a_list_of_commands_says_what_each_says_itself() -> None:
    first = {words: found.help.partition("\n\n")[0] for words, found, _ in COMMANDS}
    assert {words: line.partition("\n\n")[0] for words, _, line in COMMANDS} == first


def test_no_help_has_brackets() -> None:
    """They would be taken for markup, and left out."""
    said = [parameter.help or "" for _, found, _ in COMMANDS for parameter in found.params]
    named = [parameter.metavar or "" for _, found, _ in COMMANDS for parameter in found.params]
    assert len(said) > 100 and [text for text in (*said, *named) if "[" in text] == []


def loaded(lines: list[list[str]], names: list[str]) -> tuple[list[int], list[str]]:
    code = [sys.executable, "-c", LOADED, json.dumps(lines), json.dumps(names)]
    codes, found = json.loads(subprocess.run(code, stdout=subprocess.PIPE, check=True, timeout=100).stdout)
    return codes, found


def test_the_list_of_commands_loads_none_of_them() -> None:
    heavy = ["mitmproxy", "aiohttp", "cryptography", "proxy_addon.config", "proxy_addon.policy"]
    assert loaded([["--help"], ["--version"], ["nope"]], heavy) == ([0, 0, 2], [])


def test_no_help_loads_the_proxy() -> None:
    lines = [[*words, "--help"] for words, _, _ in COMMANDS]
    assert loaded(lines, ["mitmproxy", "aiohttp"]) == ([0] * len(lines), [])


def test_what_needs_no_proxy_loads_none(config: Path) -> None:
    Authority.open(config.parent / "ca")
    lines = [[*words, "--config", str(config)] for words in (("ca", "show"), ("env",), ("rules", "lint"))]
    lines += [["rules", "licences"], ["explain", "nonsense"]]
    assert loaded(lines, ["mitmproxy", "aiohttp", "diskcache"]) == ([0, 0, 0, 0, 2], [])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["explain", "hf:a/b", "--offline"], 1),
        (["explain", "hf:a/b", "--offline", "--json"], 1),
        (["explain", "hf:b/b", "--offline"], 0),
        (["doctor"], 1),
        (["ca", "export"], 0),
        (["ca", "--help"], 0),
        (["rules", "licences"], 0),
    ],
)
def test_who_stops_reading_changes_no_exit_code(config: Path, arguments: list[str], code: int) -> None:
    Authority.open(config.parent / "ca")
    said = {**os.environ, "HUBGATE_CONFIG": str(config)}
    with unread() as stdout:
        done = subprocess.run([*COMMAND, *arguments], stdout=stdout, stderr=subprocess.PIPE, env=said, timeout=60)
    assert (done.returncode, done.stderr) == (code, b"")


def test_who_stops_reading_faults_changes_no_exit_code(tmp_path: Path) -> None:
    with unread() as stderr:
        assert (
            subprocess.run([*COMMAND, "env", "-c", str(tmp_path / "gone")], stderr=stderr, timeout=60).returncode == 2
        )


@contextmanager
def unread() -> Iterator[int]:
    """A pipe whose reader is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_what_the_system_refuses_is_told_in_a_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "x" * 300
    config.write_text(f"cache: {{dir: {name}}}\n")
    assert run(["cache", "log", "--config", str(config)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert told.err.startswith("hubgate: ") and name in told.err and told.err.endswith(": File name too long\n")


def test_what_is_told_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["env", "--config", "\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_letters_that_the_locale_has_not_are_spelled_out(config: Path) -> None:
    plain = {**os.environ, "PYTHONIOENCODING": "", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [*COMMAND, "explain", "hf:a/b", "--offline", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, env=plain, timeout=30)
    assert (done.returncode, done.stderr) == (1, b"")
    assert rb"Verboten f\xfcr \u7981\u6b62" in done.stdout
