"""Looks into one file: everything that its bytes can be taken for, whatever it is called; its name is asked second.

Each format is tried on its own, and what they find is added up: a file that is two things is both. A fault in one does
not end the others. What is in an archive or a compressed stream is looked into as a file of its own, as deep as a limit
says; what cannot be opened is a problem. Nothing is written anywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from . import archives, gguf, keras, npy, safetensors, savedmodel, tars, templates, zips
from .contract import Budget, Findings, Limits, Notes, Unparsable
from .inflate import SEALED, Allowance, codec
from .pickles import begins, called_pickle, perhaps_pickle, pickles, until
from .sources import Reader, Region
from .unpacked import Unpacked

HEAD = 512
UNPACKING = 0.75  # of the time: some is left for what came out


class Look:
    """One scan, with what it may still spend."""

    def __init__(self, notes: Notes) -> None:
        self.notes, self.deadline = notes, until(notes)
        unpacking = self.deadline - (1 - UNPACKING) * notes.limits.seconds
        self.allowance = Allowance(notes.limits.inflated, unpacking)

    def region(self, region: Region, name: str, depth: int = 0, *, head: bytes = b"", raw: bool = False) -> None:
        """`head`: its first bytes, if they are known. `raw`: a tensor, which is read as little as may be."""
        head = head if len(head) >= min(HEAD, region.size) else region.read(0, HEAD)
        known = len(self.notes.kinds)
        formats = [scan for applies, scan in self._formats(region, name, head, depth, raw=raw) if applies]
        if not head.startswith(zips.LOCAL):
            # `P` needs a loader with persistent ids, and those that have them take that for a zip
            called = "" if formats else name  # a file of another format need not be a pickle too
            formats.append(lambda: pickles(region.reader, called, self.notes, self.deadline, raw=raw))
        if not zips.begins(head):  # last, because nobody wants to unpack a stream twice who need not read its end
            formats.append(lambda: self._behind(region, name, depth, raw=raw))
        for scan in formats:
            try:
                scan()
            except (Unparsable, OverflowError) as fault:
                self.notes.problem(f"{name}: {fault}" if depth else str(fault))
        if len(self.notes.kinds) == known:
            self._unrecognised(name, head)

    def _formats(
        self, region: Region, name: str, head: bytes, depth: int, *, raw: bool
    ) -> list[tuple[bool, Callable[[], object]]]:
        notes, lower = self.notes, name.lower()
        json = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        return [
            (zips.begins(head), lambda: archives.zipped(self, region, name, depth)),
            (tars.is_tar(head), lambda: archives.tarred(self, region, depth)),
            (codec(head) is not None, lambda: self.packed(region, name, depth)),
            (head.startswith(SEALED) and not raw, sealed),
            (head.startswith(npy.MAGIC), lambda: self.array(region.reader)),
            (head.startswith(gguf.MAGIC), lambda: gguf.scan(region, notes)),
            (
                safetensors.is_safetensors(head, region.size) or (lower.endswith(".safetensors") and not begins(head)),
                lambda: safetensors.scan(region, notes),
            ),
            (_hdf5(region, head, raw=raw), lambda: keras.hdf5(region, notes)),
            (lower.endswith("keras_metadata.pb"), lambda: keras.hdf5(region, notes)),
            (savedmodel.is_saved_model(name, head), lambda: savedmodel.scan(region, notes)),
            (lower.endswith(".pb") and head[:1] == b"\n", lambda: savedmodel.graph(region, notes)),
            (json, lambda: templates.in_json(region, name, notes)),
            (templates.is_template(name), lambda: templates.plain(region, notes)),
        ]

    def packed(self, region: Region, name: str, depth: int) -> None:
        """A compressed stream. What by chance begins as one does not unpack for long."""
        found = codec(region.read(0, HEAD))
        assert found is not None
        opened = Unpacked(region.part(found.before, region.size), found.decoder, self.allowance)
        fault, named = opened.fault, perhaps_pickle(_stem(name)) or perhaps_pickle(name)
        if fault and (named or not found.weak or opened.size >= HEAD or isinstance(fault, Budget)):
            self.notes.problem(f"{name}: {fault}" if depth else str(fault))
        if opened.size:
            if depth >= self.notes.limits.depth:
                raise Budget("budget: archives in archives")
            self.region(opened.region(), _stem(name), depth + 1)

    def _behind(self, region: Region, name: str, depth: int, *, raw: bool) -> None:
        """A zip with something before it."""
        if zips.is_zip(region, name, raw=raw):
            archives.zipped(self, region, name, depth)

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
        if called_pickle(name) or name.lower().endswith(".keras") or (begins(head) and perhaps_pickle(name)):
            self.notes.problem(f"{name.rpartition('/')[2]} is not what its name says")


def sealed() -> None:
    raise Budget("budget: packed in a way that is not unpacked here")


def _stem(name: str) -> str:
    """`a.pkl` of `a.pkl.gz`."""
    stem, dot, last = name.rpartition(".")
    return stem if dot and last.lower() in ("gz", "bz2", "xz", "lzma", "lz4", "z", "zlib") else name


def _hdf5(region: Region, head: bytes, *, raw: bool) -> bool:
    """HDF5 may begin at 0, or at 512 and its doubles, after something else."""
    places = (512 << n for n in range(0 if raw else 12))
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
