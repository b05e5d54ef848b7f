"""One line when a trouble begins, one a minute, one when it is over."""

from __future__ import annotations

import logging

import pytest

from proxy_addon.troubles import EVERY, QUIET, Trouble

NAME = "a.trouble"


class Hands:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def trouble(hands: Hands) -> Trouble:
    return Trouble(logging.getLogger(NAME), "the disk is full", hands)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [f"{record.levelname} {record.getMessage()}" for record in caplog.records if record.name == NAME]
    caplog.clear()
    return lines


def test_a_thousand_failures_are_one_line_a_minute(
    trouble: Trouble, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(1000):
        trouble.came(f"file {n}")
    assert told(caplog) == ["ERROR the disk is full: file 0"]
    hands.now += EVERY
    for n in range(1000):
        trouble.came(f"file {n}")
    assert told(caplog) == ["ERROR the disk is full still: 1000 more times, the last: file 0"]


def test_it_is_over_once_and_may_come_again(trouble: Trouble, hands: Hands, caplog: pytest.LogCaptureFixture) -> None:
    trouble.over()
    trouble.came("a")
    hands.now += QUIET
    trouble.over()
    trouble.over()
    trouble.came("b")
    lines = ["ERROR the disk is full: a", "WARNING the disk is full no more: it lasted 10 s, and came 1 times"]
    assert told(caplog) == [*lines, "ERROR the disk is full: b"]


def test_what_fails_now_and_then_is_one_trouble(
    trouble: Trouble, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        trouble.came("a")
        trouble.over()
        hands.now += QUIET / 2
        trouble.over()
    assert told(caplog) == ["ERROR the disk is full: a"]
