"""Stored responses, manifests and digests as bytes.

JSON without names: a stored response is the list of its fields in the order of `StoredResponse`, with a null behind the
seventh. Another order or number of fields is another format of the whole directory: raise `FORMAT` in `layout.py` with
it. What is read is checked: a row that none of ours has written is a ValueError, never a response of odd parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from blake3 import blake3

from ..core.messages import Buffer, Headers, StoredResponse
from .contract import UNIT, Manifest

DIGEST = 32  # bytes of one unit's digest
_response = attrgetter(*StoredResponse.__slots__)
_manifest = attrgetter(*Manifest.__slots__)
_dump = json.JSONEncoder(separators=(",", ":"), default=attrgetter("fields")).encode


_TIME, _TEXT, _COUNT = (int, float), (str, type(None)), (int, type(None))
_EVER = 1e12  # seconds
_RESPONSE: tuple[Any, ...] = (int, _TIME, _TIME, str, _TEXT, _COUNT, bool, str)
_MANIFEST: tuple[Any, ...] = (str, int, bool, bool, str, str)


def _pairs(rows: list[list[str]]) -> tuple[tuple[str, str], ...]:
    pairs = tuple((name, value) for name, value in rows)
    _check(all(type(name) is type(value) is str for name, value in pairs))
    return pairs


def _check(sound: bool) -> None:
    if not sound:
        raise ValueError("not a row of ours")


def pack_responses(variants: Sequence[StoredResponse]) -> bytes:
    return _dump([(*fields[:7], None, *fields[7:]) for fields in map(_response, variants)]).encode()


def unpack_responses(row: bytes) -> tuple[StoredResponse, ...]:
    """Raises ValueError."""
    try:
        return tuple(_unpacked(*fields) for fields in json.loads(row))
    except (TypeError, RecursionError) as fault:
        raise ValueError(str(fault)) from fault


def _unpacked(
    status: Any, headers: Any, asked: Any, answered: Any, url: Any, blob: Any, size: Any, null: Any, vary: Any,
    authorized: Any, kind: Any, facts: Any,
) -> StoredResponse:  # fmt: skip
    said = (status, asked, answered, url, blob, size, authorized, kind)
    _check(all(isinstance(each, of) for each, of in zip(said, _RESPONSE, strict=True)))
    _check(-_EVER < asked < _EVER and -_EVER < answered < _EVER and (size is None or size >= 0) and null is None)
    nominated = tuple((name, value) for name, value in vary)
    _check(all(isinstance(name, str) and isinstance(value, _TEXT) for name, value in nominated))
    head, more = Headers(_pairs(headers)), _pairs(facts)
    return StoredResponse(status, head, asked, answered, url, blob, size, nominated, authorized, kind, more)


def pack_manifest(manifest: Manifest) -> bytes:
    return _dump(_manifest(manifest)).encode()


def unpack_manifest(row: bytes) -> Manifest:
    """Raises ValueError."""
    try:
        fields = json.loads(row)
        _check(len(fields) == len(_MANIFEST) and all(map(isinstance, fields, _MANIFEST)) and fields[1] >= 0)
        return Manifest(*fields)
    except (TypeError, LookupError, RecursionError) as fault:
        raise ValueError(str(fault)) from fault


def pack_names(names: Iterable[str]) -> bytes:
    return _dump(sorted(names)).encode()


def unpack_names(row: bytes) -> frozenset[str]:
    """Raises ValueError."""
    try:
        names = json.loads(row)
        _check(isinstance(names, list) and all(isinstance(each, str) for each in names))
        return frozenset(names)
    except RecursionError as fault:
        raise ValueError(str(fault)) from fault


def unit_digests(piece: Buffer) -> bytes:
    """The BLAKE3 digests of a piece's units, one after the other."""
    view = memoryview(piece)
    return b"".join(blake3(view[at : at + UNIT]).digest() for at in range(0, len(view), UNIT))


def unit_matches(unit: Buffer, digests: bytes, number: int) -> bool:
    return blake3(unit).digest() == digests[number * DIGEST : (number + 1) * DIGEST]
