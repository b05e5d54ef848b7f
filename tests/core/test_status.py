from __future__ import annotations

from itertools import product

import pytest

from proxy_addon.core.status import LABELS, Detail, Fwd, Outcome

SAID: list[tuple[Outcome, str, str]] = [
    (Outcome(), "hubgate", "local"),
    (Outcome(hit=True, ttl=9), "hubgate; hit; ttl=9", "hit"),
    (Outcome(fwd=Fwd.URI_MISS, stored=True), "hubgate; fwd=uri-miss; stored", "uri-miss"),
    (Outcome(fwd=Fwd.STALE, fwd_status=304), "hubgate; fwd=stale; fwd-status=304", "validated"),
    (Outcome(fwd=Fwd.STALE, fwd_status=200), "hubgate; fwd=stale; fwd-status=200", "stale"),
    (Outcome(fwd=Fwd.URI_MISS, collapsed=True), "hubgate; fwd=uri-miss; collapsed", "collapsed"),
    (Outcome(hit=True, ttl=-5, detail=Detail.STALE_IF_ERROR), "hubgate; hit; ttl=-5; detail=stale-if-error",
     "stale-if-error"),
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "header", "label"), SAID)
def test_said(outcome: Outcome, header: str, label: str) -> None:
    assert (outcome.header, outcome.label) == (header, label)


def test_every_label_is_on_the_list() -> None:
    for hit, fwd, status, collapsed, detail in product(
        (False, True), (None, *Fwd), (None, 200, 304), (False, True), (None, *Detail)
    ):
        outcome = Outcome(hit=hit, fwd=fwd, fwd_status=status, collapsed=collapsed, detail=detail)
        assert outcome.label in LABELS
