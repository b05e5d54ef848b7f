"""What a scan costs: `python -m tests.bench.scan_cost`. Files are sparse, in pieces of 4 MiB as the store has them.

Prints seconds of wall clock for a warm process and the most memory that it had resident.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

from proxy_addon.scan import Limits, Piece, Scanner
from tests.scan.judging import scanned
from tests.scan.made import TORCH, central, ending, local, payload, state_dict, wrapper

GIB, PIECE = 1 << 30, 4 << 20


def zip_of(file: Path, tensors: int) -> None:
    """A PyTorch zip of 1 GiB with so many tensors, all zeroes."""
    size = GIB // tensors // 4 * 4
    names = {f"layer.{n}.weight": size // 4 for n in range(tensors)}
    directory = b""
    with open(file, "wb") as out:
        for name, data in [
            ("archive/data.pkl", state_dict(names)),
            *((f"archive/data/{n}", None) for n in range(tensors)),
        ]:
            at, length = out.tell(), size if data is None else len(data)
            out.write(local(name, None, length, pad=-(at + 34 + len(name)) % 64 or 64))
            out.write(data) if data is not None else out.seek(length, os.SEEK_CUR)
            crc = zlib.crc32(data or b"")
            out.write(struct.pack("<4s3L", b"PK\x07\x08", crc, length, length))
            directory += central(name, length, at, crc=crc)
        offset = out.tell()
        out.write(directory + ending(tensors + 1, len(directory), offset))


def raw_of(file: Path) -> None:
    """A pickle with one object of 1 GiB, and what it would run after it."""
    with open(file, "wb") as out:
        out.write(b"\x80\x04\x8e" + struct.pack("<Q", GIB))
        out.seek(GIB, os.SEEK_CUR)
        out.write(b"0" + payload("os")[2:])


def many_of(file: Path) -> None:
    """Ten million opcodes and more: a list of texts and numbers."""
    file.write_bytes(pickle.dumps([{"a": n, "b": f"text {n}", "c": n / 7} for n in range(600_000)], 4))


def pieces(file: Path, into: Path) -> list[Piece]:
    """Each 4 MiB a file of its own, holes kept."""
    into.mkdir()
    found = []
    with open(file, "rb") as source:
        for number in range(-(-file.stat().st_size // PIECE)):
            data, path = source.read(PIECE), into / str(number)
            with open(path, "wb") as out:
                if data.count(0) == len(data):
                    out.truncate(len(data))
                else:
                    out.write(data)
            found.append(Piece(str(path), 0, len(data)))
    return found


def resident(pid: int) -> int:
    """The most bytes that a process had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise ValueError(pid)


async def measure(directory: Path) -> None:
    made = {
        "zip of 1 GiB, 300 tensors": ("a.bin", lambda file: zip_of(file, 300)),
        "zip of 1 GiB, 20000 tensors": ("b.bin", lambda file: zip_of(file, 20_000)),
        "raw pickle of 1 GiB": ("c.pkl", raw_of),
        "joblib of 1 GiB": ("e.joblib", joblib_of),
        "pickle of many opcodes": ("d.pkl", many_of),
    }
    for title, (name, make) in made.items():
        make(directory / name)
        parts = pieces(directory / name, directory / f"{name}.pieces")
        scanner = Scanner(limits=Limits(seconds=60))
        took = []
        for _ in range(5):
            start = time.perf_counter()
            verdict = await scanned(scanner, parts, name, TORCH)
            took.append(time.perf_counter() - start)
        most = resident(scanner._idle[0]._process.pid) if scanner._idle else 0
        await scanner.close()
        first, warm = took[0], sorted(took[1:])[1]
        size = (directory / name).stat().st_size
        print(f"{title:32} {size:>12} bytes: first {first:.3f} s, warm {warm:.4f} s, {most / 2**20:.0f} MiB", end="; ")
        print(verdict.state, verdict.why)


def joblib_of(file: Path) -> None:
    """An array of 1 GiB in the middle of a pickle."""
    head = wrapper(3).replace(text := b"K\x03\x85\x8c\x05order", b"J" + struct.pack("<i", GIB // 8) + text[2:])
    with open(file, "wb") as out:
        out.write(b"\x80\x04" + head + b"\x01\xff")
        out.seek(GIB, os.SEEK_CUR)
        out.write(b".")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as scratch:
        asyncio.run(measure(Path(scratch)))
