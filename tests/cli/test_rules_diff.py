"""`hubgate rules diff` over logs that a server wrote, over logs written by hand, and over what is cached."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.cli import population
from proxy_addon.cli.main import run
from tests.hub import TestHub
from tests.processes import Hubgate, configuration, hubgate

HF = "https://huggingface.co"
NONE = "version: 1\n"
NO_NC = '{id: no-nc, effect: deny, match: {license: {commercial_use: "no"}}}'
NO_BIN = '{id: no-bin, effect: deny, mode: audit, match: {path: "**/*.bin"}}'
NO_DS = "{id: no-ds, effect: deny, match: {type: dataset}}"

type Diff = Callable[..., Any]


@pytest.fixture
def config(tmp_path: Path, hub: TestHub) -> Path:
    hub.clear()
    for name, text in (("none", NONE), ("nc", of(NO_NC)), ("bin", of(NO_BIN, NO_NC)), ("ds", of(NO_DS))):
        (tmp_path / f"{name}.yaml").write_text(text)
    return configuration(tmp_path, hub)


def of(*rules: str) -> str:
    return "version: 1\nrules:\n" + "".join(f"  - {rule}\n" for rule in rules)


@pytest.fixture
def diff(config: Path, capsys: pytest.CaptureFixture[str]) -> Diff:
    """What is printed for two of the rule files; with `--json` the value."""

    def say(old: str, new: str, *arguments: str, code: int) -> Any:
        capsys.readouterr()
        files = [str(config.parent / f"{name}.yaml") for name in (old, new)]
        assert run(["rules", "diff", *files, *arguments, "--config", str(config)]) == code
        told = capsys.readouterr()
        return json.loads(told.out) if "--json" in arguments else told.out + told.err

    return say


@pytest.fixture
def log(tmp_path: Path) -> Callable[..., str]:
    def writing(*lines: dict[str, Any], name: str = "x.jsonl") -> str:
        usual = {"time": "2026-11-22T10:00:00.000Z", "client": "10.0.0.1", "method": "GET", "kind": "file"}
        usual["hub"] = "huggingface"
        (tmp_path / name).write_text("".join(json.dumps(usual | each) + "\n" for each in lines))
        return f"--log={tmp_path / name}"

    return writing


def rows(told: Any, kind: str) -> list[tuple[str, str, int, int]]:
    return [(row["rule"], row["repo"], row["requests"], row["users"]) for row in told[kind]["rows"]]


def test_what_a_server_answered_is_judged_again_in_a_process(config: Path, hub: TestHub) -> None:
    with Hubgate(config) as proxy:
        for path in ("/acme/nc/resolve/main/config.json", "/acme/nc/resolve/main/config.json", "/api/models/acme/nc"):
            assert proxy.ask(HF + path).status == 200
        for path in ("/acme/tiny/resolve/main/old.bin", "/datasets/acme/tiny-ds/resolve/main/README.md"):
            assert proxy.ask(HF + path).status == 200
    files = [str(config.parent / name) for name in ("none.yaml", "bin.yaml")]
    hub.clear()
    done = hubgate("rules", "diff", *files, "--config", str(config), "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert hub.requests() == [] and told["population"] == "log"
    assert rows(told, "blocked") == [("no-nc", "hf:acme/nc", 1, 1)]  # whose info was stored; that of a file was not
    assert rows(told, "would_deny") == []
    assert told["unjudged"] == {"requests": 4, "why": {"not stored (--ask asks the hubs)": 4}}
    done = hubgate("rules", "diff", *files, "--config", str(config), "--ask", "--json")
    told = json.loads(done.stdout)
    assert (told["requests"], told["users"], told["unjudged"]["requests"]) == (5, 1, 0)
    assert rows(told, "blocked") == [("no-nc", "hf:acme/nc", 3, 1)]
    (row,) = told["blocked"]["rows"]
    assert (row["place"], row["files"]) == (f"{files[1]}:4", 2) and row["example"] == "@main/config.json"
    assert rows(told, "would_deny") == [("no-bin", "hf:acme/tiny", 1, 1)] and rows(told, "allowed") == []
    text = hubgate("rules", "diff", *files, "--config", str(config)).stdout  # by now all of it is stored
    assert text.startswith("5 requests by 1 user judged by both\n3 newly blocked\n")


def test_the_other_way_round_is_newly_allowed(diff: Diff, log: Callable[..., str], hub: TestHub) -> None:
    asked = log({"url": f"{HF}/acme/nc/resolve/main/config.json"}, {"url": f"{HF}/acme/tiny/resolve/main/old.bin"})
    told = diff("nc", "none", asked, "--ask", "--json", code=1)
    assert rows(told, "allowed") == [("no-nc", "hf:acme/nc", 1, 1)] and rows(told, "blocked") == []
    assert told["allowed"]["rows"][0]["place"].endswith("nc.yaml:3")


def test_no_difference_exits_0(diff: Diff, log: Callable[..., str]) -> None:
    asked = log({"url": f"{HF}/acme/nc/resolve/main/config.json"})
    assert diff("none", "none", asked, "--json", code=0)["requests"] == 1
    assert "0 newly blocked" in diff("nc", "nc", asked, "--ask", code=0)


def test_the_most_first_and_each_user_once(diff: Diff, log: Callable[..., str]) -> None:
    one, other = f"{HF}/datasets/a/one/resolve/main/x", f"{HF}/api/datasets/a/other"
    asked = log(
        {"url": one}, {"url": one, "client": "10.0.0.2"}, {"url": one, "user": "eve"}, {"url": one, "user": "eve"},
        {"url": other, "kind": "api"}, {"url": f"{HF}/a/model/resolve/main/x"},
    )  # fmt: skip
    told = diff("none", "ds", asked, "--json", code=1)
    assert rows(told, "blocked") == [("no-ds", "hf:datasets/a/one", 4, 3), ("no-ds", "hf:datasets/a/other", 1, 1)]
    assert (told["blocked"]["requests"], told["blocked"]["users"], told["users"]) == (5, 3, 3)
    lines = diff("none", "ds", asked, "--top", "1", code=1).splitlines()
    assert lines[1] == "5 newly blocked" and lines[3].split()[:4] == ["4", "3", "hf:datasets/a/one", "no-ds"]
    assert lines[4] == "and 1 more (--top)"


def test_rules_about_clients_and_users_are_judged_for_each(diff: Diff, log: Callable[..., str], config: Path) -> None:
    text = of(
        "{id: guests, effect: deny, match: {client: 192.0.2.0/24}}", "{id: eve, effect: deny, match: {user: eve}}"
    )
    (config.parent / "who.yaml").write_text(text)
    url = f"{HF}/a/b/resolve/main/x"
    asked = log({"url": url}, {"url": url, "client": "192.0.2.1"}, {"url": url, "user": "eve"})
    told = diff("none", "who", asked, "--json", code=1)
    assert rows(told, "blocked") == [("eve", "hf:a/b", 1, 1), ("guests", "hf:a/b", 1, 1)]


def test_what_the_log_does_not_name_is_counted_apart(diff: Diff, log: Callable[..., str]) -> None:
    lost = {"hub": "modelscope", "url": "https://modelscope.cn/api/v1/datasets/a/b/repo?"}
    asked = log(
        lost,
        lost | {"repo": "ms:datasets/a/b", "rule": "x"},
        {"url": "https://cdn-lfs-us-1.hf.co/repos/a/b/" + "0" * 64 + "?", "kind": "blob"},
        {"url": f"{HF}/api/whoami-v2", "kind": "secret"},
        {"url": "https://example.org/x", "hub": "-", "kind": "-"},
        {"url": f"{HF}/docs/hub", "kind": "plain"},
        {"url": f"{HF}/datasets/a/b/resolve/main/x", "method": "PUT", "kind": "upload"},
    )
    with Path(asked.removeprefix("--log=")).open("a") as stream:
        stream.write('no line\n{"time": "2026-')
    told = diff("none", "ds", asked, "--json", code=1)
    assert rows(told, "blocked") == [("no-ds", "ms:datasets/a/b", 1, 1)]
    assert (told["requests"], told["unread"], told["left_out"]) == (1, 1, 0)
    assert (told["unplaced"], told["beside"]) == (2, 4)
    text = diff("none", "ds", asked, code=1)
    assert "2 about nobody knows which repo" in text and "1 lines that are none of an access log" in text


def test_who_cannot_judge_says_neither_yes_nor_no(diff: Diff, log: Callable[..., str], hub: TestHub) -> None:
    asked = log({"url": f"{HF}/acme/nc/resolve/main/config.json"}, {"url": f"{HF}/acme/gone/resolve/main/x"})
    text = diff("none", "nc", asked, code=3)
    assert "2 not judged: not stored (--ask asks the hubs)" in text and hub.requests() == []
    told = diff("none", "nc", asked, "--ask", "--json", code=1)
    assert rows(told, "blocked") == [("no-nc", "hf:acme/nc", 1, 1)] and told["unjudged"]["requests"] == 1
    assert next(iter(told["unjudged"]["why"])).startswith("the hub answers 401")


def test_several_logs_are_one(diff: Diff, log: Callable[..., str]) -> None:
    url = {"url": f"{HF}/datasets/a/b/resolve/main/x"}
    told = diff("none", "ds", log(url, name="a.1"), log(url, name="a"), "--json", code=1)
    assert rows(told, "blocked") == [("no-ds", "hf:datasets/a/b", 2, 1)]


def test_no_more_is_kept_than_there_is_room_for(
    diff: Diff, log: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(population, "MOST", 3)
    asked = log(*({"url": f"{HF}/datasets/a/b{n}/resolve/main/x"} for n in (0, 0, 1, 2, 3, 4, 0)))
    told = diff("none", "ds", asked, "--json", code=1)
    assert (told["blocked"]["requests"], told["left_out"]) == (5, 2)
    assert "2 left out, as there were too many" in diff("none", "ds", asked, code=1)


def test_without_a_log_what_is_cached_is_judged(diff: Diff, config: Path) -> None:
    for arguments in (["hf:acme/nc"], ["hf:datasets/acme/tiny-ds"]):
        assert hubgate("prefetch", *arguments, "--config", str(config)).returncode == 0
    (config.parent / "access.log").unlink(missing_ok=True)
    told = diff("none", "nc", "--ask", "--json", code=1)
    assert (told["population"], told["users"]) == ("cache", 0)
    (row,) = told["blocked"]["rows"]
    assert (row["rule"], row["repo"], row["users"]) == ("no-nc", "hf:acme/nc", 0) and row["files"] == row["requests"]
    assert "cached files judged by both" in diff("none", "nc", code=1)


@pytest.mark.parametrize(
    ("new", "arguments", "word"),
    [
        ("gone", [], "cannot be read"),
        ("bad", [], "bad.yaml:2"),
        ("nc", ["--log", "/nonexistent"], "cannot be read"),
    ],
)
def test_faults_exit_2(diff: Diff, config: Path, new: str, arguments: list[str], word: str) -> None:
    (config.parent / "bad.yaml").write_text("version: 1\nruels: []\n")
    assert word in diff("none", new, *arguments, code=2)
