"""The two ways in which a password may be kept, and how strong each has to be.

A file of passwords leaks sooner or later; what is kept then has to cost who guesses more than it costs us. So bcrypt
from cost 10 on, and argon2id from what takes the same effort on (RFC 9106 §4; m·t of 35 MiB). There is an upper bound
too: what a line costs to verify, anybody may make us spend. Everything that verifies or makes is blocking, and takes
25 to 400 ms of a processor.
"""

from __future__ import annotations

import re

import argon2
import bcrypt

_BCRYPT = re.compile(r"\$2[by]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_ARGON2ID = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,8}),t=([0-9]{1,4}),p=([0-9]{1,3})\$[A-Za-z0-9+/]{11,88}\$[A-Za-z0-9+/]{22,88}"
)
_BCRYPT_READS = 72  # bytes; more of a password makes no difference to any bcrypt
_COSTS = range(10, 16)
_MEMORY = range(7 * 1024, 256 * 1024 + 1)  # KiB
_EFFORT = range(35 * 1024, 2 * 1024 * 1024 + 1)  # KiB times passes
_LANES = range(1, 17)

_MAKES = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

#: How a line begins -> what that is. Each is guessed at millions a second, or has known faults.
_WEAK = (
    ("$apr1$", "MD5 (apr1)"),
    ("$1$", "MD5"),
    ("{SHA}", "SHA-1"),
    ("{SSHA}", "SHA-1"),
    ("$5$", "SHA-256 (crypt)"),
    ("$6$", "SHA-512 (crypt)"),
    ("$2a$", "bcrypt of an old kind ($2a$)"),
    ("$2x$", "bcrypt of a broken kind ($2x$)"),
    ("$argon2i$", "argon2i"),
    ("$argon2d$", "argon2d"),
)


def fault(kept: str) -> str | None:
    """None when a password may be kept like this, else why not."""
    if (found := _BCRYPT.fullmatch(kept)) is not None:
        return _outside("bcrypt with cost", int(found[1]), _COSTS)
    if (found := _ARGON2ID.fullmatch(kept)) is not None:
        memory, passes, lanes = map(int, found.groups())
        return (
            _outside("argon2id with m =", memory, _MEMORY)
            or _outside("argon2id with m times t =", memory * passes, _EFFORT)
            or _outside("argon2id with p =", lanes, _LANES)
        )
    if kept.startswith(("$2b$", "$2y$", "$argon2id$")):
        return "the bcrypt or argon2id hash is damaged"
    named = next((name for start, name in _WEAK if kept.startswith(start)), "plain text or DES")
    return f"the password is kept as {named}, which is too weak; only bcrypt ($2y$, $2b$) and argon2id are taken"


def _outside(what: str, value: int, allowed: range) -> str | None:
    if value in allowed:
        return None
    return f"{what} {value} is {'too weak' if value < allowed.start else 'too slow'}: {allowed.start} to {allowed[-1]}"


def matches(kept: str, password: bytes) -> bool:
    """Blocking. Whether `password` is the one that `kept` was made of; false for what cannot be verified."""
    try:
        if kept.startswith("$argon2id$"):
            return _MAKES.verify(kept, password)
        return bcrypt.checkpw(password[:_BCRYPT_READS], kept.encode("ascii"))
    except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError, ValueError):
        return False


def made(password: bytes) -> str:
    """Blocking. To be kept: argon2id with a salt of its own."""
    return _MAKES.hash(password)
