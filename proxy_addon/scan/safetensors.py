"""safetensors: a header of JSON, then the tensors, one after another without a hole, up to the end of the file."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from .contract import Budget, Notes, Unparsable
from .sources import Region

LARGEST: Final = 100_000_000  # bytes of a header, by the format
#: Bits of each.
_DTYPES: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64,
    "U64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def is_safetensors(head: bytes, size: int) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= min(LARGEST, size - 8)


def scan(region: Region, notes: Notes) -> None:
    """Raises Unparsable."""
    notes.kinds.append("safetensors")
    size = int.from_bytes(region.read(0, 8), "little")
    if size > min(LARGEST, region.size - 8):
        raise Unparsable("safetensors with a header that is larger than may be")
    if size > notes.limits.text:
        raise Budget("budget: safetensors with a header that is too large")
    try:
        header = json.loads(region.read(8, size), object_pairs_hook=_once)
    except (ValueError, RecursionError) as fault:
        raise Unparsable(f"safetensors with a header that cannot be read: {fault}") from fault
    if not isinstance(header, dict):
        raise Unparsable("safetensors with a header that is no object")
    told = header.pop("__metadata__", {})
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise Unparsable("safetensors with metadata that is not text")
    _lie_in_a_row([_place(name, tensor) for name, tensor in header.items()], region.size - 8 - size)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _place(name: str, tensor: Any) -> tuple[int, int]:
    try:
        (start, end), shape, bits = tensor["data_offsets"], tensor["shape"], _DTYPES[tensor["dtype"]]
        numbers = [start, end, *shape]
    except (KeyError, TypeError, ValueError) as fault:
        raise Unparsable(f"safetensors with a tensor that cannot be told: {name}") from fault
    if not all(type(each) is int and 0 <= each < 1 << 60 for each in numbers) or len(numbers) > 66:
        raise Unparsable(f"safetensors with a tensor that cannot be: {name}")
    if (end - start) * 8 != math.prod(shape) * bits:
        raise Unparsable(f"safetensors with a tensor whose size is not that of its shape: {name}")
    return start, end


def _lie_in_a_row(places: list[tuple[int, int]], size: int) -> None:
    due = 0
    for start, end in sorted(places):
        if start != due:
            raise Unparsable("safetensors with a hole, or tensors that overlap")
        due = end
    if due != size:
        raise Unparsable("safetensors with bytes that no tensor has")
