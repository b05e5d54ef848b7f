"""Secrets that can be told apart, and a search for them in whatever form they may lie somewhere.

All canaries of a run have one stem, which no file has by chance. It is looked for as it is, in capitals, in hex, base64
at every offset, percent-encoded, as UTF-16; in what gzip, zlib and lz4 give back, wherever in a file they begin; in the
names of files; in each value of each row of a database, and in all its pages, those that are free among them.
"""

from __future__ import annotations

import base64
import re
import secrets
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import lz4.frame

MOST = 1 << 22  # bytes that one stream is unpacked to
_PACKED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|\x04\x22\x4d\x18")
_DEPTH = 3


class Canaries:
    def __init__(self, *more: str) -> None:
        """`more`: secrets that were not made here."""
        self.stem = f"cn{secrets.token_hex(7)}"
        self.places: list[str] = []
        self._forms = _forms(self.stem)
        self._more: dict[bytes, str] = {}
        self.learn(*more)

    def __call__(self, place: str) -> str:
        """A secret for this place, letters and digits only."""
        if place not in self.places:
            self.places.append(place)
        return f"{self.stem}n{self.places.index(place):03}"

    def learn(self, *more: str) -> None:
        """Secrets that others made."""
        for each in more:
            assert len(each) > 7, f"{each!r} may stand anywhere by chance"
            self._more |= dict.fromkeys(_forms(each), each)

    def found_in(self, data: bytes) -> list[str]:
        """The places of which `data`, or what is packed in it, holds the secret."""
        return sorted(set(self._found(data, _DEPTH)))

    def _found(self, data: bytes, depth: int) -> Iterator[str]:
        for form in self._forms:
            for hit in re.finditer(re.escape(form), data):
                number = re.match(rb"n(\d{3})", data[hit.end() : hit.end() + 4])
                yield self.places[int(number[1])] if number else f"as {form[:40]!r}"
        yield from (name for form, name in self._more.items() if form in data)
        if depth:
            for start in _PACKED.finditer(data):
                if inside := _unpacked(data[start.start() :]):
                    yield from self._found(inside, depth - 1)

    def below(self, root: Path) -> dict[str, list[str]]:
        """{file: places} for every file under `root`, by its name and by what it holds."""
        found = {}
        for file in sorted(root.rglob("*")):
            hits = self.found_in(str(file.relative_to(root)).encode())
            try:
                if file.is_file():
                    hits += self.found_in(file.read_bytes())
                    if file.suffix == ".db":
                        hits += [hit for value in _values(file) for hit in self.found_in(value)]
            except FileNotFoundError:  # gone by now
                continue
            if hits:
                found[str(file.relative_to(root))] = sorted(set(hits))
        return found


def _forms(text: str) -> frozenset[bytes]:
    plain = text.encode()
    forms = {plain, plain.upper(), plain.lower(), plain.title(), text.encode("utf-16-le"), text.encode("utf-16-be")}
    forms |= {plain.hex().encode(), plain.hex().upper().encode()}
    forms |= {b"".join(form % octet for octet in plain) for form in (b"%%%02x", b"%%%02X", b"\\x%02x", b"\\u%04x")}
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"x" * offset + plain + b"x" * (-(offset + len(plain)) % 3))
            first, last = -(-offset * 8 // 6), (offset + len(plain)) * 8 // 6
            forms.add(whole[first:last])
    return frozenset(forms)


def _unpacked(data: bytes) -> bytes:
    """What a stream holds that begins here, as far as it goes; empty if none does."""
    if data.startswith(b"\x04\x22\x4d\x18"):
        try:
            return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data, MOST))
        except RuntimeError:
            return b""
    inflater, parts = zlib.decompressobj(47), b""
    try:
        for at in range(0, min(len(data), MOST), 256):  # what comes before a fault counts
            parts += inflater.decompress(data[at : at + 256], MOST)
            if inflater.eof or len(parts) >= MOST:
                break
    except zlib.error:
        pass
    return parts


def _values(file: Path) -> Iterator[bytes]:
    """Every value of every row: one that is spread over pages is in one piece here."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        db.text_factory = bytes
        tables: Iterable[tuple[bytes]] = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in db.execute(f'SELECT * FROM "{table.decode()}"'):
                yield from (value for value in row if isinstance(value, bytes))
