"""What a client says of itself: `Proxy-Authorization: Basic` (RFC 7617), read in one way or not at all. Pure.

We say that we want UTF-8, and many clients send it; others (requests) do not look and send latin-1. Bytes that are no
UTF-8 are taken for that: what is compared is always UTF-8, in which passwords are kept.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import htpasswd

FIELD = "Proxy-Authorization"
LONGEST = 4096  # characters of a field that is looked at
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: bytes = field(repr=False)


def read(fields: Sequence[str]) -> Credentials | None:
    """From all the lines of the field; None for anything but one sound `Basic`."""
    if len(fields) != 1 or len(fields[0]) > LONGEST:
        return None
    scheme, _, rest = fields[0].partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        raw = base64.b64decode(rest.strip(" "), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        user, colon, password = raw.decode().partition(":")
    except UnicodeDecodeError:
        user, colon, password = raw.decode("latin-1").partition(":")
    if not colon or _CONTROL.search(user) or _CONTROL.search(password):
        return None
    return Credentials(htpasswd.normal(user), password.encode())
