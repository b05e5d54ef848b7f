"""How long somebody may read a repo, and what ends it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from proxy_addon.access.leases import MOST, Leases
from proxy_addon.access.public import principal
from proxy_addon.core.messages import Headers


@dataclass
class Timer:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timer() -> Timer:
    return Timer()


def test_a_lease_is_one_holders_for_one_repo_and_ends(timer: Timer) -> None:
    leases = Leases(timer, lasts=300)
    leases.grant("a", "hf/x", timer.now)
    timer.now += 299
    assert leases.holds("a", "hf/x") and leases.stands_in("a", "hf/x")
    assert not leases.holds("b", "hf/x") and not leases.holds("a", "hf/y") and not leases.holds("", "hf/x")
    timer.now += 1
    assert not leases.holds("a", "hf/x") and not leases.stands_in("a", "hf/x")


def test_it_counts_from_when_the_hub_was_asked(timer: Timer) -> None:
    leases = Leases(timer, lasts=300)
    asked = timer.now
    timer.now += 100
    leases.grant("a", "x", asked)
    timer.now += 199
    assert leases.holds("a", "x")
    timer.now += 1
    assert not leases.holds("a", "x")


def test_past_its_end_it_stands_in_for_as_long_as_is_said(timer: Timer) -> None:
    leases = Leases(timer, lasts=300, grace=60)
    leases.grant("a", "x", timer.now)
    timer.now += 359
    assert not leases.holds("a", "x") and leases.stands_in("a", "x")
    timer.now += 1
    assert not leases.stands_in("a", "x") and not leases.stands_in("b", "x")


def test_a_refusal_ends_it_at_once_and_outruns_what_was_asked_before(timer: Timer) -> None:
    leases = Leases(timer, lasts=300, grace=60)
    leases.grant("a", "x", timer.now)
    leases.grant("b", "x", timer.now)
    before = timer.now
    timer.now += 1
    leases.revoke("a", "x")
    assert not leases.holds("a", "x") and not leases.stands_in("a", "x") and leases.holds("b", "x")
    leases.grant("a", "x", before)
    assert not leases.holds("a", "x")
    timer.now += 1
    leases.grant("a", "x", timer.now)
    assert leases.holds("a", "x")


def test_a_changed_repo_is_asked_about_anew_by_all(timer: Timer) -> None:
    leases = Leases(timer)
    for holder, repo in (("a", "x"), ("b", "x"), ("a", "y")):
        leases.grant(holder, repo, timer.now)
    leases.forget("x")
    leases.grant("a", "x", timer.now)
    assert [leases.holds(*each) for each in (("a", "x"), ("b", "x"), ("a", "y"))] == [False, False, True]


def test_an_older_proof_shortens_nothing(timer: Timer) -> None:
    leases = Leases(timer, lasts=300)
    leases.grant("a", "x", timer.now)
    leases.grant("a", "x", timer.now - 200)
    timer.now += 299
    assert leases.holds("a", "x")


def test_there_are_so_many_and_no_more(timer: Timer) -> None:
    leases = Leases(timer)
    for number in range(MOST + 10):
        leases.grant(f"{number}", "x", timer.now)
    assert len(leases) == MOST and leases.holds(f"{MOST + 9}", "x")


def test_a_name_tells_nothing_and_no_two_share_one(timer: Timer) -> None:
    leases, other = Leases(timer), Leases(timer)
    shown = [("Bearer hf_a",), ("Bearer hf_A",), ("bearer hf_a",), ("Bearer  hf_a",), ("Bearer hf_a", ""), ("",)]
    shown += [("a", "bc"), ("ab", "c"), ("abc",), ("a\0bc",), ()]
    names = {leases.name(*each) for each in shown}
    assert len(names) == len(shown) and {len(name) for name in names} == {64}
    assert "hf_a" not in "".join(names) and leases.name("Bearer hf_a") != other.name("Bearer hf_a")
    fixed = Leases(timer, key=b"k" * 32)
    assert fixed.name("x") == Leases(timer, key=b"k" * 32).name("x")


def test_whose_a_principal_is_says_every_line_of_his() -> None:
    fields = ("Authorization", "Bearer a"), ("Authorization", "Bearer b"), ("Cookie", "c")
    asking = [fields, fields[:1], fields[1:2], fields[2:], (fields[0], fields[2]), (fields[1], fields[0])]
    names = {principal(Headers(each)) for each in asking}
    assert len(names) == len(asking) and {len(name) for name in names} == {32}
    assert principal(Headers((("Authorization", ""),))) == "" == principal(Headers())


def test_a_refusal_outruns_for_as_long_as_a_lease_may_stand_in(timer: Timer) -> None:
    leases, before = Leases(timer, lasts=1, grace=3600), timer.now
    timer.now += 1
    leases.revoke("a", "x")
    timer.now += 5
    leases.grant("a", "x", before)
    assert not leases.stands_in("a", "x")


# -- what was told besides files ------------------------------------------------------------------------------------


def test_each_thing_he_was_told_is_believed_for_as_long_as_a_lease(timer: Timer) -> None:
    leases, asked = Leases(timer, lasts=300, grace=60), timer.now
    assert not leases.believes("a", "x", asked), "nobody has told him anything"
    assert leases.admit("a", "x", asked)
    timer.now += 200
    assert leases.admit("a", "x", timer.now)
    timer.now += 99
    assert leases.believes("a", "x", asked)
    assert not leases.believes("b", "x", asked) and not leases.believes("a", "y", asked)
    timer.now += 1
    assert not leases.believes("a", "x", asked) and leases.believes("a", "x", asked, unasked=True)
    assert leases.believes("a", "x", asked + 200) and not leases.believes("a", "x", asked - 1, unasked=True)
    timer.now += 60
    assert not leases.believes("a", "x", asked, unasked=True)
    assert not leases.holds("a", "x"), "it is no lease"


def test_a_refusal_or_a_change_ends_what_he_was_told_before_and_nothing_after(timer: Timer) -> None:
    leases = Leases(timer, lasts=300, grace=60)
    for end, said in ((leases.revoke, ("a", "x")), (leases.forget, ("x",))):
        timer.now += 1
        before = timer.now
        assert leases.admit("a", "x", before)
        timer.now += 1
        end(*said)
        assert not leases.believes("a", "x", before, unasked=True)
        assert not leases.admit("a", "x", before) and not leases.admit("a", "x", timer.now)
        timer.now += 1
        assert leases.admit("a", "x", timer.now) and leases.believes("a", "x", timer.now)
        assert not leases.believes("a", "x", before, unasked=True), "what was before stays ended"


def test_what_is_forgotten_of_so_many_refusals_closes(timer: Timer) -> None:
    leases, asked = Leases(timer, lasts=300), timer.now
    assert leases.admit("a", "x", asked)
    timer.now += 1
    leases.revoke("a", "x")
    for number in range(MOST + 10):
        leases.revoke(f"{number}", "x")
    assert not leases.believes("a", "x", asked)
