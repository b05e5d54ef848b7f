"""Each target with its samples as they are, and with what hypothesis makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import target as made
from .profile import PROFILE
from .table import TARGETS


@pytest.mark.parametrize("name", TARGETS)
@PROFILE
@given(data=st.data())
def test_it_holds(name: str, data: st.DataObject) -> None:
    TARGETS[name].check(data.draw(TARGETS[name].inputs))


@pytest.mark.parametrize("name", TARGETS)
def test_samples(name: str) -> None:
    for each in (*TARGETS[name].seeds, b"", *TARGETS[name].words):
        TARGETS[name].check(each)


@settings(max_examples=30)
@given(made.mutated(st.just(b"sample"), (b"word",)))
def test_a_mutation_is_bounded(data: bytes) -> None:
    assert len(data) <= made.MOST
