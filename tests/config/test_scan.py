"""The `scan:` section: what it says becomes a scanner."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proxy_addon.config import Settings, load
from proxy_addon.core.errors import ConfigError
from proxy_addon.scan import picklescan
from proxy_addon.scanners import scanner_of


def written(folder: Path, text: str) -> Settings:
    file = folder / "hubgate.yaml"
    file.write_text(f"cache: {{dir: {folder}}}\n{text}")
    return load(file)


def test_commands_are_a_name_a_list_or_a_mapping(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        'scan: {commands: [picklescan, [/bin/clamscan, "{file}"], {name: x, argv: [y, "{file}"], seconds: 5m}]}',
    )
    named, plain, full = scanner_of(found)._commands
    assert named.name == "picklescan" and (picklescan() is None or named == picklescan())
    assert (plain.name, plain.argv, plain.seconds) == ("clamscan", ("/bin/clamscan", "{file}"), 60)
    assert (full.name, full.argv, full.seconds) == ("x", ("y", "{file}"), 300)


def test_a_program_that_is_not_there_is_told_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    there, gone = sys.executable, str(tmp_path / "gone")
    scanner_of(written(tmp_path, f'scan: {{commands: [[{there}, "{{file}}"], [{gone}, "{{file}}"]]}}'))
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        f"scan.commands: there is no program {gone}"
    ]


def test_who_looks_is_told_by_the_commands(tmp_path: Path) -> None:
    bare = scanner_of(written(tmp_path, "scan: {seconds: 5s}"))
    more = scanner_of(written(tmp_path, 'scan: {commands: [[a, "{file}"]]}'))
    other = scanner_of(written(tmp_path, 'scan: {commands: [[b, "{file}"]]}'))
    assert len({bare.engine, more.engine, other.engine}) == 3
    assert (bare._seconds, bare._limits.seconds, more._limits.seconds) == (5, 5, 20)


@pytest.mark.parametrize("text", ["[[clamscan]]", "[clamscan]", "[[]]", "[{name: x, seconds: 5s}]"])
def test_what_cannot_be_a_command_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"scan\.commands"):
        written(tmp_path, f"scan: {{commands: {text}}}")
