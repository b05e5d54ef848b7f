"""Whom a client calls by HTTP/2 in the clear, "with prior knowledge" (RFC 9113 §3.3). Pure.

gRPC does so without TLS, also through a tunnel. A name may stand in a table that earlier fields have filled (RFC 7541),
so every block of fields is decoded, in order. Frames go on as they come, save those of a block: they wait until it is
whole and is known to call nobody of ours. What cannot be read in one way is cut, for a server may read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from hpack import Decoder, HPACKError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LONGEST = 64 * 1024  # bytes: of a block with its frames, of its fields, and of the table that a server may offer

_HEAD = 9
_HEADERS, _PUSH_PROMISE, _CONTINUATION = 1, 5, 9
_OF_FIELDS = frozenset({_HEADERS, _PUSH_PROMISE, _CONTINUATION})
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_NAMES = frozenset({b":authority", b"host"})
_HOST = re.compile(rb"(?:[^@]*@)?([A-Za-z0-9._-]+)")


class Called(Exception):
    """By a name that is claimed, or in a way in which no name can be told."""


class Prior:
    def __init__(self, claims: Callable[[bytes], bool]) -> None:
        """`claims`: whether a host, as it is written, is one that no tunnel leads to."""
        self._claims = claims
        self._decoder = Decoder(max_header_list_size=LONGEST)
        self._decoder.max_allowed_table_size = LONGEST
        self._skip = len(PREFACE)  # bytes that name nobody
        self._part = b""  # of a frame of fields, or of any frame's head
        self._block = bytearray()  # the frames of fields before that one
        self._fields: list[bytes] = []  # what is in them

    def take(self, data: bytes) -> bytes:
        """What may be passed on of the connection, preface and all. Raises `Called`."""
        text, at, out = self._part + data, 0, []
        while True:
            skipped = text[at : at + self._skip]
            out.append(skipped)
            at, self._skip = at + len(skipped), self._skip - len(skipped)
            if len(text) - at < _HEAD:
                break
            kind, flags, end = text[at + 3], text[at + 4], at + _HEAD + int.from_bytes(text[at : at + 3])
            if not self._block and kind not in _OF_FIELDS:
                self._skip = end - at
                continue
            if kind != (_CONTINUATION if self._block else _HEADERS) or len(self._block) + end - at > LONGEST:
                raise Called
            if end > len(text):
                break
            payload = text[at + _HEAD : end]
            self._fields.append(payload if self._block else _fragment(payload, flags))
            self._block += text[at:end]
            at = end
            if flags & _END_HEADERS:
                out.append(self._checked())
        self._part = text[at:]
        return b"".join(out)

    def _checked(self) -> bytes:
        """The frames of a block that calls nobody of ours."""
        try:
            decoded = self._decoder.decode(b"".join(self._fields), raw=True)
        except HPACKError as fault:
            raise Called from fault
        for name, value in decoded:
            host = _HOST.match(bytes(value).strip()) if bytes(name).lower() in _NAMES else None
            if host is not None and self._claims(host[1]):
                raise Called
        frames = bytes(self._block)
        self._block.clear()
        self._fields.clear()
        return frames


def _fragment(payload: bytes, flags: int) -> bytes:
    """Without padding and priority (RFC 9113 §6.2)."""
    front = (1 if flags & _PADDED else 0) + (5 if flags & _PRIORITY else 0)
    behind = payload[0] if flags & _PADDED and payload else 0
    if front + behind > len(payload):
        raise Called
    return payload[front : len(payload) - behind]
