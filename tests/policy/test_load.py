import itertools
import os

import pytest

from proxy_addon.policy.judge import Allow, Deny
from proxy_addon.policy.load import RulesError, load
from tests.policy.drawn import NOW, facts

DENY = '  - {id: %s, effect: deny, match: {repo: "%s"}}\n'


@pytest.fixture
def write(tmp_path):
    def writing(text, name="rules.yaml"):
        file = tmp_path / name
        file.write_text(text)
        return file

    return writing


def faults(*paths):
    with pytest.raises(RulesError) as error:
        load(paths, now=NOW)
    return error.value.faults


def test_several_files_are_one_policy(tmp_path, write):
    write("version: 1\nrules:\n" + DENY % ("one", "a/*"))
    write("version: 1\nrules:\n" + DENY % ("two", "c/*"), "more.yml")
    write("version: 1\nrules: nonsense", "not-a-rule-file.txt")
    loaded = load([tmp_path, tmp_path / "more.yml"], now=NOW)
    assert [file.name for file in loaded.files] == ["more.yml", "rules.yaml"] and loaded.warnings == ()
    answer = loaded.policy.judge(facts(), NOW)
    assert isinstance(answer, Deny) and answer.place == f"{tmp_path}/rules.yaml:3"


def test_every_fault_in_every_file_is_told_with_its_line(write):
    one = write("version: 1\nruels: []\nrules:\n  - id: a b\n    effect: forbid\n    match: {repo: 5}\n")
    two = write("version: 2\nmode: on\nmode: audit\nlists: {x: [a**]}\n", "two.yaml")
    told = faults(one, two)
    starts = [f"{one}:2: ruels", f"{one}:4: rules[0].id", f"{one}:5: rules[0].effect", f"{one}:6: rules[0].match.repo",
              f"{two}:1: version", f"{two}:2: mode", f"{two}:3: mode", f"{two}:4: lists.x"]  # fmt: skip
    assert [start for start, fault in zip(starts, told, strict=True) if not fault.startswith(start)] == []
    assert "did you mean `rules`?" in told[0] and all(";" in fault for fault in told)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("", 1, "empty"),
        ("- a", 1, "not a mapping"),
        ("version: 1\nrules: [", 2, "not valid YAML"),
        ("version: 1\na: &x [1]\nb: *x", 2, "anchor"),
        ("version: 1\n#" + "x" * 10_000_000, 1, "bytes"),
        ("rules: []", None, "version"),
        (
            "version: 1\nrules:\n" + DENY % ("one", "a/*") + DENY % ("one", "c/*"),
            4,
            "'one' is here for the second time",
        ),
        ("version: 1\nrules:\n  - {id: x, effect: deny, match: }", 3, "names nothing"),
        ("version: 1\nrules:\n  - {id: x, effect: deny}", 3, "missing"),
        ("version: 1\nrules:\n  - {id: x, effect: deny, match: {license: {on_unknown: deny}}}", 3, "no licence"),
        (
            "version: 1\nrules:\n  - {id: x, effect: deny, match: {license: {comercial_use: no}}}",
            3,
            "license.commercial_use`?",
        ),
        ("version: 1\nrules:\n  - {id: x, effect: deny, match: {namespace_in: orgs}}\nlists: {org: [a]}", 3, "'org'?"),
        ("version: 1\nrules:\n" + DENY % ("scan.x", "a/*"), 3, "taken"),
        ("version: 1\nrules:\n" + DENY % ("x", "a**"), 3, "whole segments"),
        ("version: 1\nrules:\n  - {id: x, effect: deny, match: {repo_size: 5GB}}", 3, "comparison"),
        ("version: 1\nrules:\n  - {id: x, effect: deny, match: {repo: a/b}, reason: '{repos}'}", 3, "'repo'?"),
        (f"version: 1\nrules:\n  - {{id: x, effect: deny, match: {{revision: [main, {'0' * 40}]}}}}", 3, "mixes"),
        ("version: 1\napprovals:\n  - {id: x, match: {license: mit, on_unknown: allow}, approved_by: y}", 3, "never"),
        ("version: 1\nlists:\n  x: {file: not-there.txt}", 3, "No such file"),
        ("version: 1\ntests:\n  - {name: x, given: {lisence: mit}, expect: {decision: deny}}", 3, "lisence"),
        ("version: 1\ntests:\n  - {name: x, given: {repo: a/b, private: 3}, expect: {decision: deny}}", 3, "private"),
    ],
)
def test_what_keeps_a_set_out(write, text, line, word):
    file = write(text)
    told = faults(file)
    where = f"{file}:{line}: " if line else f"{file}"
    assert [fault for fault in told if fault.startswith(where) and word in fault], told


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("overrides: ['*']", '"*" would lift everything'),
        ("overrides: [onee]", "did you mean 'one'?"),
        ("overrides: [emb]", "no exception lifts"),
        ("expires: 2027-06-01", "more than 90 days ahead"),
        ("expires: 2026-02-31", "no day"),
        ("expires:", "no day"),
        ("owner: ''", "owner"),
    ],
)
def test_exceptions_are_narrow_and_short(write, change, word):
    key = change.partition(":")[0]
    keys = {"overrides": "overrides: [one]", "owner": "owner: bob", "expires": "expires: 2026-12-31"} | {key: change}
    text = "version: 1\nrules:\n" + DENY % ("one", "a/*")
    text += "classifications:\n  - {id: emb, class: embargoed, match: {repo: x/y}}\n"
    text += "exceptions:\n  - id: ex\n    match: {repo: a/b}\n"
    (told,) = faults(write(text + "".join(f"    {line}\n" for line in keys.values())))
    assert f"rules.yaml:{9 + [*keys].index(key)}: exceptions[0].{key}" in told and word in told
    keys[key] = {"overrides": "overrides: one", "owner": "owner: bob", "expires": "expires: 2026-12-31"}[key]
    loaded = load([write(text + "".join(f"    {line}\n" for line in keys.values()))], now=NOW)
    assert loaded.policy.judge(facts(), NOW) == Allow(("ex",))


