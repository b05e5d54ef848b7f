import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from proxy_addon.cli.main import run
from proxy_addon.policy import trial
from proxy_addon.policy.load import load
from proxy_addon.policy.schema import Match

ROOT = Path(__file__).parent.parent.parent
SETS = sorted((ROOT / "rules/sets").glob("*.yaml"))
CASE = "tests:\n  - {name: a b, given: {repo: a/b}, expect: {decision: %s}}\n"


@pytest.fixture
def write(tmp_path):
    def writing(text, name="rules.yaml"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"version: 1\n{text}")
        return str(file)

    return writing


@pytest.mark.parametrize(
    ("text", "strict", "code", "word"),
    [
        ("rules: []", True, 0, "0 rules in 1 file, 0 warnings"),
        ("rules:\n  - {id: x, effect: deny, match: {license: my-own}}", False, 0, "warning: "),
        ("rules:\n  - {id: x, effect: deny, match: {license: my-own}}", True, 1, "warning: "),
        ("rules:\n  - {id: x, effect: deni, match: {license: my-own}}", False, 2, "rules.yaml:3: rules[0].effect"),
    ],
)
def test_lint(write, capsys, text, strict, code, word):
    arguments = ["rules", "lint", write(text), *(["--strict"] if strict else [])]
    assert run(arguments) == code
    told = capsys.readouterr()
    assert word in told.out + told.err
    assert run([*arguments, "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert (answer["exit"], len(answer["errors"]), len(answer["warnings"])) == (code, code == 2, word == "warning: ")


def test_lint_of_what_the_configuration_names(write, tmp_path, capsys, monkeypatch):
    write("ruels: []", "rules/x.yaml")
    monkeypatch.chdir(tmp_path)
    assert run(["rules", "lint"]) == 2
    assert "x.yaml:2: ruels: no such key; did you mean `rules`?" in capsys.readouterr().out


def test_cases_that_come_out_otherwise_are_told_with_the_difference(write, tmp_path, capsys):
    write("rules:\n  - {id: no-a, effect: deny, match: {repo: 'a/*'}, reason: 'no {repo}'}\n" + CASE % "allow")
    write(CASE % "deny", "tests/of-all.yaml")
    write("about: other/one.yaml\n" + CASE % "deny", "tests/of-one.yaml")
    write("defaults: {decision: allow}\n", "tests/other/one.yaml")
    report = tmp_path / "report.xml"
    assert run(["rules", "test", str(tmp_path), "--junit", str(report)]) == 1
    told = capsys.readouterr()
    assert "rules.yaml:5: a b\n    expected allow, got deny by no-a (" in told.out and "no a/b" in told.out
    assert "of-one.yaml:4: a b\n    expected deny, got allow, as nothing denies it" in told.out
    assert "3 cases, 2 failed" in told.err
    suite = ElementTree.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures"), len(suite.findall(".//failure"))) == ("3", "2", 2)
    assert run(["rules", "test", str(tmp_path), "--json"]) == 1
    assert [case["passed"] for case in json.loads(capsys.readouterr().out)["cases"]] == [False, True, False]


def test_a_case_names_the_rule_and_what_only_would_deny(write, capsys):
    text = "mode: audit\nrules:\n  - {id: no-a, effect: deny, match: {repo: 'a/*'}}\ntests:\n"
    for heard, code in (("no-a", 0), ("[]", 2), ("[x]", 1)):
        file = write(text + f"  - {{name: x, given: {{repo: a/b}}, expect: {{decision: allow, would_deny: {heard}}}}}")
        assert run(["rules", "test", file]) == code
    file = write(
        text.replace("mode: audit", "") + "  - {name: x, given: {repo: a/b}, expect: {decision: deny, rule: x}}"
    )
    assert run(["rules", "test", file]) == 1
    assert "expected deny by x, got deny by no-a" in capsys.readouterr().out


def test_faults_in_cases_are_faults(write, tmp_path, capsys):
    write("rules: []")
    write("tests:\n  - {name: x, given: {repo: a/b, nope: 1}, expect: {decision: deny}}", "tests/x.yaml")
    assert run(["rules", "test", str(tmp_path)]) == 2
    assert "tests/x.yaml:3: tests[0].given: nope: not to be given" in capsys.readouterr().err


def test_the_shipped_rules_are_in_order(capsys):
    for file in (ROOT / "rules", *SETS):
        assert run(["rules", "lint", "--strict", str(file)]) == 0
    capsys.readouterr()
    assert run(["rules", "test", str(ROOT / "rules"), "--json"]) == 0
    told = {Path(case["place"].rpartition(":")[0]).stem for case in json.loads(capsys.readouterr().out)["cases"]}
    assert told == {"default", *(file.stem for file in SETS)}


def test_what_is_commented_out_in_the_shipped_rules_is_right(tmp_path):
    shipped = (ROOT / "rules/default.yaml").read_text()
    head, _, rest = shipped.partition("version: 1\n# mode: audit")
    file = tmp_path / "default.yaml"
    file.write_text(f"{head}version: 1\n# mode: audit" + re.sub("^# ?", "", rest, flags=re.MULTILINE))
    day = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    loaded = load([file], now=day)
    assert loaded.policy.size == 7 and loaded.warnings == ()
    assert [each.differences for each in trial.run([file], now=day)] == [()]


@pytest.mark.parametrize("sets", [*([file] for file in SETS), SETS], ids=lambda sets: "+".join(s.stem for s in sets))
def test_a_set_is_in_order_where_it_is_copied_to(sets, tmp_path, capsys):
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    for file in sets:
        shutil.copy(file, rules)
        named = (rules / file.name).read_text().splitlines()[0].partition("$schema=")[2]
        assert (rules / named).is_file()
    assert run(["rules", "lint", "--strict", str(rules)]) == 0
    assert run(["rules", "test", str(rules)]) == 0
    assert f" in {len(sets) + 1} files, 0 warnings" in capsys.readouterr().err


def test_the_schema_that_editors_use_is_that_of_the_models(capsys):
    assert run(["rules", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == json.loads((ROOT / "rules/schema.json").read_text())
    assert schema["$defs"]["Match"]["properties"].keys() == Match.model_fields.keys()
    for file in (ROOT / "rules/default.yaml", *SETS):
        named = file.read_text().splitlines()[0].partition("$schema=")[2]
        assert (file.parent / named).resolve() == ROOT / "rules/schema.json"
