"""Files to be scanned: any bytes give a verdict, and none that some loader would run code from is called clean.

The second is told by witnesses: the unpickler of Python's own library (its plain one, which asks before it imports),
on the bytes as they are, on what `zipfile`, `tarfile` and the decompressors find in them. A witness never imports.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import lz4.frame
from hypothesis import strategies as st

from proxy_addon.scan.contract import Findings, Limits, as_json, from_json
from proxy_addon.scan.inspect import inspect
from proxy_addon.scan.sources import Region
from tests.scan import made
from tests.scan.judging import judged

from .target import Target, joined

_LIMITS = Limits(seconds=2.0, inflated=1 << 24, entries=2000, text=1 << 20)
_BAD = {"os", "posix", "nt", "subprocess", "builtins", "sys"}
_WITHIN = 1 << 16  # bytes that a witness looks at


class _Inert:
    """Stands for whatever a pickle asks for, and counts what would have run."""

    ran = 0

    def __new__(cls, *_args: Any, **_more: Any) -> _Inert:
        _Inert.ran += 1
        return object.__new__(cls)

    def __init__(self, *_args: Any, **_more: Any) -> None: ...

    def _nothing(self, *_args: Any, **_more: Any) -> None:
        _Inert.ran += 1

    __call__ = append = extend = add = __setitem__ = __setstate__ = _nothing


class _Witness(pickle._Unpickler):  # type: ignore[name-defined,misc]
    """Python's own unpickler, which has not the memory of C's for indices and lengths."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._bytes, self._end = file, len(file.getbuffer())
        self.asked: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str) -> Any:
        if self._bytes.tell() < self._end:  # after the last byte nobody can call it any more
            self.asked.add((module, name))
        return _Inert

    def persistent_load(self, _id: Any) -> None:
        return None

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        if size > _WITHIN:
            raise EOFError
        self.append(bytearray(self.read(size)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def _asked(data: bytes) -> set[tuple[str, str]]:
    """What is imported, if that is a pickle: begins as one, is one to its end, or calls something before it fails."""
    witness = _Witness(io.BytesIO(data[:_WITHIN]))
    before = _Inert.ran
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            witness.load()
        except Exception:  # whatever it thinks of the rest
            return witness.asked if data[:1] == b"\x80" or _Inert.ran > before else set()
    sure = data[:1] == b"\x80" or _Inert.ran > before or witness._bytes.tell() == len(data)
    return witness.asked if sure else set()


def _parts(data: bytes, depth: int = 2) -> Iterator[bytes]:
    """What others find in the bytes, and in that once more."""
    yield data
    if not depth:
        return
    for read in (_zipped, _tarred, _inflated):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                for found in read(data):
                    yield from _parts(found, depth - 1)
            except Exception:  # they have faults of their own
                continue


def _zipped(data: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist()[:20]:
            try:
                with archive.open(info) as entry:
                    yield entry.read(_WITHIN)
            except Exception:
                continue


def _tarred(data: bytes) -> Iterator[bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for _, member in zip(range(20), archive, strict=False):
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                yield file.read(_WITHIN)


def _as_torch_did(data: bytes) -> set[tuple[str, str]]:
    """The tar of the first torch: numbers lie between the pickles of `storages`, of whatever type these may be."""
    asked = set[tuple[str, str]]()
    for width in (0, 1, 4, 8):
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
                found = archive.extractfile("storages")
                file = io.BytesIO(b"" if found is None else found.read(_WITHIN))
            count = _Witness(file).load()
            for _ in range(min(count, 9) if isinstance(count, int) else 0):
                witness = _Witness(file)
                try:
                    witness.load()
                finally:
                    asked |= witness.asked
                (size,) = struct.unpack("<q", file.read(8))
                file.seek(size * width, io.SEEK_CUR)
        except Exception:
            continue
    return asked


def _inflated(data: bytes) -> Iterator[bytes]:
    opened: tuple[Callable[[], bytes], ...] = (
        lambda: gzip.GzipFile(fileobj=io.BytesIO(data)).read(_WITHIN),
        lambda: zlib.decompressobj().decompress(data, _WITHIN),
        lambda: bz2.BZ2File(io.BytesIO(data)).read(_WITHIN),
        lambda: lzma.LZMADecompressor().decompress(data, _WITHIN),
    )
    for each in opened:
        try:
            yield each()
        except Exception:
            continue


def scanned(name: str) -> Callable[[bytes], None]:
    """`name`: what the file is called."""

    def check(data: bytes) -> None:
        found = inspect(Region.of(data), name, _LIMITS)
        assert isinstance(found, Findings)
        assert from_json(json.loads(json.dumps(as_json(found)))) == found  # else a whole verdict is lost on its way
        assert found == inspect(Region.of(data), name, _LIMITS)
        if judged(found, made.TORCH).state == "clean":
            for asked in (*map(_asked, _parts(data)), _as_torch_did(data)):
                bad = {pair for pair in asked if pair[0].partition(".")[0] in _BAD}
                assert not bad, (bad, found)

    return check


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(template: str, version: int = 3) -> bytes:
    metadata = _text("tokenizer.chat_template") + struct.pack("<I", 8) + _text(template)
    metadata += (
        _text("a.b") + struct.pack("<IIQ", 9, 8, 2) + _text("x") + _text("y") + _text("n") + struct.pack("<IQ", 10, 7)
    )
    tensor = _text("w") + struct.pack("<IQIQ", 1, 4, 0, 0)
    return b"GGUF" + struct.pack("<IQQ", version, 1, 3) + metadata + tensor + bytes(64)


def _safetensors(header: object, size: int = 16) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


def _archive(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def _tar(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


EVIL, BENIGN = made.payload("os", 2), made.state_dict({"w": 12})
_MODEL = json.dumps({"class_name": "Functional", "config": {"layers": [
    {"module": "keras.layers", "class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}},
    {"module": "my.code", "class_name": "Layer"}]}}).encode()  # fmt: skip
_OPCODES = tuple(
    [bytes([code]) for code in range(256) if bytes([code]) not in (b"T", b"X", b"B")]
    + [b"cos\nsystem\n", b"(ios\nsystem\n", b"\x8c\x02os", b"\x8c\x06system", b"X\x02\0\0\0os", b"K\x01", b"q\x00",
    b"h\x00",
       b"\x80\x04", b"\x95\x05\0\0\0\0\0\0\0", b"p1\n", b"g1\n", b"I01\n", b"S'os'\n", b"C\x02os", b"r\xff\0\0\0",
       b"cbuiltins\ngetattr\n",
       made.wrapper(1), made.named("collections", "OrderedDict"), b"."]
)  # fmt: skip
_ARGS = b"(I0\nS'cpu'\nctorch\nFloatStorage\nt."
_STORAGES = b"I2\n." + _ARGS + struct.pack("<q", 2) + b"\xff" * 8 + EVIL + struct.pack("<q", 0)
_PK = (
    b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08", b"archive/data.pkl",
    made.local("archive/data.pkl", EVIL, len(EVIL), flags=0) + EVIL, made.central("archive/data.pkl", len(EVIL), 0,
    flags=0),
    made.ending(1, 62, 0), EVIL,
)  # fmt: skip
_WIDE = tuple(struct.pack("<Q", number) for number in (0, 1, 255, 1 << 31, 1 << 62, (1 << 64) - 1))
_HELD = {"archive/data.pkl": EVIL, "archive/version": b"3\n"}
_SAVED = b"\x08\x01" + _field(2, _field(1, b"meta") + _field(2, _field(1, _field(1, b"a") + _field(2, b"ReadFile"))))
_ZIPS = (
    made.torch_file(EVIL), made.torch_file(BENIGN), _archive(_HELD), _archive(_HELD, zipfile.ZIP_STORED),
    _archive(_HELD, zipfile.ZIP_LZMA),
    _archive(_HELD, zipfile.ZIP_BZIP2), _archive({"inner.zip": _archive(_HELD), "a.npy": made.npy(made.payload("os"))}),
)  # fmt: skip
_PACKED = tuple(pack(EVIL) for pack in (
    zlib.compress, gzip.compress, bz2.compress, lzma.compress, lz4.frame.compress, lambda data: lzma.compress(data,
    lzma.FORMAT_ALONE),
    lambda data: b"ZF" + hex(len(data)).ljust(19).encode() + zlib.compress(data),
    lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    lambda data: gzip.compress(_tar({"a.pkl": data})), lambda data: bz2.compress(_archive({"a/data.pkl": data})),
))  # fmt: skip
_TENSOR = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
_CONFIG = json.dumps({"chat_template": [{"name": "x", "template": "{{ ''.__class__ }}"}], "a": 1}).encode()
_HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(100) + _MODEL
TARGETS = (
    Target("pickle", scanned("a.pkl"), (EVIL, made.legacy(EVIL), made.payload("os", 0),
        made.joblib(made.payload("os")), BENIGN),
           st.lists(st.sampled_from(_OPCODES), max_size=25).map(lambda each: b"\x80\x04" + b"".join(each) + b"."),
           _OPCODES),
    Target("pickle of no name", scanned("data"), (EVIL, made.legacy(EVIL), made.joblib(made.payload("os")),
        b"cos\nsystem\n.", b"cos\nsystem\n(S'a'\ntR\xff", b"cos\nsystem\nS'a'\nS'b'\ns\xff"),
           st.lists(st.sampled_from(_OPCODES), max_size=25).map(b"".join), _OPCODES),
    Target("zip", scanned("pytorch_model.bin"), _ZIPS, None, _PK),
    Target("tar", scanned("model.pt"), (_tar({"pickle": EVIL, "sys_info": b"\x80\x02}.",
        "storages": b"\x80\x02K\x00."}), _tar({"a.pkl": EVIL}),
                                          _tar({"storages": _STORAGES, "pickle": BENIGN}), _tar({"a.txt": _STORAGES,
                                              "storages": b""})),
           None, (EVIL, b"ustar", b"0000000", b"-1", b"pickle", b"storages", bytes(512), b"17 path=storages\n", b"x",
           b"g", b"L", b"1")),
    Target("packed", scanned("model.joblib"), _PACKED, None, (*_PACKED, b"ZF0x", b"\x1f\x8b\x08")),
    Target("npy", scanned("a.npy"), (made.npy(made.payload("os")), made.npy(BENIGN).replace(b"'|O'", b"'<f4'")), None,
           (b"'|O'", b"[('a', '|O')]", b"('<f4', (2,))", b"'<f8'", b"\x93NUMPY\x02\x00", b"(", b"[" * 60, b"{", b"1L")),
    Target("gguf", scanned("m.gguf"), (gguf("{{ x.__class__ }}"), gguf("{{ messages }}"), gguf("x", 2)),
           joined(st.just(b"GGUF\3\0\0\0"), st.lists(st.sampled_from((*_WIDE, _text("a.template"), b"\x08\0\0\0",
           b"\x09\0\0\0"))).map(b"".join)), _WIDE),
    Target("safetensors", scanned("m.safetensors"), (_safetensors({"w": _TENSOR}),
        _safetensors({"__metadata__": {"a": "b"}, "w": _TENSOR})),
           None, (b'"shape": ', b"[]", b"1e9", b"-1", b"9" * 30, b'"F4"', b"[" * 20_000, b"NaN", *_WIDE)),
    Target("keras", scanned("m.keras"), (_archive({"config.json": _MODEL, "model.weights.h5": _HDF5},
        zipfile.ZIP_STORED), _archive({"config.json": _MODEL})),
           None, (*_PK, b'"module": "os"', b'"class_name": "Lambda"', b"\\u0000", b"\\n")),
    Target("hdf5", scanned("m.h5"), (_HDF5, bytes(512) + _HDF5), None, (b'"module": "o\\u0073"',
        b'"class_name": "Lambda"', b'\\"', b"\\u0000", b"\n", b"\xff")),
    Target("savedmodel", scanned("saved_model.pb"), (_SAVED, _field(1, _field(2, b"PyFunc"))), None, (b"\xff" * 9,
        b"ReadFile", b"\x12", b"\x0a")),
    Target("template", scanned("tokenizer_config.json"), (_CONFIG, b'\xef\xbb\xbf{"chat_template": "{{ x }}"}'), None,
           (b'"chat_template": ', b"{{", b"}}", b"{%", b"__", b"\\u005f", b"[" * 20_000, b"|attr")),
)  # fmt: skip
