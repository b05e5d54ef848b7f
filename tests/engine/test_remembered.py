"""What is remembered of repos: for whom, until when, and how much at most."""

from __future__ import annotations

import sys

from proxy_addon.answer.remembered import Entry, Memory
from proxy_addon.hub.resources import Repo, Subject
from proxy_addon.policy.facts import UNKNOWN
from proxy_addon.policy.sheets import Paths, Sheet, Twins

ONE, OTHER = (Repo("huggingface", "models", name) for name in ("a/one", "a/other"))


def entry(repo: Repo = ONE, until: float = 10.0, **values: object) -> Entry:
    return Entry(repo).with_sheet(Sheet(values, dict.fromkeys(values, "somewhere")), until)


def asked(found: Entry, *need: str, now: float = 0.0, **subject: str) -> dict[str, object] | None:
    known = found.learned(Subject(ONE, "main", **subject), frozenset(need), now)
    return None if known is None else dict(known.values)


def test_a_value_holds_until_its_time() -> None:
    found = entry(gated=False).with_sheet(Sheet({"private": True}, {"private": "x"}), 20.0)
    for _ in range(2):
        assert asked(found, "gated", "private", now=9.9) == {"gated": False, "private": True}
        assert asked(found, "gated", "private", now=10.0) is None
        assert asked(found, "private", now=19.9) == {"private": True}
        assert asked(found, "gated", "author") is None


def test_the_path_of_a_digest_is_that_of_its_other_facts() -> None:
    paths = Paths({"sha256:1": ("x/a.bin",), "sha256:2": ("a.bin", "x/a.bin")}, whole=False)
    found = entry(path=paths, has_safetensors_twin=Twins(frozenset({"x"})))
    need = ("has_safetensors_twin", "path")
    assert asked(found, *need, digest="sha256:1") == {"path": "x/a.bin", "has_safetensors_twin": True}
    assert asked(found, *need, digest="sha256:2") == {"path": ("a.bin", "x/a.bin"), "has_safetensors_twin": False}
    assert asked(found, *need, digest="sha256:3") is None
    assert asked(found, *need, path="x/b.bin") == {"path": "x/b.bin", "has_safetensors_twin": True}
    assert asked(entry(path=Paths({})), "path", digest="sha256:3") == {"path": UNKNOWN}


def test_each_principal_and_revision_has_its_own() -> None:
    memory = Memory()
    memory.put(ONE, "main", "alice", entry(private=True))
    assert memory.get(ONE, "main", "alice") is not None
    assert [memory.get(*key) for key in ((ONE, "main", ""), (ONE, None, "alice"), (OTHER, "main", "alice"))] == [
        None
    ] * 3
    memory.put(ONE, None, "", entry())
    memory.put(OTHER, None, "", entry())
    memory.forget(ONE, 5.0)
    assert memory.get(ONE, None, "") is None is not memory.get(OTHER, None, "")
    for now, held in ((4.9, {"private": True}), (5.0, None)):
        (found, *_) = memory.told(ONE, "main", "alice")
        assert asked(found, "private", now=now) == held, "past its time, and no more than that"
    assert len(memory) == 2


def test_a_revision_is_told_by_its_other_names_to_the_same_principal() -> None:
    memory = Memory()
    memory.put(ONE, "main", "alice", entry(commit="c0", private=True))
    cased = Repo(ONE.hub, ONE.type, "A/One")
    for key in ((ONE, "main", "alice"), (ONE, "c0", "alice"), (cased, "c0", "alice")):
        assert {*map(id, memory.told(*key))} == {id(memory.get(ONE, "main", "alice"))}
    for other in ((ONE, "c0", "bob"), (ONE, "c0", ""), (ONE, "c1", "alice"), (ONE, None, "alice")):
        assert not [*memory.told(*other)]
    assert not [*memory.told(OTHER, "c0", "alice")]
    memory.put(ONE, "c0", "alice", entry(private=True))
    assert len([*memory.told(ONE, "c0", "alice")]) == 3, "what the first does not tell, the next may"


def test_what_else_was_told_of_the_same_commit_stays_as_past_its_time() -> None:
    old = entry(until=10.0, commit="c0", gated=True, repo_size=5)
    new = entry(until=20.0, commit="c0", gated=False)
    found = new.also(old, 8.0)
    assert asked(found, "gated", now=19.0) == {"gated": False}
    assert asked(found, "gated", "repo_size", now=7.9) == {"gated": False, "repo_size": 5}
    assert asked(found, "repo_size", now=8.0) is None and not found.has("repo_size", 8.0)
    assert "repo_size" not in entry(commit="c1").also(old, 8.0).told


def test_the_longest_unused_go_first() -> None:
    memory = Memory(3 * entry().weight)
    for name in "abc":
        memory.put(ONE, name, "", entry())
    assert memory.get(ONE, "a", "") is not None
    memory.put(ONE, "d", "", entry())
    assert [name for name in "abcd" if memory.get(ONE, name, "") is not None] == ["a", "c", "d"]
    memory.put(ONE, "d", "", entry())
    assert len(memory) == 3, "the same again takes no more room"
    memory.put(ONE, "big", "", entry(tags=("x" * 300,) * 1000))
    assert len(memory) == 3, "what has no room at all takes none from others"


def test_the_weight_is_no_less_than_what_is_held() -> None:
    texts = tuple(f"{n:0290}" for n in range(100))
    tables = (texts, Twins(frozenset(texts)), Paths({text: (text,) for text in texts}))
    for value in tables:
        held = sum(sys.getsizeof(text) for text in texts)
        assert entry(tags=value).weight >= held


def test_the_answers_that_are_ready_are_few() -> None:
    found = entry(gated=False)
    for number in range(1000):
        assert asked(found, "gated", path=f"{number}") == {"gated": False}
    assert len(found.shown) <= 32
