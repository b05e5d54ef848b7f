"""What a table says of its rows: medians, ratios, goals met or missed."""

from __future__ import annotations

import json

import pytest

from .figures import Figure, Goal, On, Row, in_turn
from .table import as_json, markdown, plain


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal(On.FIGURE, True, 2.0), True),
        (Goal(On.FIGURE, False, 1.9), False),
        (Goal(On.RATIO, True, 0.5), True),
        (Goal(On.RATIO, False, 0.4), False),
        (Goal(On.MORE, False, -2.0), True),
        (Goal(On.MORE, False, -2.1), False),
        (None, None),
    ],
)
def test_a_goal_is_judged_on_what_it_names(goal: Goal | None, met: bool | None) -> None:
    row = Row("x", "s", Figure((1.0, 2.0, 9.0)), Figure((4.0,)), "nginx", goal)
    assert row.met is met


def test_a_goal_beside_a_peer_that_is_not_there_is_open() -> None:
    row = Row("x", "s", Figure((1.0,)), goal=Goal(On.RATIO, True, 1))
    assert (row.ratio, row.met) == (None, None)


def test_tries_alternate() -> None:
    order: list[str] = []

    def side(name: str) -> int:
        order.append(name)
        return len(order)

    assert in_turn(2, lambda: side("a"), lambda: side("b")) == [[1, 3], [2, 4]]
    assert order == ["a", "b", "a", "b"]


def test_every_form_shows_figure_spread_ratio_and_verdict() -> None:
    rows = [Row("warm", "GB/s", Figure((3.0, 1.0, 2.0)), Figure((4.0,)), "nginx", Goal(On.RATIO, True, 1.0), "why")]
    line = plain(rows).splitlines()[1]
    for text in ("2.00 (1.00..3.00)", "4.00 nginx", "0.50", "ratio >= 1", "NO", "why"):
        assert text in line
    assert "| 2.00 (1.00..3.00) | 4.00 nginx | 0.50 |" in markdown(rows)
    found = json.loads(as_json(rows, {"kernel": "Linux"}))
    assert found["machine"] == {"kernel": "Linux"}
    assert found["rows"][0]["met"] is False and found["rows"][0]["ours"]["tries"] == [3.0, 1.0, 2.0]
