"""A field is read in one way or not at all."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.auth import Credentials
from proxy_addon.auth.credentials import LONGEST, read


def basic(data: bytes, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(data).decode()}"


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic "])
def test_one_basic(scheme):
    assert read([basic(b"alice:a:b", scheme)]) == Credentials("alice", b"a:b")


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_letters_come_in_two_codings(coding):
    assert read([basic("größe:wörd".encode(coding))]) == Credentials("größe", "wörd".encode())
    assert read([basic("gro\u0308ße:ü".encode())]) == Credentials("größe", "ü".encode())


def test_a_password_is_not_shown_by_accident():
    assert "secret" not in repr(read([basic(b"alice:secret")]))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [""],
        ["Basic"],
        ["Basic !!!!"],
        ["Basic YWxpY2U6eA"],
        ["Basic YWxp Y2U6eA=="],
        ["Bearer YWxpY2U6eA=="],
        [basic(b"alice")],
        [basic(b"al\x00ice:x")],
        [basic(b"alice:x\x00y")],
        [basic(b"alice:x\ny")],
        [basic(b"alice:" + b"x" * LONGEST)],
        [basic(b"alice:x")] * 2,
        [basic(b"alice:x") + ", " + basic(b"bob:x")],
        ["Basic YWxpY2U6eA==\u0661"],
    ],
)
def test_anything_else_is_nobody(fields):
    assert read(fields) is None


@given(st.text(max_size=60))
def test_nothing_raises(text):
    assert read([text]) is None or text.lower().startswith("basic ")
    read([basic(text.encode("utf-8", "surrogatepass"))])
