"""What is packed in something: it is found however deep it lies, or nobody can tell; it is never clean.

Nestings are built at random; what is in them would run something, or is a benign pickle.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.scan.contract import Limits, Notes
from proxy_addon.scan.inflate import SEALED
from proxy_addon.scan.inspect import Look, inspect
from proxy_addon.scan.sources import Region

from . import made
from .judging import judged

EVIL = made.payload("os", 2)
BENIGN = made.state_dict({"w": 12})
ALLOWED = (*made.TORCH, "joblib.numpy_pickle.NumpyArrayWrapper", "numpy.dtype", "numpy.ndarray")
TWO_ENDS = ("more than one end of the directory", "a zip without an end of its directory")
NAMES = ("w.ckpt", "data.pkl", "a.bin", "x", "model.nemo", "notes.txt", "archive/data.pkl", "archive/data/0", "a.b.gz")


def state(data: bytes, name: str = "model.nemo", limits: Limits | None = None) -> str:
    return judged(inspect(Region.of(data), name, limits), ALLOWED).state


def zipped(data: bytes, name: str = "a/data.pkl", method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("readme", b"text")
        archive.writestr(name, data)
    return out.getvalue()


def tarred(data: bytes, name: str = "w.ckpt", kind: int = tarfile.USTAR_FORMAT, padding: int = 0) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for each, content in (("pad", bytes(padding)), (name, data)):
            info = tarfile.TarInfo(each)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


STREAMS: tuple[Callable[[bytes], bytes], ...] = (
    gzip.compress, bz2.compress, lzma.compress, zlib.compress, lz4.frame.compress,
    partial(lzma.compress, format=lzma.FORMAT_ALONE),
    lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:]) + bytes(20),
)  # fmt: skip
ZIPS = tuple(
    partial(zipped, method=method, name=name)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    for name in NAMES
)
TARS = tuple(
    partial(tarred, kind=kind, name=name)
    for kind, names in (
        (tarfile.USTAR_FORMAT, NAMES),
        (tarfile.GNU_FORMAT, ("n" * 150,)),
        (tarfile.PAX_FORMAT, ("n" * 150,)),
    )
    for name in names
)
BEHIND = tuple(
    lambda data, junk=junk, more=more: junk + more(data)
    for junk in (b"junk", b"\x93NUMPY", bytes(600), b"\x80\x02}.")
    for more in ZIPS
)
LAYERS = st.one_of(*map(st.sampled_from, (STREAMS, ZIPS, TARS)))
HELD: tuple[Callable[[bytes], bytes], ...] = (
    lambda body: body, made.npy, made.joblib, made.torch_file, made.legacy,
    lambda body: made.torch_file(BENIGN, [body]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(HELD), st.lists(LAYERS | st.sampled_from(BEHIND), max_size=5), st.sampled_from(NAMES))
def test_what_would_run_something_is_never_clean_however_it_is_packed(held, layers, name):
    whole = reduce(lambda data, layer: layer(data), layers, held(EVIL))
    assert state(whole, name) != "clean"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(HELD), st.lists(LAYERS, max_size=3), st.sampled_from(NAMES))
def test_what_is_benign_is_clean_down_to_three_layers(held, layers, name):
    """But for a zip that ends within the last 64 KiB of an archive: who looks for an end there may find that one."""
    whole = reduce(lambda data, layer: layer(data), layers, held(BENIGN))
    found = inspect(Region.of(whole), name)
    problems = tuple(each for each in found.problems if not each.endswith(TWO_ENDS))
    assert judged(replace(found, problems=problems), ALLOWED).state == "clean", found


def test_every_layer_shows_what_is_in_it():
    for layer in (*STREAMS, *ZIPS, *TARS):
        for inner in (EVIL, zipped(EVIL), tarred(EVIL)):
            assert state(layer(inner)) == "found"
    for layer in BEHIND:
        assert state(layer(EVIL)) == "unknown"
        assert state(tarred(layer(EVIL))) == "unknown"
        assert state(gzip.compress(layer(EVIL))) == "unknown"


@pytest.mark.parametrize("pack", STREAMS)
@pytest.mark.parametrize("archive", [tarred(EVIL), tarred(zipped(EVIL)), zipped(EVIL)])
@pytest.mark.parametrize("name", ["model.nemo", "a.tar.gz", "a.bin"])
def test_a_packed_archive(pack, archive, name):
    assert state(pack(archive), name) == "found"


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param(zipped(tarred(EVIL, padding=17 << 20), "x.tar", zipfile.ZIP_DEFLATED), id="in a zip"),
        pytest.param(gzip.compress(tarred(zipped(EVIL), padding=17 << 20)), id="in a stream"),
        pytest.param(gzip.compress(tarred(zipped(bytes(17 << 20)) + EVIL)), id="whose first member is large"),
    ],
)
def test_a_large_tar_that_is_packed(whole):
    assert state(whole) != "clean"


def test_archives_in_streams_end_somewhere():
    """Each within its limit of depth, of bytes, and of time; what is found before it stands."""
    deep = reduce(lambda data, _: gzip.compress(data), range(8), BENIGN)
    assert state(deep) == "unknown"
    bomb = reduce(lambda data, _: gzip.compress(data), range(2), bytes(100 << 20))
    assert state(bomb, limits=Limits(inflated=50 << 20)) == "unknown"
    assert state(bomb, limits=Limits(seconds=0.05)) == "unknown"
    late = gzip.compress(EVIL + bytes(30 << 20))
    assert state(late, "x", Limits(inflated=20 << 20)) == "found"


@pytest.mark.parametrize("pack", STREAMS)
def test_a_stream_that_breaks_off_is_unknown_and_what_came_out_is_looked_into(pack):
    whole = pack(tarred(BENIGN) + bytes(range(256)) * 400)
    assert state(whole[:-30]) == "unknown"
    assert state(pack(tarred(EVIL)) + b"more of something else") != "clean"
    assert state(pack(tarred(EVIL, padding=1 << 20))[:-1]) == "found"


def test_a_checksum_that_is_wrong_is_seen_late_by_who_reads_a_stream():
    data = bytearray(gzip.compress(tarred(EVIL)))
    data[-8] ^= 1
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        assert archive.getnames() == ["pad", "w.ckpt"]
    assert state(bytes(data)) != "clean"


def test_of_a_stream_with_a_fault_what_comes_before_it_is_looked_into():
    data = bytearray(zlib.compress(EVIL + bytes(range(256))))
    data[-1] ^= 1
    assert state(bytes(data), "x") == "found"


def test_what_only_begins_as_a_stream_by_chance_is_none():
    for magic in (b"x\x9c", b"x\xda", b"x\x01"):
        assert state(zipped(magic + b"\x07 is no stream" * 9, "archive/data/0")) == "clean"
    assert state(b"BZ is no stream") == "clean"


@pytest.mark.parametrize("magic", SEALED)
def test_what_is_not_unpacked_is_unknown(magic):
    assert state(magic + bytes(90), "a.jsonl.zst") == "unknown"
    assert state(tarred(magic + bytes(90))) == "unknown"


def test_a_dictionary_that_takes_too_much_memory_is_unknown():
    filters = [
        {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "nice_len": 3}
    ]
    header = bytearray(lzma.compress(tarred(EVIL), filters=[{**filters[0], "dict_size": 1 << 20}]))
    at = header.index(b"\x21\x01") + 2  # the filter's properties: the size, by the format of xz
    header[at] = 34
    header[20:24] = zlib.crc32(header[12:20]).to_bytes(4, "little")
    assert len(lzma.decompress(bytes(header))) == len(tarred(EVIL))
    assert state(bytes(header)) == "unknown"
    alone = bytearray(lzma.compress(tarred(EVIL), lzma.FORMAT_ALONE))
    alone[1:5] = (1 << 29).to_bytes(4, "little")
    assert len(lzma.decompress(bytes(alone))) == len(tarred(EVIL))
    assert state(bytes(alone), "x") == "unknown"


def test_an_entry_that_unpacks_to_another_size_or_not_at_all_is_unknown():
    text = b"a text of its own length. " * 30
    whole = zipped(text, "notes.txt", zipfile.ZIP_DEFLATED)
    size = struct.pack("<L", len(text))
    assert state(whole) == "clean" and whole.count(size) == 2
    assert state(whole.replace(size, struct.pack("<L", len(text) + 1))) == "unknown"
    at = whole.index(b"notes.txt") + len("notes.txt")
    assert state(whole[:at] + b"\xff" + whole[at + 1 :]) == "unknown"


def test_a_configuration_of_keras_is_known_by_all_of_it():
    late = b'{"a": "' + bytes(b"x" * 5000) + b'", "class_name": "Lambda"}'
    assert state(zipped(late, "config.json"), "x.zip") == "found"


def test_only_what_is_called_a_tensor_is_spared():
    behind = b"junk" + zipped(EVIL)[:-2] + b"\x04\0" + b"more"
    for name in ("data/w.ckpt", "archive/data/weights.pt", "x"):
        assert state(zipped(behind, name)) == "unknown"
        assert any(each.startswith(name) for each in inspect(Region.of(zipped(behind, name)), "a").problems)


def test_some_time_is_left_for_what_came_out():
    look = Look(Notes())
    assert look.allowance.until < look.deadline


@pytest.mark.parametrize("kind", [b"1", b"2", b"5", b"\0"])
def test_what_is_no_file_has_no_contents_in_a_tar(kind):
    """`tarfile` does not pass over them: what lies there is a member to it."""
    inner = tarred(EVIL)[512:]
    info = tarfile.TarInfo("d/")
    info.type, info.size, info.linkname = kind, len(inner), "x"
    data = info.tobuf(tarfile.USTAR_FORMAT) + inner
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert "w.ckpt" in archive.getnames()
    assert state(data) != "clean"


def test_a_tar_after_the_end_of_a_tar_is_read():
    assert state(tarred(BENIGN) + bytes(100 << 10) + tarred(EVIL)) == "found"
    assert state(tarred(BENIGN) + bytes(100 << 10)) == "clean"
    assert state(tarred(BENIGN) + b"more") == "unknown"
