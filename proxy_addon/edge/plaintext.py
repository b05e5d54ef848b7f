"""Whom a client calls in the clear, inside a tunnel. Pure.

A request of HTTP/1 names its host in a field, or in its target (RFC 9112 §3.2), and the far end of a tunnel may be
anybody's: a hub's second address, a mirror of it, one more proxy. So each line that a client sends is looked at, of
whatever protocol, and for as long as the tunnel lasts, since a connection may bear many requests. Lines go on as they
come; kept back is just a name that is not complete. Whoever begins with HTTP/2 is understood too (`prior`); to change
to it on the way, by an upgrade, is not, and nobody needs it (RFC 9113 §3.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .intake import normal
from .prior import PREFACE, Called, Prior

KEPT = 1024  # bytes of a line that are looked at, and of a name that is waited for

_BEGIN = rb"[\r\n][ \t]*+"
_BLANK = rb"(?:[ \t\v\f]|\r?\n[ \t])*+"  # also of a field that goes on in the next line (obs-fold)
_FIELD = rb"(?i:host)[ \t]*+:" + _BLANK
_TARGET = rb"[A-Z]{1,32}[ \t]++(?i:https?)://|CONNECT[ \t]++"
_ANY = re.compile(_BEGIN + rb"(?:(?i:host|http2-settings)[ \t]*+:|[A-Z]{1,32}[ \t])")  # for most bytes this is all
_CALLED = re.compile(_BEGIN + rb"(?:" + _FIELD + rb"|" + _TARGET + rb")(?:[^\s/@]*+@)?([A-Za-z0-9._-]++)(?!\Z)")
_OPEN = re.compile(_BEGIN + rb"(?:(?:" + _FIELD + rb"|" + _TARGET + rb")[^\s/]*+|" + _FIELD + rb"\r?\n?)\Z")
_HTTP2 = re.compile(_BEGIN + rb"(?:PRI[ \t]++\*[ \t]++HTTP/2|(?i:http2-settings)[ \t]*+:)")


class Plaintext:
    def __init__(self, claims: Callable[[str], bool]) -> None:
        """`claims`: whether a host, in lower case and without a dot at its end, is one that no tunnel leads to."""
        self._named = claims
        self._line = b"\n"  # the last one, as far as it has come, behind the end of the one before it
        self._gone = 1  # bytes of it that were passed on
        self._prior: Prior | None = None
        self._fresh = True  # it may still be HTTP/2

    def _claims(self, name: bytes) -> bool:
        return self._named(normal(name.decode("ascii")))

    def take(self, data: bytes) -> bytes:
        """What may be passed on. Raises `Called`."""
        if self._prior is not None:
            return self._prior.take(data)
        text = self._line + data
        if self._fresh and text.startswith(PREFACE, 1):
            self._prior = Prior(self._claims)
            return self._prior.take(text[1:])[self._gone - 1 :]
        self._fresh = self._fresh and PREFACE.startswith(text[1:])
        if self._fresh:
            return self._on(text, 0, len(text))
        if _ANY.search(text) is not None:
            if _HTTP2.search(text) or any(self._claims(found[1]) for found in _CALLED.finditer(text)):
                raise Called
            if (waits := _OPEN.search(text)) is not None:
                if len(text) - waits.start() > KEPT:
                    raise Called
                return self._on(text, waits.start(), waits.start())
        return self._on(text, max(text.rfind(b"\n"), text.rfind(b"\r"), 0), len(text))

    def _on(self, text: bytes, line: int, end: int) -> bytes:
        """What goes on of `text`: all up to `end` that has not. The last line begins at `line`."""
        out = text[self._gone : end]
        self._gone = max(self._gone, end) - line
        self._line = text[line:]
        if self._gone > KEPT:
            self._line, self._gone = b"-", 1  # no beginning of a line
        return out

    def rest(self) -> bytes:
        """What was kept back, when nothing else will come. Raises `Called`."""
        if self._prior is not None:
            return b""  # half a frame
        held = self._line[self._gone :]
        self.take(b"\n")
        return held
