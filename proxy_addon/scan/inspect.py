"""Looks into one file: everything that its bytes can be taken for, whatever it is called; its name is asked second.

Each format is tried on its own, and what they find is added up: a file that is two things is both. A fault in one does
not end the others. Archives and compressed streams are opened as deep as a limit says; nothing is written anywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from . import archives, gguf, keras, npy, safetensors, savedmodel, tars, templates, zips
from .contract import Budget, Findings, Limits, Notes, Unparsable
from .inflate import Allowance, Inflated, codec
from .pickles import begins, called_pickle, perhaps_pickle, pickles, until
from .sources import Reader, Region

HEAD = 512
ZSTANDARD = b"\x28\xb5\x2f\xfd"  # not unpacked here


class Look:
    """One scan, with what it may still spend."""

    def __init__(self, notes: Notes) -> None:
        self.notes, self.deadline, self.allowance = notes, until(notes), Allowance(notes.limits.inflated)

    def region(self, region: Region, name: str, depth: int = 0, *, head: bytes = b"", raw: bool = False) -> None:
        """`head`: its first bytes, if they are known. `raw`: nobody takes it for a pickle."""
        head = head if len(head) >= min(HEAD, region.size) else region.read(0, HEAD)
        known = len(self.notes.kinds)
        formats = [scan for applies, scan in self._formats(region, name, head, depth) if applies]
        if not head.startswith(zips.LOCAL):
            # `P` needs a loader with persistent ids, and those that have them take that for a zip
            called = "" if formats else name  # a file of another format need not be a pickle too
            formats.append(lambda: pickles(region.reader, called, self.notes, self.deadline, raw=raw))
        for scan in formats:
            try:
                scan()
            except (Unparsable, OverflowError) as fault:
                self.notes.problem(f"{name}: {fault}" if depth else str(fault))
        if len(self.notes.kinds) == known:
            self._unrecognised(name, head)

    def _formats(self, region: Region, name: str, head: bytes, depth: int) -> list[tuple[bool, Callable[[], object]]]:
        notes, lower = self.notes, name.lower()
        zipped = zips.is_zip(region, head, name) if depth == 0 else head.startswith(zips.LOCAL)
        json = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        return [
            (zipped, lambda: archives.zipped(self, region, name, depth)),
            (tars.is_tar(head), lambda: archives.tarred(self, region, depth)),
            (codec(head) is not None, lambda: self.packed(region.reader, name, depth)),
            (head.startswith(npy.MAGIC), lambda: self.array(region.reader)),
            (head.startswith(gguf.MAGIC), lambda: gguf.scan(region, notes)),
            (
                safetensors.is_safetensors(head, region.size) or (lower.endswith(".safetensors") and not begins(head)),
                lambda: safetensors.scan(region, notes),
            ),
            (_hdf5(region, head, depth), lambda: keras.hdf5(region, notes)),
            (lower.endswith("keras_metadata.pb"), lambda: keras.hdf5(region, notes)),
            (savedmodel.is_saved_model(name, head), lambda: savedmodel.scan(region, notes)),
            (lower.endswith(".pb") and head[:1] == b"\n", lambda: savedmodel.graph(region, notes)),
            (json, lambda: templates.in_json(region, name, notes)),
            (templates.is_template(name), lambda: templates.plain(region, notes)),
        ]

    def stream(self, opened: Callable[[], Reader], name: str, depth: int) -> None:
        """What can only be read forwards: a pickle, an array, or something packed once more."""
        head = opened().peek(HEAD)
        known = len(self.notes.kinds)
        try:
            if head.startswith(npy.MAGIC):
                self.array(opened)
            elif codec(head) is not None and depth < self.notes.limits.depth:
                self.packed(opened, name, depth)
                name = ""
            pickles(opened, name, self.notes, self.deadline)
        except (Unparsable, OverflowError) as fault:
            self.notes.problem(f"{name}: {fault}" if depth > 1 else str(fault))
        if len(self.notes.kinds) == known:
            self._unrecognised(name, head)

    def packed(self, opened: Callable[[], Reader], name: str, depth: int) -> None:
        """A compressed stream. What does not even begin to unpack is none."""
        found = codec(opened().peek(HEAD))
        assert found is not None
        before, decoder = found

        def unpacked() -> Reader:
            reader = opened()
            reader.skip(before)
            return Reader(Inflated(_Rest(reader), decoder, self.allowance))

        try:
            unpacked().peek(1)
        except Budget:
            raise
        except Unparsable:
            if perhaps_pickle(_stem(name)) or perhaps_pickle(name):
                raise
            return
        self.stream(unpacked, _stem(name), depth + 1)

    def array(self, opened: Callable[[], Reader]) -> None:
        """Of NumPy. Raises Unparsable."""

        def objects() -> Reader:
            reader = opened()
            npy.holds_objects(reader)
            return reader

        if npy.holds_objects(opened()):
            self.notes.kinds.append("pickle")
            pickles(objects, "array.pkl", self.notes, self.deadline)

    def _unrecognised(self, name: str, head: bytes) -> None:
        packed = head.startswith(ZSTANDARD) and perhaps_pickle(name.lower().removesuffix(".zst"))
        if called_pickle(name) or packed or name.lower().endswith(".keras") or (begins(head) and perhaps_pickle(name)):
            self.notes.problem(f"{name.rpartition('/')[2]} is not what its name says")


class _Rest:
    """What a reader has left, as a Feed."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, size: int) -> bytes:
        data = self._reader.peek(1) and self._reader.peek(min(size, len(self._reader.window) - self._reader.at))
        self._reader.at += len(data)
        return data

    def skip(self, size: int) -> int:
        self._reader.skip(size)
        return size


def _stem(name: str) -> str:
    """`a.pkl` of `a.pkl.gz`."""
    stem, dot, last = name.rpartition(".")
    return stem if dot and last.lower() in ("gz", "bz2", "xz", "lzma", "lz4", "z", "zlib") else name


def _hdf5(region: Region, head: bytes, depth: int) -> bool:
    """HDF5 may begin at 0, or at 512 and its doubles, after something else."""
    places = (512 << n for n in range(12 if depth == 0 else 0))
    return head.startswith(keras.HDF5) or any(region.read(at, 8) == keras.HDF5 for at in places if at < region.size)


def inspect(region: Region, name: str, limits: Limits | None = None) -> Findings:
    """Never raises for anything that the bytes could be."""
    notes = Notes(limits or Limits())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in texts that are not ours
            Look(notes).region(region, name)
    except (MemoryError, RecursionError):
        notes.problem("budget: the file takes too much memory to look into")
    except (Unparsable, OSError, ValueError, ArithmeticError, LookupError) as fault:
        notes.problem(f"unparsable: {type(fault).__name__}: {fault}")
    return notes.findings()
