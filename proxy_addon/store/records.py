"""Stored responses, manifests and digests as bytes.

JSON without names: a stored response is the list of its fields in the order of `StoredResponse`. Another order or
number of fields is another format of the whole directory: raise `FORMAT` in `layout.py` with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import attrgetter

from blake3 import blake3

from ..core.messages import Buffer, Headers, StoredResponse
from .contract import UNIT, Manifest

DIGEST = 32  # bytes of one unit's digest
_response = attrgetter(*StoredResponse.__slots__)
_manifest = attrgetter(*Manifest.__slots__)
_dump = json.JSONEncoder(separators=(",", ":"), default=attrgetter("fields")).encode


def _pairs(rows: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in rows)


def pack_responses(variants: Sequence[StoredResponse]) -> bytes:
    return _dump([_response(v) for v in variants]).encode()


def unpack_responses(row: bytes) -> tuple[StoredResponse, ...]:
    return tuple(
        StoredResponse(
            status,
            Headers(_pairs(headers)),
            asked,
            answered,
            url,
            blob,
            size,
            None if have is None else tuple((start, end) for start, end in have),
            tuple((name, value) for name, value in vary),
            authorized,
            kind,
            _pairs(facts),
        )
        for status, headers, asked, answered, url, blob, size, have, vary, authorized, kind, facts in json.loads(row)
    )


def pack_manifest(manifest: Manifest) -> bytes:
    return _dump(_manifest(manifest)).encode()


def unpack_manifest(row: bytes) -> Manifest:
    return Manifest(*json.loads(row))


def unit_digests(piece: Buffer) -> bytes:
    """The BLAKE3 digests of a piece's units, one after the other."""
    view = memoryview(piece)
    return b"".join(blake3(view[at : at + UNIT]).digest() for at in range(0, len(view), UNIT))


def unit_matches(unit: Buffer, digests: bytes, number: int) -> bool:
    return blake3(unit).digest() == digests[number * DIGEST : (number + 1) * DIGEST]
