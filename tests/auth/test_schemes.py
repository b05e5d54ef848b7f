"""Which kept passwords are taken, and that what is made is one of them."""

from __future__ import annotations

from itertools import count

import argon2
import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.auth import schemes

BCRYPT = bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()
MADE = schemes.made(b"right")
ARGON = "$argon2id$v=19$m={},t={},p={}$c29tZXNhbHRzb21l$" + "A" * 43


def test_what_is_made_is_taken_and_salted():
    assert schemes.fault(MADE) is None and schemes.made(b"right") != MADE
    assert schemes.matches(MADE, b"right") and not schemes.matches(MADE, b"wrong") and not schemes.matches(MADE, b"")


@pytest.mark.parametrize("mark", ["$2b$", "$2y$"])
def test_bcrypt_of_either_spelling_verifies(mark):
    kept = BCRYPT.replace("$2b$", mark)
    assert schemes.fault(kept) is None
    assert schemes.matches(kept, b"right") and not schemes.matches(kept, b"right ")


def test_bcrypt_reads_as_much_of_a_long_password_as_those_who_made_the_line():
    long = b"x" * 72
    kept = bcrypt.hashpw(long, bcrypt.gensalt(10)).decode()
    assert schemes.matches(kept, long + b"more") and not schemes.matches(kept, long[:-1])


def test_argon2id_of_others_verifies():
    kept = argon2.PasswordHasher(time_cost=5, memory_cost=7168, parallelism=2).hash("right")
    assert schemes.fault(kept) is None and schemes.matches(kept, b"right")


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        ("hunter2", "plain text or DES"),
        ("", "plain text or DES"),
        ("rqXexS6ZhobKA", "plain text or DES"),
        ("$apr1$7rBx$y", "MD5 (apr1)"),
        ("$1$x$y", "MD5,"),
        ("{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", "SHA-1"),
        ("$5$x$y", "SHA-256 (crypt)"),
        ("$6$x$y", "SHA-512 (crypt)"),
        (BCRYPT.replace("$2b$", "$2a$"), "old kind ($2a$)"),
        (BCRYPT.replace("$2b$", "$2x$"), "broken kind ($2x$)"),
        (ARGON.format(65536, 3, 4).replace("2id", "2i"), "argon2i,"),
        (ARGON.format(65536, 3, 4).replace("2id", "2d"), "argon2d,"),
        (BCRYPT.replace("$10$", "$05$"), "cost 5 is too weak: 10 to 15"),
        (BCRYPT.replace("$10$", "$31$"), "cost 31 is too slow: 10 to 15"),
        (BCRYPT[:-1], "damaged"),
        (BCRYPT + "x", "damaged"),
        (BCRYPT + " x", "damaged"),
        (ARGON.format(7167, 9, 1), "m = 7167 is too weak"),
        (ARGON.format(19456, 1, 1), "m times t = 19456 is too weak"),
        (ARGON.format(262145, 1, 1), "m = 262145 is too slow"),
        (ARGON.format(262144, 9, 1), "is too slow"),
        (ARGON.format(65536, 3, 17), "p = 17 is too slow"),
        (ARGON.format(65536, 3, 4).replace("v=19", "v=16"), "damaged"),
        (ARGON.format(65536, 3, 4)[:-30], "damaged"),
    ],
    ids=count(),
)
def test_what_is_weaker_slower_or_damaged_is_not_taken_and_not_repeated(kept, why):
    told = schemes.fault(kept)
    assert told is not None and why in told
    assert not kept or kept not in told


@given(st.text(max_size=100), st.binary(max_size=100))
def test_nothing_raises(kept, password):
    assert schemes.fault(kept)
    assert schemes.matches(kept, password) is False


@pytest.mark.parametrize(
    "kept",
    [BCRYPT[:7] + "!" + BCRYPT[8:], ARGON.format(65536, 3, 4)[:-1], "$argon2id$", "$2b$10$"],
    ids=count(),
)
def test_what_cannot_be_verified_is_wrong(kept):
    assert schemes.matches(kept, b"right") is False
