"""Files for the scans, written by hand: pickles that would run something, and each container that holds pickles.

Nothing here is ever loaded.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zlib
from collections.abc import Iterable, Mapping

#: A thing to call and its arguments, of each family of imports that can run code or reach out.
FAMILIES: dict[str, tuple[str, str, tuple[object, ...]]] = {
    "os": ("os", "system", ("true",)),
    "posix": ("posix", "system", ("true",)),
    "nt": ("nt", "system", ("true",)),
    "subprocess": ("subprocess", "Popen", ("true",)),
    "eval": ("builtins", "eval", ("1",)),
    "exec": ("builtins", "exec", ("1",)),
    "import": ("builtins", "__import__", ("os",)),
    "runpy": ("runpy", "run_path", ("x.py",)),
    "pty": ("pty", "spawn", ("true",)),
    "socket": ("socket", "create_connection", ("127.0.0.1",)),
    "webbrowser": ("webbrowser", "open", ("x",)),
    "importlib": ("importlib", "import_module", ("os",)),
    "ctypes": ("ctypes", "CDLL", ("x.so",)),
    "shutil": ("shutil", "rmtree", ("x",)),
    "sys": ("sys", "setprofile", (None,)),
    "attrgetter": ("operator", "attrgetter", ("system",)),
    "methodcaller": ("operator", "methodcaller", ("system", "true")),
    "torch loader": ("torch.serialization", "load", ("x",)),
    "numpy loader": ("numpy", "load", ("x",)),
    "pip": ("pip._internal.cli.main", "main", ("install",)),
    "asyncio": ("asyncio.unix_events", "_UnixSubprocessTransport", ("x",)),
    "bdb": ("bdb", "Bdb.run", ("1",)),
}
TORCH = ("torch._utils.*", "torch.FloatStorage", "torch.HalfStorage", "collections.OrderedDict")


def text(value: str, protocol: int = 4) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"\x8c" + bytes([len(data)]) + data if protocol >= 4 else b"X" + struct.pack("<I", len(data)) + data


def named(module: str, name: str, protocol: int = 4) -> bytes:
    """The opcodes that import."""
    if protocol >= 4:
        return text(module) + text(name) + b"\x93"
    return b"c" + f"{module}\n{name}\n".encode()


def argument(value: object, protocol: int) -> bytes:
    return b"N" if value is None else text(str(value), protocol)


def payload(family: str, protocol: int = 4) -> bytes:
    """A whole pickle that would call it."""
    module, name, args = FAMILIES[family]
    head = b"\x80" + bytes([protocol]) if protocol >= 2 else b""
    body = named(module, name, protocol) + b"(" + b"".join(argument(each, protocol) for each in args) + b"tR."
    return head + body


def told(family: str) -> str:
    """How the import is told of."""
    module, name, _ = FAMILIES[family]
    return f"{module}{'/' if '.' in name or name.startswith('__') else '.'}{name}"


def state_dict(shapes: Mapping[str, int]) -> bytes:
    """`data.pkl` as `torch.save` writes it for `{name: floats}`, protocol 2."""
    out = [b"\x80\x02ccollections\nOrderedDict\n)R("]
    for number, (name, floats) in enumerate(shapes.items()):
        size = b"J" + struct.pack("<i", floats)
        storage = b"(" + text("storage", 2) + b"ctorch\nFloatStorage\n" + text(str(number), 2) + text("cpu", 2)
        out += [
            text(name, 2), b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, size, b"tQK\x00", size, b"\x85K\x01\x85",
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]  # fmt: skip
    return b"".join(out) + b"u."


Entry = tuple[str, bytes]


def local(name: str, data: bytes | None, size: int, *, method: int = 0, flags: int = 0x808, pad: int = 0) -> bytes:
    """A local header, with the padding that PyTorch puts into an extra field; `data` follows it elsewhere."""
    extra = b"FB" + struct.pack("<H", pad) + b"Z" * pad if pad else b""
    raw = name.encode()
    told = (0, 0, 0) if flags & 8 else (zlib.crc32(data or b""), size, size)
    return struct.pack("<4s5H3L2H", b"PK\x03\x04", 0, flags, method, 0, 0, *told, len(raw), len(extra)) + raw + extra


def central(
    name: str, size: int, header: int, *, method: int = 0, flags: int = 0x808, crc: int = 0, full: int | None = None
) -> bytes:
    raw = name.encode()
    full = size if full is None else full
    head = (b"PK\x01\x02", 0, 0, flags, method, 0, 0, crc, size, full, len(raw), 0, 0, 0, 0, 0, header)
    return struct.pack("<4s6H3L5H2L", *head) + raw


def ending(count: int, size: int, offset: int) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, offset, 0)


def torch_zip(entries: Iterable[Entry], root: str = "archive") -> bytes:
    """As `torch.save` does: stored, sizes after the contents, contents at multiples of 64."""
    out, directory, count = io.BytesIO(), b"", 0
    for name, data in entries:
        full, at = f"{root}/{name}", out.tell()
        pad = -(at + 30 + len(full) + 4) % 64 or 64
        out.write(local(full, None, len(data), pad=pad) + data)
        crc = zlib.crc32(data)
        out.write(struct.pack("<4s3L", b"PK\x07\x08", crc, len(data), len(data)))
        directory += central(full, len(data), at, crc=crc)
        count += 1
    offset = out.tell()
    out.write(directory + ending(count, len(directory), offset))
    return out.getvalue()


def torch_file(data_pkl: bytes, storages: Iterable[bytes] = (b"\0" * 48,)) -> bytes:
    entries = [("data.pkl", data_pkl), ("byteorder", b"little"), ("version", b"3\n")]
    return torch_zip(entries + [(f"data/{number}", data) for number, data in enumerate(storages)])


def legacy(body: bytes, storages: bytes = bytes(range(256))) -> bytes:
    """PyTorch's format before 1.6: five pickles, then numbers."""
    magic, version = (pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001))
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}, 2)
    return magic + version + system + body + pickle.dumps(["0"], 2) + storages


def wrapper(size: int, code: str = "f8", *, aligned: bool = True) -> bytes:
    """The opcodes of joblib's array of one dimension, up to where its bytes begin."""
    dtype = named("numpy", "dtype") + text(code) + b"\x89\x88\x87R" + b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ"
    dtype += b"\xff\xff\xff\xff" + (b"K\x3f" if code == "O8" else b"K\x00") + b"tb"
    state = text("shape") + b"K" + bytes([size]) + b"\x85" + text("order") + text("C") + text("dtype") + dtype
    state += text("allow_mmap") + b"\x88" + (text("numpy_array_alignment_bytes") + b"K\x10" if aligned else b"")
    return named("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81}(" + state + b"ub"


def joblib(body: bytes) -> bytes:
    """A list of an array, as joblib writes it raw, and of what `body` makes (a pickle)."""
    inner = body.removesuffix(b".")
    return b"\x80\x04]" + wrapper(3) + b"\x05" + b"\xff" * 5 + struct.pack("<3d", 1, 2, 3) + b"a" + inner + b"a."


def npy(body: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def containers(family: str) -> dict[str, bytes]:
    """The same call in each container, by file name."""
    return {
        "pytorch_model.bin": torch_file(payload(family, 2)),
        "legacy.pt": legacy(payload(family, 2)),
        "model.joblib.gz": gzip.compress(joblib(payload(family)), mtime=0),
        "array.npy": npy(payload(family)),
        "text.pkl": payload(family, 0),
    }
