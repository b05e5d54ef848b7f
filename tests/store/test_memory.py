from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.store.memory import Memory


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 60))))
def test_it_stays_within_its_bound_and_keeps_the_newest(puts: list[tuple[str, int]]) -> None:
    memory = Memory(100)
    for number, (key, cost) in enumerate(puts):
        memory.put(key, number, cost)
        assert memory.used <= 100
        assert memory.get(key) == number


def test_what_was_used_last_stays() -> None:
    memory = Memory(100)
    for key in "abc":
        memory.put(key, key, 33)
    memory.get("a")
    memory.put("d", "d", 33)
    assert [memory.get(key) for key in "abcd"] == ["a", None, "c", "d"]


def test_what_is_over_the_bound_alone_displaces_only_its_own_key() -> None:
    memory = Memory(100)
    memory.put("a", "small", 10)
    memory.put("b", "small", 10)
    memory.put("a", "large", 101)
    assert (memory.get("a"), memory.get("b")) == (None, "small")


def test_a_new_epoch_hides_what_may_have_changed() -> None:
    memory = Memory(100)
    memory.put("mutable", 1, 10)
    memory.put("immutable", 2, 10, immutable=True)
    memory.age()
    assert (memory.get("mutable"), memory.get("immutable")) == (None, 2)
    memory.put("mutable", 3, 10)
    assert memory.get("mutable") == 3
