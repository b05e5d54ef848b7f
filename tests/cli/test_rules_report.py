"""`hubgate rules report` over logs that a server wrote, and over logs written by hand."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.cli import report
from proxy_addon.cli.main import run
from tests.hub import TestHub
from tests.processes import Hubgate, configuration, hubgate

type Report = Callable[..., Any]


def day(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def rules(folder: Path) -> None:
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules/own.yaml").write_text(f"""version: 1
rules:
  - {{id: no-nc, effect: deny, match: {{license: {{commercial_use: "no"}}}}}}
  - {{id: no-bin, effect: deny, mode: audit, match: {{path: "**/*.bin"}}}}
  - {{id: idle, effect: deny, match: {{repo: "foo/*"}}}}
  - {{id: no-ds, effect: deny, match: {{type: dataset}}}}
exceptions:
  - {{id: EX-used, match: {{repo: acme/tiny-ds}}, overrides: [no-ds], owner: bob, expires: {day(20)}}}
  - {{id: EX-idle, match: {{repo: acme/other}}, overrides: [no-ds], owner: bob, expires: {day(60)}}}
  - {{id: EX-old, match: {{repo: acme/older}}, overrides: [no-ds], owner: bob, expires: {day(-5)}}}
approvals:
  - {{id: AP-ever, match: {{repo: acme/x}}, approved_by: eve}}
