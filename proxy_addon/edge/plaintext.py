"""Whom a client calls in the clear, inside a tunnel. Pure.

A request of HTTP/1 names its host in a field, or in its target (RFC 9112 §3.2), and the far end of a tunnel may be
anybody's: a hub's second address, a mirror of it, one more proxy. So each line that a client sends is looked at, of
whatever protocol, and for as long as the tunnel lasts, since a connection may bear many requests. Lines go on as they
come; kept back is just a name that is not complete. HTTP/2 names hosts in a code of its own: who begins with it is not
understood, and in the clear nobody needs it (RFC 9113 §3.3).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .intake import normal

KEPT = 1024  # bytes of a line that are looked at, and of a name that is waited for

_BEGIN = rb"(?:\A|[\r\n])[ \t]*"
_BLANK = rb"(?:[ \t\v\f]|\r?\n[ \t])*+"  # also of a field that goes on in the next line (obs-fold)
_FIELD = rb"(?i:host)[ \t]*+:" + _BLANK
_TARGET = rb"[A-Z]{1,32}[ \t]++(?i:https?)://|CONNECT[ \t]++"
_CALLED = re.compile(_BEGIN + rb"(?:" + _FIELD + rb"|" + _TARGET + rb")(?:[^\s/@]*+@)?([A-Za-z0-9._-]++)(?!\Z)")
_OPEN = re.compile(_BEGIN + rb"(?:(?:" + _FIELD + rb"|" + _TARGET + rb")[^\s/]*+|" + _FIELD + rb"\r?\n?)\Z")
_HTTP2 = re.compile(_BEGIN + rb"(?:PRI[ \t]++\*[ \t]++HTTP/2|(?i:http2-settings)[ \t]*+:)")


class Called(Exception):
    """By a name that is claimed, or in a way in which no name can be told."""


class Plaintext:
    def __init__(self, claims: Callable[[str], bool]) -> None:
        """`claims`: whether a host, in lower case and without a dot at its end, is one that no tunnel leads to."""
        self._claims = claims
        self._line = b""  # the last one, as far as it has come
        self._gone = 0  # bytes of it that were passed on

    def take(self, data: bytes) -> bytes:
        """What may be passed on. Raises `Called`."""
        text = self._line + data
        if _HTTP2.search(text) or any(self._claims(_host(found[1])) for found in _CALLED.finditer(text)):
            raise Called
        if (waits := _OPEN.search(text)) is not None:
            start = waits.start()
            if len(text) - start > KEPT:
                raise Called
            out = text[self._gone : start]
            self._line, self._gone = text[start:], max(0, self._gone - start)
            return out
        out = text[self._gone :]
        self._line = text[max(text.rfind(b"\n"), text.rfind(b"\r"), 0) :]
        if len(self._line) > KEPT:
            self._line = b"-"  # no beginning of a line
        self._gone = len(self._line)
        return out

    def rest(self) -> bytes:
        """What was kept back, when nothing else will come. Raises `Called`."""
        held = self._line[self._gone :]
        self.take(b"\n")
        return held


def _host(name: bytes) -> str:
    return normal(name.decode("ascii"))