def test_what_holds_for_all_files_is_said_once_or_alike(write):
    for key, one, other in (
        ("mode", "mode: audit", "mode: enforce"),
        ("defaults.decision", "defaults: {decision: allow}", "defaults: {decision: deny}"),
        ("scan", "scan: {pickle: {}}", "scan: {pickle: {action: warn}}"),
        ("list 'x'", "lists: {x: [a]}", "lists: {x: [b]}"),
    ):
        files = [write(f"version: 1\n{text}\n", f"{n}.yaml") for n, text in enumerate((one, other))]
        for order in itertools.permutations(files):
            (told,) = faults(*order)
            assert key in told and "second time" in told
    alike = [write("version: 1\nmode: audit\ndefaults: {decision: deny}\n", f"{n}.yaml") for n in range(2)]
    assert load(alike, now=NOW).policy.default is not None


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("approvals:\n  - {id: x, match: {repo: a/b}, approved_by: y, expires: 2020-01-01}", 3, "expired"),
        ("rules:\n  - {id: x, effect: deny, match: {license: [mit, my-own]}}", 3, "'my-own' is not in the table"),
        ("classifications:\n  - {id: x, class: public, match: {repo: a/b}}", 3, "no effect"),
        ("mode: audit\nclassifications:\n  - {id: x, class: embargoed, match: {repo: a/b}}", 4, "embargo"),
    ],
)
def test_what_has_no_effect_is_a_warning(write, text, line, word):
    file = write(f"version: 1\n{text}\n")
    (told,) = load([file], now=NOW).warnings
    assert told.startswith(f"{file}:{line}: ") and word in told


@pytest.mark.parametrize(
    "match",
    [
        'repo: "a/b c"',
        'repo: "https://huggingface.co/a/b"',
        "path: /a",
        'repo_size: "<0"',
        "namespace: a, repo: b/c",
        "namespace: a, namespace_not_in: [a]",
        "hub: huggingface, type: studio",
    ],
)
def test_what_can_never_match_is_a_fault_where_it_would_deny(write, match):
    rule = f"version: 1\nrules:\n  - {{id: x, effect: %s, match: {{{match}}}}}\n"
    file = write(rule % "deny")
    (told,) = faults(file)
    assert told.startswith(f"{file}:3: ") and "x can never match" in told
    (told,) = load([write(rule % "allow")], now=NOW).warnings
    assert "x can never match" in told


def test_what_is_to_hold_for_ever_holds_to_the_last_day(write):
    text = "approvals:\n  - {id: x, match: {repo: a/b}, approved_by: y, expires: 9999-12-31}"
    loaded = load([write(f"version: 1\n{text}\n")], now=NOW)
    assert loaded.warnings == () and [each.expires for each in loaded.policy.approvals] == [253402300800.0]


def test_no_warning_for_what_is_as_it_should_be(write):
    match = 'license: [MIT License, gpl, "cc-*"], repo: ["**", "a/**", "*", gpt2]'
    text = f"rules:\n  - {{id: x, effect: deny, match: {{{match}}}}}"
    assert load([write(f"version: 1\n{text}\n")], now=NOW).warnings == ()


def test_a_list_in_a_file_of_its_own(write):
    write("# withdrawn\nbadorg/*\n\nother/model  # since May\n", "withdrawn.txt")
    text = "classifications:\n  - {id: emb, class: embargoed, match: {repo_in: withdrawn}}\n"
    text += "lists: {withdrawn: {file: withdrawn.txt}}"
    policy = load([write(f"version: 1\n{text}\n")], now=NOW).policy
    denied = [isinstance(policy.judge(facts(repo=name), NOW), Deny) for name in ("BadOrg/x", "other/model", "other/x")]
    assert denied == [True, True, False]


def test_what_is_not_there_or_cannot_be_read(tmp_path, write):
    (told,) = faults(tmp_path / "nowhere")
    assert told.startswith(f"{tmp_path}/nowhere: cannot be read: No such file")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert "cannot be read" in faults(tmp_path / "loop.yaml")[0]
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "loop.yaml").unlink()
    assert faults(tmp_path) == (f"{tmp_path}/pipe.yaml: is no plain file; put one in its place, or remove it",)
    (tmp_path / "pipe.yaml").unlink()
    (told,) = load([tmp_path], now=NOW).warnings
    assert "no rule file" in told


def test_licences_are_known_by_any_spelling(write):
    file = write("version: 1\nrules:\n  - {id: x, effect: deny, match: {license: Apache License 2.0}}\n")
    assert isinstance(load([file], now=NOW).policy.judge(facts(license="apache-2.0"), NOW), Deny)
