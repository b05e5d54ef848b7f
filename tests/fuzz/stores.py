"""What lies on our own disk, which others may have written to, and the bytes of xorbs on their way there."""

from __future__ import annotations

import contextlib
import json
import tempfile
from functools import cache
from pathlib import Path

import lz4.frame
from blake3 import blake3
from hypothesis import strategies as st

from proxy_addon.core.errors import IntegrityError
from proxy_addon.core.messages import Headers, StoredResponse
from proxy_addon.store import records
from proxy_addon.store.contract import Manifest
from proxy_addon.store.disk import CHECK
from proxy_addon.store.index import Index, manifest_key, response_key
from proxy_addon.xorb import codings
from proxy_addon.xorb.frames import HEADER, LARGEST, PACKED, Chunk, Frames

from .target import Target, changed_json, joined

_MOST = 160 * 1024  # bytes: more than the largest chunk
_WAYS = {0: bytes, 1: lz4.frame.compress, 2: lz4.frame.compress}


def xorbs(data: bytes) -> None:
    """However the bytes come, the same chunks, or a fault at the same place; none is larger than it may be."""
    data = data[:_MOST]
    whole = _chunks(data, len(data) or 1)
    for step in (len(data) // 200 + 1, len(data) // 30 + 1):
        assert _chunks(data, step) == whole
    assert sum(size for _, size, _ in whole[0]) <= len(data) // HEADER * LARGEST


def _chunks(data: bytes, step: int) -> tuple[list[tuple[int, int, bytes]], bool]:
    frames, found = Frames(), list[tuple[int, int, bytes]]()
    try:
        for at in range(0, len(data), step):
            for chunk in frames.feed(data[at : at + step]):
                found.append((chunk.scheme, chunk.size, bytes(chunk.packed)))
                _unpacked(chunk)
    except IntegrityError:
        return [], False
    return found, frames.whole


def _unpacked(chunk: Chunk) -> None:
    assert 0 < len(chunk.packed) <= PACKED and 0 < chunk.size <= LARGEST
    with contextlib.suppress(IntegrityError):
        codings.check(chunk)
        assert len(codings.unpack(chunk)) == chunk.size


_folder = tempfile.TemporaryDirectory(prefix="fuzz-")


@cache
def _index() -> Index:
    index = Index(Path(_folder.name), lambda: 1.0)
    index.open()
    return index


_BLOB, _KEY = "sha256:" + "ab" * 32, "file:huggingface/models/o/n@" + "0" * 40 + "/x"


def rows(data: bytes) -> None:
    """Whatever is in a row, sealed by its checksum or not: a value of the right kind, or it is dropped as a miss."""
    index = _index()
    for value in (data, data + blake3(data).digest(CHECK)):
        for key in (response_key(_KEY), manifest_key(_BLOB), "s:pins"):
            with index.rows.change() as change:
                change.set(key, b"", "R")
                change.execute("UPDATE Cache SET value = ? WHERE key = ?", (value, key))
        variants, _ = index.responses(_KEY)
        assert all(type(each) is StoredResponse and type(each.status) is int for each in variants)
        for each in variants:
            assert isinstance(each.url, str) and all(isinstance(text, str) for field in each.headers for text in field)
        manifest = index.manifest(_BLOB)
        assert manifest is None or (manifest.blob == _BLOB and type(manifest.size) is int and manifest.size >= 0)
        assert all(isinstance(each, str) for each in index.pins())


def _sample() -> bytes:
    head = Headers((("ETag", '"a"'), ("Content-Type", "x")))
    return records.pack_responses([StoredResponse(200, head, 1.0, 2.0, "https://h/x", _BLOB, 5, (("accept", None),))])


def _frame(data: bytes, scheme: int) -> bytes:
    packed = _WAYS[scheme](data)
    return b"\0" + len(packed).to_bytes(3, "little") + bytes([scheme]) + len(data).to_bytes(3, "little") + packed


_FRAMES = st.lists(
    st.builds(_frame, st.binary(min_size=1, max_size=200), st.sampled_from((0, 1, 2))), max_size=5
).map(b"".join)  # fmt: skip
_BOMB = lz4.frame.compress(bytes(10_000_000))[: PACKED - 1]
_JSON = (b"null", b"-1", b"1e999", b"NaN", b"[]", b"{}", b'""', b"[" * 20_000, b"true", b"9" * 400, b'"\\ud800"', b",")
_NAMED = json.loads(records.pack_manifest(Manifest(_BLOB, 10, validator='"v"', source="https://h/x")))
TARGETS = (
    Target(
        "xorbs", xorbs,
        (_frame(b"abc" * 50, 0) + _frame(b"x" * 300, 1) + _frame(bytes(range(200)), 2), _frame(b"\0" * LARGEST, 1),
         b"\0" + len(_BOMB).to_bytes(3, "little") + b"\1" + LARGEST.to_bytes(3, "little") + _BOMB),
        joined(_FRAMES, st.binary(max_size=12)), (_frame(b"a", 0), _frame(b"a", 1)[:HEADER], b"\0\0\0\0\0\0\0\0"),
    ),
    Target("rows", rows, (_sample(), json.dumps(_NAMED).encode(), b'["a","b"]'),
           changed_json((json.loads(_sample()), _NAMED, ["a", "b"])), _JSON),
)  # fmt: skip
