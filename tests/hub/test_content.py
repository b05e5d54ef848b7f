import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.content import BLOCK, UNIT, Memory, OnDisk, Synthetic
from tests.hub.xorbs import CHUNK, HEADER, MOST_CHUNKS, xorbs_of

SIZE = 2 * BLOCK + 12345
WHOLE = bytes(Synthetic(SIZE, seed=3).read(0, SIZE))


@given(st.integers(0, SIZE + 10), st.integers(0, SIZE + 10))
@settings(max_examples=100, deadline=None)
def test_any_read_of_synthetic_bytes_is_a_slice_of_the_whole(offset: int, limit: int) -> None:
    assert bytes(Synthetic(SIZE, seed=3).read(offset, limit)) == WHOLE[offset : offset + limit]


def test_no_two_units_are_alike() -> None:
    units = {WHOLE[at : at + UNIT] for at in range(0, SIZE, UNIT)}
    assert len(units) == -(-SIZE // UNIT)


def test_seeds_differ() -> None:
    assert Synthetic(4096, seed=1).sha256 != Synthetic(4096, seed=2).sha256


def test_a_huge_file_is_read_anywhere_at_once() -> None:
    huge = Synthetic(10 << 30)
    assert len(huge.read((10 << 30) - 5, 100)) == 5


def test_all_sources_agree(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(WHOLE)
    right = hashlib.sha256(WHOLE).hexdigest()
    for source in (Memory(WHOLE), OnDisk(path), Synthetic(SIZE, seed=3)):
        assert (source.size, source.sha256) == (SIZE, right)
        assert bytes(source.read(UNIT - 3, 7)) == WHOLE[UNIT - 3 : UNIT + 4]


@pytest.mark.parametrize("size", [1, CHUNK, CHUNK + 1, 3_000_000, (MOST_CHUNKS * 2 + 3) * CHUNK + 1])
def test_xorbs_decode_to_the_file(size: int) -> None:
    file = Synthetic(size, seed=4)
    digest = hashlib.sha256()
    for xorb in xorbs_of(file, "file"):
        frames = memoryview(xorb.read(0, xorb.size))
        assert len(frames) == xorb.size and xorb.last - xorb.first <= MOST_CHUNKS
        while frames:
            packed, unpacked = int.from_bytes(frames[1:4], "little"), int.from_bytes(frames[5:8], "little")
            assert frames[0] == frames[4] == 0 and packed == unpacked
            digest.update(frames[HEADER : HEADER + packed])
            frames = frames[HEADER + packed :]
    assert digest.hexdigest() == file.sha256


def test_a_part_of_a_xorb_is_a_slice_of_it() -> None:
    xorb = xorbs_of(Synthetic(3_000_000), "file")[1]
    whole = xorb.read(0, xorb.size)
    for offset, limit in ((0, 1), (CHUNK, 20), (5, 3 * CHUNK), (xorb.size - 1, 9), (xorb.size, 9)):
        assert xorb.read(offset, limit) == whole[offset : offset + limit]
