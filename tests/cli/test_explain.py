"""`hubgate explain` as people run it, before the test hub and over real cache directories."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy_addon.cli.inspecting import Naming
from proxy_addon.cli.main import run
from proxy_addon.config import Settings
from tests.hub import Repo, TestHub
from tests.processes import COMMAND, Hubgate, configuration, hubgate

RULES = """version: 1
defaults: {contact: gov@example.org, request_url: "https://t.example.org/?repo={repo}"}
classifications:
  - {id: emb, class: embargoed, match: {repo: acme/space}, reason: legal hold}
rules:
  - id: lic-nc
    effect: deny
    match: {license: {commercial_use: "no"}}
    reason: "Licence {license.id} does not allow commercial use."
    owner: legal@example.org
  - {id: no-pickle, effect: deny, mode: audit, match: {path: "**/*.bin", has_safetensors_twin: true}}
  - {id: elsewhere, effect: deny, match: {repo: "foo/*"}}
  - {id: eve, effect: deny, match: {user: eve}}
  - {id: guests, effect: deny, match: {client: 192.0.2.0/24, path: config.json}}
exceptions:
  - {id: EX-1, match: {repo: acme/tiny}, overrides: [eve], owner: bob, expires: 2099-12-31}
"""

type Explain = Callable[..., Any]


@pytest.fixture
def config(tmp_path: Path, hub: TestHub) -> Path:
    hub.clear()
    write(tmp_path, RULES.replace("2099-12-31", soon()))
    return configuration(tmp_path, hub)


def soon() -> str:
    return (datetime.now(UTC) + timedelta(days=30)).date().isoformat()


def write(folder: Path, text: str) -> Path:
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules/own.yaml").write_text(text)
    return folder / "rules/own.yaml"


@pytest.fixture
def explain(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Explain:
    """What is printed; with `--json` the value."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def say(*arguments: str, code: int) -> Any:
        assert run(["explain", *arguments, "--config", str(config)]) == code
        told = capsys.readouterr()
        if "--json" not in arguments:
            return told.out + told.err
        value = json.loads(told.out)
        assert value["exit"] == code
        return value

    return say


def rules_of(told: Any) -> dict[str, str]:
    (subject,) = told["subjects"]
    return {rule["id"]: rule["outcome"] for rule in subject["rules"]}


def test_a_denial_is_explained_in_a_process(config: Path, hub: TestHub) -> None:
    done = hubgate("explain", "hf:acme/nc", "--config", str(config))
    place = f"{config.parent}/rules/own.yaml:6"
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert f"DENIED by lic-nc ({place}): hf:acme/nc" in lines and "\x1b" not in done.stdout
    assert any(line.split()[:2] == ["license", "cc-by-nc-4.0"] and "card of acme/nc at" in line for line in lines)
    assert any(line.split() == ["lic-nc", "deny", place, "license:", "cc-by-nc-4.0"] for line in lines)
    shown = "Blocked by policy rule 'lic-nc' (legal@example.org): Licence cc-by-nc-4.0 does not allow commercial use."
    assert f"  {shown} Ask at https://t.example.org/?repo=acme%2Fnc or run: hubgate explain hf:acme/nc [id]" in lines
    assert "  with an exception that names lic-nc: allowed" in lines and f"  without lic-nc ({place}): allowed" in lines
    assert "elsewhere" not in done.stdout and "rules (see --json)" in done.stdout
    assert lines[0].startswith("DENIED") and lines[lines.index("in the cache") + 1] == "  nothing of it"
    assert all(line == line.rstrip() for line in lines)


def test_a_terminal_gets_colours(config: Path) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, "explain", "hf:acme/nc", "--config", str(config)]
    process = subprocess.Popen(command, stdout=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "200"})
    os.close(theirs)
    text = b""
    while b"in the cache" not in text:
        text += os.read(ours, 4096)
    assert process.wait(20) == 1
    os.close(ours)
    assert b"\x1b[1;31mDENIED\x1b[0m" in text


def test_programs_are_told_every_rule_and_every_fact(explain: Explain) -> None:
    told = explain("hf:acme/tiny@main/old.bin", "--json", "--client", "10.0.0.1", code=0)
    assert (told["hub"], told["kind"]) == ("huggingface", "file")
    assert told["key"] == "file:huggingface/models/acme/tiny@main/old.bin" and told["rules"]["count"] == 7
    assert rules_of(told) == {
        "emb": "no_match", "lic-nc": "no_match", "no-pickle": "would_deny", "elsewhere": "no_match",
        "eve": "no_match", "guests": "no_match", "EX-1": "unused",
    }  # fmt: skip
    (subject,) = told["subjects"]
    assert (subject["decision"], subject["would_deny"], subject["rule"]) == ("allow", ["no-pickle"], None)
    assert (subject["repo"], subject["revision"], subject["path"]) == ("hf:acme/tiny", "main", "old.bin")
    assert subject["facts"]["license"]["value"] == ["apache-2.0"] and subject["facts"]["license"]["known"]
    assert subject["facts"]["client"]["value"] == "10.0.0.1"
    irrelevant = {rule["id"] for rule in subject["rules"] if not rule["relevant"]}
    assert irrelevant == {"emb", "elsewhere", "eve", "guests"}
    (change,) = subject["changes"]
    assert (change["what"], change["rules"], change["decision"]) == ("enforced", ["no-pickle"], "deny")


