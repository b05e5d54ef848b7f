"""A chunked request body, read strictly (RFC 9112 §7.1): every byte between the data has one reading, and a bound.

Readers that differ over the end of a chunk line, over an extension or over a trailer see different requests, so what is
not the plain grammar is an error. Extensions that are well formed mean nothing to us and are dropped, as the RFC asks;
a trailer is refused: nothing here wants one, and a Host in it is somebody's second opinion.
"""

from __future__ import annotations

import re

import h11
from h11._receivebuffer import ReceiveBuffer

LINE = 256  # bytes of a chunk line

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:;" + TOKEN + rb"(?:=(?:" + TOKEN + rb"|\"[^\"\\\x00-\x1f\x7f]*+\"))?)*+\r\n"
)


class Chunks:
    """In the place of h11's reader of chunks. Raises `h11.RemoteProtocolError`."""

    def __init__(self) -> None:
        self._left = 0  # of the chunk that is being read
        self._due = b""  # what has to come next, to the letter
        self._last = False

    def __call__(self, buffer: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        while True:
            if self._due:
                came = bytes(buffer.maybe_extract_at_most(len(self._due)) or b"")
                if not self._due.startswith(came):
                    what = "a trailer is not served" if self._last else "a chunk is longer than it says"
                    raise h11.RemoteProtocolError(what)
                self._due = self._due[len(came) :]
                if self._due:
                    return None
                if self._last:
                    return h11.EndOfMessage()
            if self._left:
                data = buffer.maybe_extract_at_most(self._left)
                if data is None:
                    return None
                self._left -= len(data)
                self._due = b"" if self._left else b"\r\n"
                return h11.Data(data=bytes(data))
            if not self._line(buffer):
                return None

    def _line(self, buffer: ReceiveBuffer) -> bool:
        line = buffer.maybe_extract_next_line()
        if line is None and len(buffer) <= LINE:
            return False
        found = _SIZE.fullmatch(line) if line is not None and len(line) <= LINE else None
        if found is None:
            raise h11.RemoteProtocolError("a chunk line is malformed")
        self._left = int(found[1], 16)
        self._last, self._due = self._left == 0, b"" if self._left else b"\r\n"
        return True

    def read_eof(self) -> None:
        raise h11.RemoteProtocolError("the body ends early")