""")


@pytest.fixture
def config(tmp_path: Path, hub: TestHub) -> Path:
    rules(tmp_path)
    return configuration(tmp_path, hub)


@pytest.fixture
def said(config: Path, capsys: pytest.CaptureFixture[str]) -> Report:
    """What is printed; with `--json` the value."""

    def say(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert run(["rules", "report", *arguments, "--config", str(config)]) == code
        told = capsys.readouterr()
        return json.loads(told.out) if "--json" in arguments else told.out + told.err

    return say


def line(ago: float = 60.0, **more: Any) -> str:
    at = datetime.fromtimestamp(time.time() - ago, UTC).isoformat(timespec="milliseconds")
    usual = {"time": at, "id": "x", "client": "10.0.0.1", "method": "GET", "url": "https://huggingface.co/a/b?"}
    return json.dumps(usual | more) + "\n"


def names(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(row["name"], row["requests"]) for row in rows]


def test_what_a_server_denied_is_told_in_a_process(config: Path) -> None:
    with Hubgate(config) as proxy:
        for _ in range(2):
            assert proxy.ask("https://huggingface.co/acme/nc/resolve/main/config.json").status == 403
        assert proxy.ask("https://huggingface.co/acme/tiny/resolve/main/old.bin").status == 200
        assert proxy.ask("https://huggingface.co/datasets/acme/tiny-ds/resolve/main/README.md").status == 200
    done = hubgate("rules", "report", "--config", str(config), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["requests"], told["unread"], told["denied"]["requests"]) == (4, 0, 2)
    assert [names(told["denied"][what]) for what in ("repos", "rules", "users")] == [
        [("hf:acme/nc", 2)], [("no-nc", 2)], [("127.0.0.1", 2)],
    ]  # fmt: skip
    assert told["denied"]["rules"][0]["place"] == f"{config.parent}/rules/own.yaml:3"
    assert names(told["would_deny"]["rules"]) == [("no-bin", 1)]
    assert names(told["would_deny"]["repos"]) == [("hf:acme/tiny", 1)]
    assert [(each["id"], each["expires"]) for each in told["expiring"]] == [("EX-used", day(20))]
    assert [(each["id"], each["expires"]) for each in told["expired"]] == [("EX-old", day(-5))]
    assert [each["id"] for each in told["unused"]] == ["EX-idle", "AP-ever"]
    assert [each["id"] for each in told["silent"]] == ["idle"]
    text = hubgate("rules", "report", "--config", str(config)).stdout
    assert text.startswith("4 requests since ") and "\n2 denied\n" in text and "\n1 would be denied" in text
    assert "\n1 end within 30 days\n" in text and "\n1 spoke to no request in this time\n" in text


def test_since_and_the_order_and_the_last_time(said: Report, tmp_path: Path) -> None:
    log = tmp_path / "x.jsonl"
    log.write_text(
        line(9 * 86400, repo="hf:a/old", rule="no-nc")
        + line(7200, repo="hf:a/b", rule="no-nc", client="10.0.0.2")
        + line(60, repo="hf:a/c", rule="no-nc")
        + line(3600, repo="hf:a/c", rule="gone", user="eve")
        + line(30)
    )
    told = said("--log", str(log), "--json")
    assert (told["requests"], told["denied"]["requests"]) == (4, 3)
    assert names(told["denied"]["repos"]) == [("hf:a/c", 2), ("hf:a/b", 1)]
    assert names(told["denied"]["users"]) == [("10.0.0.1", 1), ("10.0.0.2", 1), ("eve", 1)]
    last = datetime.fromisoformat(told["denied"]["repos"][0]["last"])
    assert abs(last.timestamp() - (time.time() - 60)) < 30
    assert {row["name"]: row["place"] for row in told["denied"]["rules"]}["gone"] is None
    assert said("--log", str(log), "--json", "--since", "30d")["denied"]["requests"] == 4
    assert names(said("--log", str(log), "--json", "--since", "90m")["denied"]["repos"]) == [("hf:a/c", 2)]
    assert len(said("--log", str(log), "--json", "--top", "1")["denied"]["repos"]) == 1


def test_logs_that_were_rotated_and_a_line_that_is_being_written(said: Report, tmp_path: Path) -> None:
    (tmp_path / "a.1").write_text(line(repo="hf:a/b", rule="no-nc") + '{"time": "2026')
    with gzip.open(tmp_path / "a.2.gz", "wt") as packed:
        packed.write(line(repo="hf:a/b", rule="no-nc"))
    noise = b'\xff\xfe\n[1]\n{"time": 1, "url": "x"}\n{"url": "x"}\n' + b"x" * 600_000 + b"\n"
    (tmp_path / "a").write_bytes(noise + line(repo="hf:a/b", rule="no-nc").encode())
    logs = [f"--log={tmp_path}/{name}" for name in ("a.2.gz", "a.1", "a")]
    told = said(*logs, "--json")
    assert (told["requests"], told["denied"]["requests"], told["unread"]) == (3, 3, 5)
    assert "5 lines are none of an access log" in said(*logs)


def test_of_broken_rules_the_last_good_ones_are_told_of(said: Report, config: Path, tmp_path: Path) -> None:
    with Hubgate(config):
        pass  # the server keeps the last good rules
    (tmp_path / "rules/own.yaml").write_text("version: 1\nruels: []\n")
    log = tmp_path / "x"
    log.write_text(line(repo="hf:a/b", rule="no-nc"))
    text = said("--log", str(log))
    assert "own.yaml:2: ruels" in text and "the last good set of" in text and "own.yaml:3" in text
    told = said("--log", str(log), "--json")
    assert len(told["faults"]) == 1 and [each["id"] for each in told["expired"]] == ["EX-old"]


def test_what_is_odd_in_a_line_harms_nothing(said: Report, tmp_path: Path) -> None:
    log = tmp_path / "x"
    log.write_text(
        line(repo=7, rule=["x"], would_deny="no-bin", by={}) + line(would_deny=["no-bin", 3], repo="a\x1b[2J")
    )
    told = said("--log", str(log), "--json")
    assert (told["denied"]["requests"], told["would_deny"]["requests"]) == (0, 1)
    assert "\x1b" not in said("--log", str(log))


def test_more_names_than_are_counted_are_counted_together(
    said: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MAX_NAMES", 2)
    log = tmp_path / "x"
    log.write_text("".join(line(repo=f"hf:a/{n}", rule="no-nc") for n in range(5)))
    assert names(said("--log", str(log), "--json")["denied"]["repos"]) == [
        ("(others)", 3), ("hf:a/0", 1), ("hf:a/1", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--since", "7"], "7d"),
        (["--since", "-1d"], "7d"),
        (["--log", "/nonexistent"], "cannot be read"),
        (["--top", "0"], "top"),
        ([], "access.log cannot be read"),
    ],
)
def test_wrong_use_exits_2(said: Report, arguments: list[str], word: str) -> None:
    assert word in said(*arguments, code=2)


def test_since_the_beginning_of_time(said: Report, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(line())
    told = said("--since", "99999999999d", "--log", str(tmp_path / "x"), "--json")
    assert (told["requests"], told["since"]) == (1, "1970-01-01T00:00:00+00:00")


def test_a_compressed_log_that_is_damaged_exits_2(said: Report, tmp_path: Path) -> None:
    data = bytearray(gzip.compress(line().encode()))
    data[10] = 0b111  # behind the head: a block of a type that there is not
    (tmp_path / "x.gz").write_bytes(data)
    assert "x.gz cannot be read to its end: Error -3" in said("--log", str(tmp_path / "x.gz"), code=2)


def test_without_a_log_one_is_to_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(tmp_path, access_log="-")
    assert run(["rules", "report", "--config", str(config)]) == 2
    assert "--log FILE" in capsys.readouterr().err
