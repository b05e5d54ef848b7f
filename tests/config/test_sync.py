"""`sync:` in the configuration: what it takes, and how what is wrong in it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy_addon.config import Subscription, load
from proxy_addon.core.errors import ConfigError
from proxy_addon.hub.targets import target


def loaded(tmp_path: Path, text: str) -> tuple[Subscription, ...]:
    file = tmp_path / "hubgate.yaml"
    file.write_text(text)
    return load(file, env={}).sync


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as told:
        loaded(tmp_path, text)
    return [line.removeprefix(f"{tmp_path}/hubgate.yaml:") for line in told.value.faults]


def test_a_name_is_enough_and_a_mapping_says_more(tmp_path: Path) -> None:
    text = """\
sync:
  - hf:acme/tiny
  - {repo: ms:datasets/acme/d@v1, every: 30m, include: "*.json", exclude: [a/, "*.bin"], pin: true}
  - repo: ms.ai:acme/tiny
"""
    assert loaded(tmp_path, text) == (
        Subscription(repo=target("hf:acme/tiny"), every=6 * 3600.0),
        Subscription(
            repo=target("ms:datasets/acme/d@v1"), every=1800.0, include=("*.json",), exclude=("a/", "*.bin"), pin=True
        ),
        Subscription(repo=target("ms.ai:acme/tiny")),
    )


def test_every_fault_has_its_line_its_key_and_the_fix(tmp_path: Path) -> None:
    text = """\
sync:
  - acme/tiny
  - {repo: hf:acme/tiny, every: 6}
  - {evry: 6h, include: [""]}
  - 5
  - {repo: 5}
  - {repo: ms:acme/x, every: 0, pin: yes}
  - hf:studios/a/b
"""
    told = faults(tmp_path, text)
    assert [line.split(": ")[:2] for line in told] == [
        ["2", "sync[0].repo"],
        ["3", "sync[1].every"],
        ["4", "sync[2].repo"],
        ["4", "sync[2].include[0]"],
        ["4", "sync[2].evry"],
        ["5", "sync[3]"],
        ["6", "sync[4].repo"],
        ["7", "sync[5].every"],
        ["7", "sync[5].pin"],
        ["8", "sync[6].repo"],
    ]
    assert all(";" in line for line in told)
    assert "write hf:org/name" in told[0] and "did you mean `sync.every`" in told[4]


def test_a_repo_is_listed_once(tmp_path: Path) -> None:
    listed = "[hf:acme/tiny@v1, ms:acme/tiny, hf:acme/tiny, 'ms:acme/tiny@master', {repo: 'hf:acme/tiny@main'}]"
    told = faults(tmp_path, f"sync: {listed}\n")
    assert told == [
        "1: sync[3].repo: ms:acme/tiny@master is listed already, as sync[1]; remove one of the two",
        "1: sync[4].repo: hf:acme/tiny@main is listed already, as sync[2]; remove one of the two",
    ]


def test_a_hub_that_is_not_enabled_has_no_repos_to_keep(tmp_path: Path) -> None:
    (told,) = faults(tmp_path, "hubs: {modelscope: {enabled: false}}\nsync:\n- hf:acme/tiny\n- ms:acme/tiny\n")
    assert told.startswith("4: sync[1].repo: ") and told.endswith("; enable it")