def test_another_user_and_client_are_judged_as_themselves(explain: Explain) -> None:
    assert rules_of(explain("hf:datasets/acme/tiny-ds", "--as", "eve", "--json", code=1))["eve"] == "denies"
    told = explain("hf:acme/tiny", "--as", "eve", code=0)
    assert "ALLOWED by EX-1: hf:acme/tiny" in told and "user: eve; lifted by EX-1" in told
    assert "EX-1" in told.split("what would change it")[1]
    assert "DENIED by guests" in explain("hf:acme/tiny/config.json", "--client", "192.0.2.7", code=1)
    assert "not given (--client)" in explain("hf:acme/tiny/config.json", code=0)


def test_of_an_embargo_no_hub_is_asked(explain: Explain, hub: TestHub) -> None:
    told = explain("hf:spaces/acme/space", code=1)
    assert "DENIED by emb" in told and "legal hold. No exception can be granted." in told
    assert hub.requests() == []


@pytest.mark.parametrize(
    ("what", "repo", "kind"),
    [
        ("https://huggingface.co/acme/nc/resolve/main/config.json", "hf:acme/nc", "file"),
        ("https://huggingface.co/api/models/acme/nc/tree/main?recursive=true", "hf:acme/nc", "api"),
        ("https://huggingface.co/acme/nc/info/refs?service=git-upload-pack", "hf:acme/nc", "git"),
        ("https://huggingface.co/acme/nc", "hf:acme/nc", "plain"),
        ("https://huggingface.co/api/models/acme/nc/xet-read-token/main", "hf:acme/nc", "secret"),
        ("hf:acme/nc@main/README.md", "hf:acme/nc", "file"),
    ],
)
def test_any_url_of_a_repo_leads_to_the_same_rule(explain: Explain, what: str, repo: str, kind: str) -> None:
    told = explain(what, "--json", code=1)
    (subject,) = told["subjects"]
    assert (subject["repo"], subject["rule"], told["kind"]) == (repo, "lic-nc", kind)


def test_modelscope_has_its_own_facts(explain: Explain, hub: TestHub) -> None:
    assert "apache-2.0" in explain("ms:acme/tiny@v1.0.0/config.json", code=0)
    hub.add(Repo("acme/nc", files={"README.md": "---\nlicense: cc-by-nc-4.0\n---\n"}, hub="modelscope"))
    told = explain("ms:acme/nc/README.md", "--json", code=1)
    assert told["subjects"][0]["rule"] == "lic-nc" and told["subjects"][0]["repo"] == "ms:acme/nc"


def test_what_only_the_answer_tells_is_asked_of_it(explain: Explain, config: Path, hub: TestHub) -> None:
    digest = hub.repo("acme/tiny").file("old.bin", "main").sha256
    rule = f'{{id: bytes, effect: deny, match: {{digest: "sha256:{digest}"}}}}'
    write(config.parent, f"version: 1\nrules:\n  - {rule}\n")
    told = explain("hf:acme/tiny/old.bin", "--json", code=1)["subjects"][0]
    assert told["rule"] == "bytes" and told["facts"]["digest"]["source"] == "reply"
    assert "ALLOWED" in explain("hf:acme/tiny/config.json", code=0)
    write(config.parent, "version: 1\nscan: {pickle: {}}\n")
    assert "it was not scanned yet" in explain("hf:acme/tiny/old.bin", code=3)
    assert "there is no such file" in explain("hf:acme/tiny/none.bin", code=0)
    assert [explain("hf:acme/tiny/none.bin", "--json", code=0)["subjects"][0]["missing"]] == [True]
    assert "no such file" not in explain("hf:acme/tiny/old.bin", code=3)


def test_without_the_hub_no_hub_is_said_to_have_answered(explain: Explain) -> None:
    told = explain("hf:acme/nc", "--offline", code=3)
    assert "could not be asked: " in told and "the hub answers" not in told


def test_a_repo_under_its_old_name_is_judged_by_both(explain: Explain, config: Path) -> None:
    told = explain("hf:acme/old-name", "--json", code=0)
    assert [subject["repo"] for subject in told["subjects"]] == ["hf:acme/old-name", "hf:acme/tiny"]
    write(config.parent, "version: 1\nrules:\n  - {id: t, effect: deny, match: {repo: acme/tiny}}\n")
    assert "DENIED by t" in explain("hf:acme/old-name", code=1)


