"""Archives that hold pickles: PyTorch's zip, NumPy's npz, Keras's zip, PyTorch's old tar; any other one too.

Every entry is looked at by its first bytes; what is stored as it is stays where it is, and a tensor is not read.
"""

from __future__ import annotations

import bz2
import lzma
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import keras, tars, zips
from .contract import Budget, Unparsable
from .inflate import Inflated, raw_deflate
from .pickles import begins, called_pickle, interleaved
from .sources import Feed, Reader, Region

if TYPE_CHECKING:
    from .inspect import Look

_TENSOR = re.compile(r"(?:.*/)?(?:\.?data|constants|tensors|xl_model_weights)/[\w.-]+")
type _Decoder = tuple[Callable[[], Feed], Callable[[], Any]]


def zipped(look: Look, region: Region, name: str, depth: int) -> None:
    """Of whatever makes one, what it holds. Raises Unparsable."""
    notes = look.notes
    if depth >= notes.limits.depth:
        raise Budget("budget: archives in archives")
    for entry in zips.entries(region, notes):
        if entry.name.endswith("/") and not entry.packed:
            continue
        where = region.part(entry.start, entry.packed)
        if entry.method == zips.STORED:
            if _is_model(entry, name, entry.head):
                keras.config(where, notes)
            raw = _TENSOR.fullmatch(entry.name) is not None and not begins(entry.head)
            look.region(where, entry.name, depth + 1, head=entry.head, raw=raw)
            continue
        decoder = _decoder(entry, where)
        if decoder is None:
            notes.problem(f"zip: {entry.name} is packed by a method that is not known")
            continue
        _unpacked(look, entry, decoder, name, depth)


def _unpacked(look: Look, entry: zips.Entry, decoder: _Decoder, name: str, depth: int) -> None:
    feed, made = decoder

    def opened() -> Reader:
        return Reader(Inflated(feed(), made, look.allowance, once=True))

    try:
        head = opened().peek(512)
        if entry.size <= look.notes.limits.text and not (begins(head) or called_pickle(entry.name)):
            whole = opened().peek(entry.size + 1)
            if len(whole) != entry.size:
                raise Unparsable("unpacks to another size than its header says")
            if _is_model(entry, name, whole):
                keras.config(Region.of(whole), look.notes)
            look.region(Region.of(whole), entry.name, depth + 1)
        else:
            look.stream(opened, entry.name, depth + 1)
            if head.startswith((zips.LOCAL, keras.HDF5)):
                raise Budget("budget: an archive in an archive, compressed and too large")
    except Unparsable as fault:
        look.notes.problem(f"{entry.name}: {fault}")


def _is_model(entry: zips.Entry, name: str, head: bytes) -> bool:
    """A configuration of Keras's: others have files of that name too."""
    named = entry.name.rpartition("/")[2] == "config.json"
    return named and (name.lower().endswith(".keras") or keras.is_config(head))


def _decoder(entry: zips.Entry, where: Region) -> _Decoder | None:
    match entry.method:
        case zips.DEFLATED:
            return where.feed, raw_deflate
        case zips.BZIP2:
            return where.feed, bz2.BZ2Decompressor
        case zips.LZMA:  # APPNOTE 5.8: version, size of the properties, properties
            head = where.read(0, 9)
            if len(head) == 9 and head[2:4] == b"\x05\0":
                rest = where.part(9, where.size)
                return rest.feed, lambda: _raw_lzma(head[4:9])
    return None


def _raw_lzma(properties: bytes) -> Any:
    filters = [lzma._decode_filter_properties(lzma.FILTER_LZMA1, properties)]  # type: ignore[attr-defined]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)


def tarred(look: Look, region: Region, depth: int) -> None:
    """Raises Unparsable."""
    if depth >= look.notes.limits.depth:
        raise Budget("budget: archives in archives")
    gaps = {"storages": tars.storage, "tensors": tars.tensor}
    for name, part in tars.members(region, look.notes.limits.entries):
        if gap := gaps.get(name.removeprefix("./")):
            interleaved(part.reader(), look.notes, look.deadline, gap)
        elif name.removeprefix("./") == "pickle":
            look.region(part, "pickle.pkl", depth + 1)
        else:
            look.region(part, name, depth + 1)
