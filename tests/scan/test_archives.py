"""Archives and compressed streams: what two readers could see differently is a problem, and little is held."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import lz4.frame
import pytest

from proxy_addon.scan.contract import Findings, Limits
from proxy_addon.scan.inspect import inspect
from proxy_addon.scan.sources import Region
from proxy_addon.scan.tars import BLOCK

from . import made
from .judging import judged

BENIGN = made.state_dict({"w": 12})
GOOD = made.torch_file(BENIGN)
EVIL = made.payload("os", 2)


def look(data: bytes, name: str = "model.bin", limits: Limits | None = None) -> Findings:
    return inspect(Region.of(data), name, limits)


def state(data: bytes, name: str = "model.bin") -> str:
    return judged(look(data, name), made.TORCH).state


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_entries_are_looked_at_however_they_are_packed(method):
    for name in ("archive/data.pkl", "archive/data/0", "readme.txt", "inner/deep.joblib"):
        found = look(zipped({"archive/version": b"3\n", name: EVIL}, method))
        assert found == Findings("pickle", ("os.system",))
    assert state(zipped({"archive/data.pkl": BENIGN}, method)) == "clean"
    inner = look(zipped({"inner.zip": made.torch_file(EVIL), "a.npy": made.npy(made.payload("pty"))}, method))
    assert inner.imports == ("os.system", "pty.spawn")


def edited(what: bytes, new: bytes, at: int, offset: int) -> bytes:
    """GOOD with `new` at `offset` from the `at`-th time that `what` comes."""
    place = -1
    for _ in range(at + 1):
        place = GOOD.index(what, place + 1)
    place += offset
    return GOOD[:place] + new + GOOD[place + len(new) :]


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
COUNT = GOOD.count(CENTRAL)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(edited(LOCAL, b"archive/evil.pkl", 0, 30), id="another name in the local header"),
        pytest.param(edited(LOCAL, b"\x08\x00", 0, 8), id="another method in the local header"),
        pytest.param(edited(LOCAL, b"\x09\x08", 0, 6), id="encrypted in the local header"),
        pytest.param(edited(CENTRAL, b"\x09\x08", 0, 8), id="encrypted in the directory"),
        pytest.param(edited(LOCAL, b"\x07\x00\x00\x00\x07\x00\x00\x00", 0, 18), id="another size in the local header"),
        pytest.param(edited(CENTRAL, b"\x01\x00\x00\x00", 0, 24), id="a stored size that is not its own"),
        pytest.param(edited(CENTRAL, b"\x63\x00", 0, 10), id="a method that is not known"),
        pytest.param(edited(CENTRAL, b"\x01\x00\x00\x00", 1, 42), id="an offset where no header is"),
        pytest.param(edited(CENTRAL, b"\x00\x00\x00\x00", 1, 42), id="two entries in one place"),
        pytest.param(edited(END, struct.pack("<HH", COUNT - 1, COUNT - 1), 0, 8), id="an entry more than told"),
        pytest.param(edited(END, struct.pack("<HH", COUNT + 1, COUNT + 1), 0, 8), id="an entry fewer than told"),
        pytest.param(edited(END, b"\x01\x00", 0, 4), id="several parts"),
        pytest.param(GOOD[:-30], id="no end"),
        pytest.param(GOOD.replace(b"\x08\x08\x00\x00", b"\x09\x08\x00\x00"), id="encrypted everywhere"),
        pytest.param(GOOD[:-2] + b"\x05\x00" + END + b"x", id="another end in the comment"),
        pytest.param(GOOD + b"more", id="bytes after the end"),
        pytest.param(b"more" + GOOD, id="bytes before the beginning"),
        pytest.param(GOOD[:-2] + struct.pack("<H", 22) + GOOD[-22:], id="two ends"),
        pytest.param(zipped({"a.pkl": BENIGN}).replace(b"a.pkl", b"b.pkl", 1), id="names"),
    ],
)  # fmt: skip
def test_a_zip_that_two_readers_see_differently_is_unknown(data):
    assert state(GOOD) == "clean"
    assert state(data) == "unknown"


def test_what_only_one_of_headers_and_directory_has_is_a_problem():
    hidden = made.local("archive/data.pkl", EVIL, len(EVIL), flags=0) + EVIL
    body = made.local("archive/version", b"3\n", 2, flags=0) + b"3\n"
    directory = made.central("archive/version", 2, 0, flags=0, crc=zlib.crc32(b"3\n"))
    clean = body + directory + made.ending(1, len(directory), len(body))
    assert state(clean) == "clean"
    assert state(body + hidden + directory + made.ending(1, len(directory), len(body + hidden))) == "unknown"
    later = made.central("archive/version", 2, len(hidden), flags=0, crc=zlib.crc32(b"3\n"))
    assert state(hidden + body + later + made.ending(1, len(later), len(hidden + body))) == "unknown"


def test_a_name_that_comes_twice_is_a_problem():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data.pkl", BENIGN)
        archive.writestr("archive/data.pkl", BENIGN)
    assert "comes twice" in look(out.getvalue()).problems[0]


def test_a_large_zip_has_its_sizes_in_the_wide_fields():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in (("archive/data.pkl", BENIGN), ("archive/data/0", b"\0" * 48)):
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(data)
    assert state(out.getvalue()) == "clean"
    end = out.getvalue()[-22:]
    count, size, offset = struct.unpack("<H2L", end[10:20])
    body = out.getvalue()[:-22]
    wide = b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, len(body), 1)
    last = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert state(body + wide + locator + last) == "clean"
    assert state(body + wide + locator + end) == "clean"
    assert state(body + wide + locator + end[:10] + struct.pack("<H", count + 1) + end[12:]) == "unknown"
    assert state(body + last) == "unknown"


def test_tensors_are_not_read():
    read = []

    def counted(offset: int, size: int) -> bytes:
        read.append(size)
        return data[offset : offset + size]

    data = made.torch_file(BENIGN, [bytes(range(256)) * 20_000] * 4)
    assert inspect(Region(counted, 0, len(data)), "model.bin").problems == ()
    assert len(data) > 20_000_000 and sum(read) < 1_000_000


@pytest.mark.parametrize(
    "pack",
    [
        zlib.compress, gzip.compress, bz2.compress, lzma.compress, lz4.frame.compress,
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
        lambda data: b"ZF" + hex(len(data)).ljust(19).encode() + zlib.compress(data),
        lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:]),
        lambda data: gzip.compress(bz2.compress(data)),
    ],
)  # fmt: skip
def test_compressed_pickles_are_walked(pack):
    assert look(pack(EVIL), "model.joblib").imports == ("os.system",)
    assert look(pack(EVIL), "notes.txt").imports == ("os.system",)
    assert look(pack(b"only a text\n" * 99), "notes.gz") == Findings()
    cut = pack(pickle.dumps(list(range(3000)), 2))[:-40]
    assert judged(look(cut, "model.joblib")).state == "unknown"


def test_a_bomb_is_a_budget_and_costs_no_memory():
    bomb = zlib.compress(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 28) + bytes(1 << 28) + b".", 9)
    tracemalloc.start()
    try:
        found = look(bomb, "model.joblib", Limits(inflated=1 << 24))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.problems[0].startswith("budget") and most < 16 << 20
    assert look(bomb, "model.joblib").problems == ()


def test_archives_in_archives_end_somewhere():
    data = EVIL
    for _ in range(8):
        data = zipped({"inner.zip": data})
    assert any("budget" in each for each in look(data).problems)


def tarred(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_the_tar_of_the_first_torch_is_walked_between_its_numbers():
    numbers = struct.pack("<q3f", 3, 1, 2, 3)
    one = b"\x80\x02K\x01."
    args = b"\x80\x02" + made.text("0", 2) + made.text("cpu", 2) + b"ctorch\nFloatStorage\n\x87."
    views = b"\x80\x02]."
    tensor = b"\x80\x02K\x00K\x00ctorch\nFloatTensor\n\x87." + struct.pack("<iiqqq", 1, 0, 3, 1, 0)
    files = {
        "sys_info": b"\x80\x02}.",
        "pickle": BENIGN,
        "storages": one + args + numbers + views,
        "tensors": one + tensor,
    }
    allowed = (*made.TORCH, "torch.FloatTensor")
    assert judged(look(tarred(files)), allowed).state == "clean"
    for name in files:
        evil = tarred({**files, name: files[name] + EVIL})
        assert judged(look(evil), allowed).why == "would import os.system", name
    assert judged(look(tarred({**files, "storages": one + args[:-1] + b"0]." + numbers})), allowed).state == "unknown"
    assert judged(look(tarred({**files, "storages": one + args + struct.pack("<q", 99)})), allowed).state == "unknown"
    assert look(tarred({"a.txt": b"text"}), "data.tar") == Findings()


def summed(block: bytearray, spelled: str) -> bytes:
    """With a checksum that is spelled so."""
    block[148:156] = b" " * 8
    block[148:156] = spelled.format(sum(block)).encode().ljust(8, b"\0")[:8]
    return bytes(block)


@pytest.mark.parametrize("spelled", ["{:05o}\0 0", "{:06o}\0x", "{:o}\t", "+{:o}", "0_{:o}", "0o{:o}", "  {:o}\0"])
def test_a_tar_is_one_however_its_checksum_is_spelled(spelled):
    data = bytearray(tarred({"pickle": EVIL}))
    data[:BLOCK] = summed(data[:BLOCK], spelled)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        assert archive.getnames() == ["pickle"]
    assert look(bytes(data), "model.pt").imports == ("os.system",)


def member(name: str, data: bytes, kind: bytes = b"0", *, linked: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, linked
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % BLOCK)


#: Two storages, between which only who knows their size finds the pickle that comes next.
ARGS = b"(I0\nS'cpu'\nctorch\nFloatStorage\nt."
HIDDEN = b"I2\n." + ARGS + struct.pack("<q", 2) + b"\xff" * 8 + EVIL


def record(key: str, value: str) -> bytes:
    text = f" {key}={value}\n"
    size = next(n for n in range(len(text), len(text) + 5) if len(str(n)) + len(text) == n)
    return f"{size}{text}".encode()


def test_a_member_is_read_by_the_name_that_its_extended_header_gives_it():
    plain = tarred({"storages": HIDDEN})
    assert "os.system" in look(plain, "model.pt").imports
    named = member("x", record("path", "storages"), b"x") + member("a.txt", HIDDEN) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(named), mode="r:") as archive:
        assert archive.getnames() == ["storages"]
    assert look(named, "model.pt").imports == look(plain, "model.pt").imports


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(member("x", record("size", "999"), b"g") + member("a.txt", b""), id="a size for all"),
        pytest.param(member("x", record("size", "999"), b"x") + member("a.txt", b""), id="a size"),
        pytest.param(member("x", record("path", "storages"), b"g") + member("a.txt", HIDDEN), id="a name for all"),
        pytest.param(member("x", record("GNU.sparse.size", "9"), b"x") + member("a.txt", b""), id="sparse"),
        pytest.param(member("x", b"nonsense", b"x") + member("a.txt", b""), id="no record"),
        pytest.param(member("x", b"999 a=b\n", b"x") + member("a.txt", b""), id="a record beyond its end"),
        pytest.param(member("a.txt", HIDDEN) + member("storages", b"", b"1", linked="a.txt"), id="a link"),
    ],
)
def test_a_tar_whose_members_are_not_what_their_headers_say_is_unknown(data):
    assert state(data + bytes(1024), "model.pt") == "unknown"


def test_a_tar_does_not_go_backwards():
    block = bytearray(member("pickle", EVIL)[:BLOCK])
    block[124:136] = b"-1000\0".ljust(12, b"\0")
    assert state(summed(block, "{:06o}\0 ") + bytes(1024), "model.pt") == "unknown"


def test_properties_of_lzma_that_cannot_be_are_a_problem():
    data = bytearray(zipped({"a.pkl": BENIGN}, zipfile.ZIP_LZMA))
    at = data.index(b"\x05\0\x5d")
    data[at + 2] = 0xFF
    assert state(bytes(data)) == "unknown"


def test_a_stream_may_have_thousands_of_members():
    body = b"\x80\x02]q\x00(" + b"K\x01" * 4000 + b"e0" + EVIL[2:]
    packed = b"".join(gzip.compress(body[at : at + 2], mtime=0) for at in range(0, len(body), 2))
    assert look(packed, "model.joblib") == Findings("pickle", ("os.system",))
