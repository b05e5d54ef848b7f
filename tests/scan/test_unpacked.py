"""A compressed stream as a region: what is read of it anywhere is what lies there, and little of it is held."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from functools import cache

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.scan.contract import Budget, Unparsable
from proxy_addon.scan.inflate import Allowance, codec, raw_deflate
from proxy_addon.scan.sources import Region
from proxy_addon.scan.unpacked import HELD, HELD_ELSE, Unpacked

#: Numbers that tell where they lie, more than is held of any stream.
DATA = b"".join(struct.pack("<Q", n) * 512 for n in range((2 * HELD_ELSE + (8 << 20)) // 4096))
SHORT = DATA[: 3 * HELD]
STREAMS = {
    "gzip": (DATA, gzip.compress(DATA, 1)),
    "gzip in parts": (
        SHORT, b"".join(gzip.compress(SHORT[at : at + 99_999], 1) for at in range(0, len(SHORT), 99_999))
    ),
    "zlib": (SHORT, zlib.compress(SHORT, 1)),
    "lz4": (DATA, lz4.frame.compress(DATA)),
    "xz": (DATA, lzma.compress(DATA, preset=0)),
    "bz2 in parts": (
        DATA, b"".join(bz2.compress(DATA[at : at + (3 << 20)], 1) for at in range(0, len(DATA), 3 << 20))
    ),
}  # fmt: skip


def allowance(left: int = 1 << 40) -> Allowance:
    return Allowance(left, time.process_time() + 1000)


def opened(packed: bytes, left: Allowance | None = None) -> Unpacked:
    found = codec(packed)
    assert found is not None
    return Unpacked(Region.of(packed), found.decoder, left or allowance())


@cache
def kept(name: str) -> Unpacked:
    return opened(STREAMS[name][1])


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=12, deadline=None)
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 300_000)), min_size=1, max_size=3))
def test_what_is_read_is_what_lies_there(name, places):
    data, unpacked = STREAMS[name][0], kept(name)
    assert unpacked.size == len(data) and unpacked.fault is None
    for part, size in places:
        at = int(part * len(data))
        same = unpacked.region().read(at, size) == data[at : at + size]
        assert same


def test_little_is_held():
    packed = STREAMS["gzip"][1]
    tracemalloc.start()
    try:
        unpacked = opened(packed)
        unpacked.read(0, 10)
        most = tracemalloc.get_traced_memory()[1]
        assert most < 5 * HELD < len(DATA)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["gzip", "gzip in parts", "bz2 in parts"])
def test_who_goes_back_does_not_begin_anew(name):
    data, packed = STREAMS[name]
    left = allowance()
    unpacked = opened(packed, left)
    before = left.left
    for at in range(len(data) - 5000, 2 << 20, -(1 << 20)):
        unpacked.read(at, 4096)
    assert before - left.left < 4 * len(data)


def test_what_is_asked_for_at_once_may_be_more_than_is_held():
    same = kept("gzip").read(5 << 20, 4 * HELD) == DATA[5 << 20 :][: 4 * HELD]
    assert same


def test_who_goes_forward_passes_over_what_he_skips():
    data, packed = STREAMS["gzip"]
    left = allowance()
    unpacked = opened(packed, left)
    before = left.left
    unpacked.read(2 << 20, 10)
    unpacked.read(len(data) - 10, 10)
    assert before - left.left < 5 << 20


def test_all_that_comes_out_counts():
    _, packed = STREAMS["zlib"]
    spent = opened(packed, allowance(1 << 20))
    assert isinstance(spent.fault, Budget)
    assert spent.region().size == spent.size <= 1 << 20
    late = opened(packed, Allowance(1 << 40, time.process_time() - 1))
    assert isinstance(late.fault, Budget)
    left = allowance(len(SHORT) + 100)
    unpacked = opened(packed, left)
    with pytest.raises(Budget):
        unpacked.read(HELD // 2, 1 << 20)


def test_what_follows_one_stream_only():
    data = raw(b"first") + raw(b"second")
    unpacked = Unpacked(Region.of(data), raw_deflate, allowance(), once=True)
    assert unpacked.region().read(0, 99) == b"first"


def raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, bz2.compress, lzma.compress, lz4.frame.compress])
def test_a_fault_is_an_end(pack: Callable[[bytes], bytes]):
    whole = pack(bytes(range(256)) * 1000)
    cut = opened(whole[: len(whole) // 2])
    assert isinstance(cut.fault, Unparsable) and "truncated" in str(cut.fault)
    padded = opened(whole + bytes(70_000))
    assert padded.fault is None and padded.size == 256_000
    assert opened(whole + bytes(3) + b"more").fault is not None
