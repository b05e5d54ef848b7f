"""What `hubgate explain` found, for people: the decision first, then how it came about, then the ways out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.text import Text

from .output import console, counted, human, near, say, shown, table

_STYLES = {"allow": "bold green", "deny": "bold red", "undecided": "bold yellow"}
_WORDS = {"allow": "ALLOWED", "deny": "DENIED", "undecided": "NOT DECIDABLE"}
_THEN = {**_WORDS, "undecided": "it depends on facts that were not asked for"}
_GROUPS: tuple[tuple[str, Callable[[Mapping[str, Any]], bool]], ...] = (
    ("decided", lambda rule: rule["decided"] and rule["outcome"] != "pending"),
    ("waiting for a fact", lambda rule: rule["decided"]),
    ("would deny too", lambda rule: rule["outcome"] == "denies"),
    ("would deny, were it not in audit mode", lambda rule: rule["outcome"] == "would_deny"),
    ("lifted", lambda rule: rule["outcome"] == "lifted"),
    ("lets pass", lambda rule: rule["outcome"] == "lets_pass"),
    ("would let pass, and nothing was in the way", lambda rule: rule["outcome"] == "unused"),
    ("not asked for", lambda rule: rule["outcome"] == "pending"),
    ("has ended", lambda rule: rule["outcome"] == "expired"),
    ("did not match", lambda rule: rule["relevant"]),
)
_OF_THE_URL = frozenset({"hub", "type", "namespace", "repo"})


def show(told: Mapping[str, Any]) -> None:
    if not told["subjects"]:
        _verdict(told["decision"], "")
        _line(told["note"])
    for subject in told["subjects"]:
        _subject(subject)
        say()
    _head("judged")
    rows = [("url", told["url"]), ("resource", f"{told['hub']} {told['kind']}")]
    rows += [("key", told["key"] or "none: it is never stored"), ("rules", _of_rules(told["rules"]))]
    table(("", ""), [(f"  {name}", text) for name, text in rows])


def _of_rules(rules: Mapping[str, Any]) -> str:
    if not rules["files"]:
        return "none here, so everything is allowed; is this the proxy's machine and configuration (--config)?"
    return f"{rules['count']} in {counted(len(rules['files']), 'file')}, {rules['digest']}"


def _subject(of: Mapping[str, Any]) -> None:
    by = f" by {of['rule']} ({near(of['place'])})" if of["rule"] else f" by {', '.join(of['by'])}" if of["by"] else ""
    lacks = f" without the {_and(of['needs'])}" if of["needs"] else ""
    _verdict(of["decision"], f"{by}{lacks}: {_named(of)}")
    if of["missing"]:
        _line("  there is no such file, as far as this machine knows")
    _facts(of["facts"])
    rest = list(of["rules"])
    for head, belongs in _GROUPS:
        group = [rule for rule in rest if belongs(rule)]
        rest = [rule for rule in rest if rule not in group]
        _group(head, group)
    if rest:
        _line(f"about others: {counted(len(rest), 'rule')} (see --json)", "dim")
    if of["shown"]:
        _head("a blocked user reads")
        _line(f"  {of['shown']}")
    if of["changes"]:
        _head("what would change it")
        for change in of["changes"]:
            _line(f"  {near(change['text'])}: {_THEN[change['decision']].lower()}")
    cached = of["cached"]
    held = f"{counted(cached['files'], 'file')}, {human(cached['held'])} of {human(cached['bytes'])}"
    _head("in the cache")
    _line(f"  {held if cached['files'] else 'nothing of it'}")


def _named(of: Mapping[str, Any]) -> str:
    revision = f"@{of['revision']}" if of["revision"] else ""
    path = f"/{of['path']}" if isinstance(of["path"], str) else ""
    return f"{of['repo']}{revision}{path}{' ' + of['digest'] if of['digest'] else ''}"


def _facts(facts: Mapping[str, Any]) -> None:
    _head("facts")
    kept = {name: fact for name, fact in facts.items() if name not in _OF_THE_URL and fact["text"] != "none"}
    table(("", "", ""), [(f"  {name.replace('_', ' ')}", fact["text"], fact["source"]) for name, fact in kept.items()])


def _group(head: str, rules: Iterable[Mapping[str, Any]]) -> None:
    rows = [(f"  {rule['id']}", rule["kind"].replace("_", " "), near(rule["place"]), _because(rule)) for rule in rules]
    if rows:
        _head(head)
        table(("", "", "", ""), rows)


def _because(rule: Mapping[str, Any]) -> str:
    match rule["outcome"]:
        case "lifted":
            return f"{rule['why']}; lifted by {', '.join(rule['lifted_by'])}"
        case "pending":
            return f"needs the {_and(rule['needs'])}"
        case "expired":
            return f"on {rule['expires']}"
    return rule["why"] or rule["reason"] or ""


def _and(facts: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in facts)


def _verdict(decision: str, rest: str) -> None:
    console().print(Text.assemble((_WORDS[decision], _STYLES[decision]), shown(rest)), soft_wrap=True)


def _head(text: str) -> None:
    _line(text, "bold")


def _line(text: str, style: str = "") -> None:
    console().print(Text(shown(text), style), soft_wrap=True)
