"""Chunks are found however their bytes come, and none is believed that does not unpack to its length."""

from __future__ import annotations

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.core.errors import IntegrityError
from proxy_addon.xorb import codings
from proxy_addon.xorb.frames import HEADER, LARGEST, PACKED, Chunk, Frames

LZ4_OF = {0: lambda data: data, 1: lz4.frame.compress, 2: lambda data: lz4.frame.compress(dealt(data))}


def dealt(data: bytes) -> bytes:
    return b"".join(data[turn::4] for turn in range(4))


def frame(data: bytes, scheme: int = 0, *, size: int | None = None, packed: bytes | None = None) -> bytes:
    packed = LZ4_OF[scheme](data) if packed is None else packed
    size = len(data) if size is None else size
    return b"\0" + len(packed).to_bytes(3, "little") + bytes([scheme]) + size.to_bytes(3, "little") + packed


def unpacked(chunks: list[Chunk]) -> list[bytes]:
    return [bytes(codings.unpack(chunk)) for chunk in chunks]


schemes = st.sampled_from([0, 1, 2])
chunks = st.lists(st.tuples(st.binary(min_size=1, max_size=300), schemes), min_size=1, max_size=6)


@given(chunks, st.lists(st.integers(1, 50), max_size=60))
def test_split_anywhere(parts: list[tuple[bytes, int]], cuts: list[int]) -> None:
    data, frames, got = b"".join(frame(*part) for part in parts), Frames(), []
    for cut in cuts:
        got += unpacked(frames.feed(data[:cut]))
        data = data[cut:]
    got += unpacked(frames.copy().feed(data))
    frames.feed(data)
    assert got == [part for part, _ in parts] and frames.whole


@given(chunks, st.integers(1, 40))
def test_a_begun_chunk_is_not_whole(parts: list[tuple[bytes, int]], missing: int) -> None:
    data, frames = b"".join(frame(*part) for part in parts), Frames()
    last = len(frame(*parts[-1]))
    frames.feed(data[: len(data) - min(missing, last - 1)])
    assert not frames.whole


@given(st.binary(max_size=2000), st.integers(1, 100))
def test_any_bytes(data: bytes, step: int) -> None:
    frames = Frames()
    try:
        for at in range(0, len(data), step):
            for chunk in frames.feed(data[at : at + step]):
                assert len(codings.unpack(chunk)) == chunk.size
    except IntegrityError:
        return
    assert not data or len(data) - HEADER < PACKED


@pytest.mark.parametrize(
    "header",
    [
        b"\1" + frame(b"abc")[1:HEADER],  # version
        frame(b"abc", size=0)[:HEADER],
        frame(b"abc", size=LARGEST + 1)[:HEADER],
        frame(b"abc", packed=b"")[:HEADER],
        frame(b"abc", packed=bytes(PACKED + 1))[:HEADER],
    ],
)
def test_a_header_that_cannot_be(header: bytes) -> None:
    with pytest.raises(IntegrityError, match="header"):
        Frames().feed(header)


BOMB = lz4.frame.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    "bad",
    [
        frame(b"abc", size=4),
        frame(b"abc", 1, size=2),
        frame(b"abc", 1, size=4),
        frame(b"abc", 2, size=4),
        frame(b"abc", 1, packed=b"abc"),
        frame(b"abc", 1, packed=lz4.frame.compress(b"abc")[:-1]),
        frame(b"abc", 1, packed=lz4.frame.compress(b"abc") + b"more"),
        frame(b"abc", 1, packed=BOMB[: PACKED - 1], size=LARGEST),
        b"\0\3\0\0\3\3\0\0abc",  # a scheme that is not known
    ],
)
def test_a_chunk_that_does_not_unpack_to_its_length(bad: bytes) -> None:
    (chunk,) = Frames().feed(bad)
    with pytest.raises(IntegrityError):
        codings.check(chunk)
    with pytest.raises(IntegrityError):
        codings.unpack(chunk)


def test_the_largest_chunk() -> None:
    data = bytes(range(256)) * 512
    assert unpacked(Frames().feed(frame(data) + frame(data, 1) + frame(data, 2))) == [data] * 3
