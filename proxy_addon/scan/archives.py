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
from .inflate import Decoder, raw_deflate
from .pickles import begins, interleaved
from .sources import Region
from .unpacked import Unpacked

if TYPE_CHECKING:
    from .inspect import Look

#: By a name that no loader is given: such a one is searched neither for HDF5 after something else nor for a zip with
#: both something before it and a comment.
_TENSOR = re.compile(r"(?:.*/)?(?:\.?data|constants|tensors|xl_model_weights)/(?:\w+/)*\w*\d(?:\.storage)?")
type _Packed = tuple[Region, Callable[[], Decoder]]


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
            _model(look, entry, name, where)
            raw = _TENSOR.fullmatch(entry.name) is not None and not begins(entry.head)
            look.region(where, entry.name, depth + 1, head=entry.head, raw=raw)
            continue
        packed = _packed(entry, where)
        if packed is None:
            notes.problem(f"zip: {entry.name} is packed by a method that is not known")
            continue
        _unpacked(look, entry, packed, name, depth)


def _unpacked(look: Look, entry: zips.Entry, packed: _Packed, name: str, depth: int) -> None:
    opened = Unpacked(*packed, look.allowance, once=True)
    if opened.fault:
        look.notes.problem(f"{entry.name}: {opened.fault}")
    elif opened.size != entry.size:
        look.notes.problem(f"{entry.name}: unpacks to another size than its header says")
    inner = opened.region()
    _model(look, entry, name, inner)
    look.region(inner, entry.name, depth + 1)


def _model(look: Look, entry: zips.Entry, name: str, where: Region) -> None:
    """A configuration, if it is one of Keras's: others have files of that name too."""
    if entry.name.rpartition("/")[2] != "config.json":
        return
    try:
        if name.lower().endswith(".keras") or keras.is_config(where.read(0, look.notes.limits.text)):
            keras.config(where, look.notes)
    except Unparsable as fault:
        look.notes.problem(f"{entry.name}: {fault}")


def _packed(entry: zips.Entry, where: Region) -> _Packed | None:
    match entry.method:
        case zips.DEFLATED:
            return where, raw_deflate
        case zips.BZIP2:
            return where, bz2.BZ2Decompressor
        case zips.LZMA:  # APPNOTE 5.8: version, size of the properties, properties
            head = where.read(0, 9)
            if len(head) == 9 and head[2:4] == b"\x05\0":
                return where.part(9, where.size), lambda: _raw_lzma(head[4:9])
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