def test_ones_own_token_opens_what_is_ones_own(explain: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    told = explain("hf:acme/private", code=3)
    assert "NOT DECIDABLE without the license" in told and "could not be asked: the hub answers 401" in told
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    told = explain("hf:acme/private", code=0)
    assert "mit" in told and "hf_reader" not in told
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms_reader")
    assert explain("ms:acme/private", "--json", code=0)["subjects"][0]["facts"]["license"]["known"]


def test_a_token_is_for_its_own_hub_only() -> None:
    naming, environment = Naming(Settings()), {"HF_TOKEN": "hf_x"}
    assert naming.request("hf:a/b", "", environment)[0].headers.get("authorization") == "Bearer hf_x"
    assert "authorization" not in naming.request("ms:a/b", "", environment)[0].headers
    broken = {"HF_TOKEN": "hf\nx"}
    assert "authorization" not in naming.request("hf:a/b", "", broken)[0].headers


def test_offline_knows_what_is_stored_and_asks_nobody(explain: Explain, hub: TestHub) -> None:
    told = explain("hf:acme/nc", "--offline", code=3)
    assert "could not be asked: no hub is asked (--offline)" in told and hub.requests() == []
    assert "if the license were known, and were mit for example: allowed" in told
    explain("hf:acme/nc", code=1)
    hub.clear()
    assert "DENIED by lic-nc" in explain("hf:acme/nc", "--offline", code=1)
    assert hub.requests() == []
    hub.stop()
    assert "DENIED by lic-nc" in explain("hf:acme/nc", code=1)
    assert "could not be asked: cannot connect to huggingface.co" in explain("hf:acme/private", code=3)


def test_a_link_by_digest_is_traced_to_its_repo(config: Path, hub: TestHub, explain: Explain) -> None:
    digest = hub.repo("acme/tiny").file("old.bin", "main").sha256
    link = f"https://cdn-lfs-us-1.hf.co/repos/a/b/c/{digest}?Signature=canary&Expires=1"
    told = explain(link, code=1)
    assert "What the rules ask of the repo that this is from is not known here" in told and "canary" not in told
    with Hubgate(config) as proxy:
        assert proxy.ask("https://huggingface.co/acme/tiny/resolve/main/old.bin").status == 200
    told = explain(link, "--json", code=0)
    (subject,) = told["subjects"]
    assert subject["repo"] == "hf:acme/tiny" and "canary" not in json.dumps(told)
    assert subject["cached"] == {"files": 1, "bytes": 1_500_000, "held": 1_500_000}


def test_what_is_cached_is_told(explain: Explain, config: Path) -> None:
    done = hubgate("prefetch", "hf:acme/tiny", "--include", "*.json", "--include", "old.bin", "--config", str(config))
    assert done.returncode == 0, done.stderr
    told = explain("hf:acme/tiny/old.bin", "--json", code=0)["subjects"][0]["cached"]
    assert told == {"files": 1, "bytes": 1_500_000, "held": 1_500_000}
    assert explain("hf:acme/tiny", "--json", "--offline", code=0)["subjects"][0]["cached"]["files"] > 1
    assert "files, 1.5 MB of 1.5 MB" in explain("hf:acme/tiny", code=0)


def test_about_no_repo_no_rule_speaks(explain: Explain) -> None:
    assert "It is about no repo" in explain("https://huggingface.co/api/whoami-v2", code=0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["acme/tiny"], "hf:org/name"),
        (["hf:a/b/../c"], "hf:a/b/../c"),
        (["hf:"], "hf:org/name"),
        (["ms:tiny"], "ms:org/name"),
        (["https://example.org/x"], "none of the hosts"),
        (["https://huggingface.co/a/b/resolve/main/%2e%2e/x?Signature=y"], "dot segment"),
        (["hf:a/b", "--client", "x"], "x"),
        ([], "WHAT"),
    ],
)
def test_wrong_use_exits_2(explain: Explain, arguments: list[str], word: str) -> None:
    assert word in explain(*arguments, code=2)


def test_broken_rules_exit_2_and_tell_what_is_in_force(explain: Explain, config: Path) -> None:
    good = write(config.parent, RULES.replace("2099-12-31", soon())).read_text()
    with Hubgate(config):
        pass  # the server keeps the last good rules
    write(config.parent, good.replace("effect: deny", "effect: deni", 1))
    told = explain("hf:acme/nc", code=2)
    assert "own.yaml:7: rules[0].effect" in told and "the last good set of" in told
    told = explain("hf:acme/nc", "--json", code=2)
    assert len(told["errors"]) == 1 and told["in_force"]["count"] == 7
    write(config.parent, good)
    assert "DENIED by lic-nc" in explain("hf:acme/nc", code=1)


def test_without_rules_all_is_allowed(explain: Explain, config: Path) -> None:
    (config.parent / "rules/own.yaml").unlink()
    assert explain("hf:acme/nc", "--json", code=0)["rules"]["count"] == 0
    assert "none here, so everything is allowed; is this the proxy's machine" in explain("hf:acme/nc", code=0)


def test_paths_below_the_working_directory_are_short(
    explain: Explain, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    told = explain("hf:acme/nc", code=1)
    assert "DENIED by lic-nc (rules/own.yaml:6): hf:acme/nc" in told and "  without lic-nc (rules/own.yaml:6)" in told
    assert str(config.parent) not in told
