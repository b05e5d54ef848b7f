"""Keras: layers that run code when a model is loaded, and classes that are not Keras's own.

In `.keras` the model is JSON, whose every `module` and `class_name` is told unless it is one of Keras's harmless
packages. In HDF5 it is the same JSON in an attribute, kept in one run of bytes: the file is searched for its names,
window by window, because where an attribute lies takes the whole of HDF5 to tell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from .contract import Budget, Notes, Unparsable
from .sources import Region

HDF5: Final = b"\x89HDF\r\n\x1a\n"
_RUNS = frozenset({"Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer", "__lambda__", "function"})
_HARMLESS = re.compile(
    r"(?:tf_|tensorflow\.)?keras(?:\.src)?\.(?:layers|initializers|optimizers|losses|metrics|regularizers|constraints|"
    r"activations|models|engine|legacy|dtype_policies|quantizers|random|backend\.common)(?:\.[\w.]+)?|keras|builtins"
)
_PART = 1 << 20
_OVERLAP = 512
_NAME = re.compile(rb'\\?"(class_name|module)\\?"\s*:\s*\\?"([^"]{0,200})"')
_NEEDLES = (b'class_name"', b'module"', b'class_name\\"')
_ESCAPED = re.compile(rb"\\u00[4-7][0-9a-fA-F]")


def is_config(head: bytes) -> bool:
    """Whether a `config.json` is one of Keras's: others have that name too."""
    return b'"class_name"' in head or b'"keras' in head or b'"module"' in head


def config(region: Region, notes: Notes) -> None:
    """Of the entry `config.json`. Raises Unparsable."""
    notes.kinds.append("keras")
    if region.size > notes.limits.text:
        raise Budget("budget: a model of Keras that is too large")
    try:
        said = json.loads(region.read(0, region.size))
    except (ValueError, RecursionError) as fault:
        raise Unparsable("a model of Keras whose config.json cannot be read") from fault
    for module, name in _classes(said, 0):
        _told(module, name, notes)


def _classes(said: Any, depth: int) -> Iterator[tuple[str, str]]:
    if depth > 200:
        raise Budget("budget: a model of Keras that is nested too deep")
    if isinstance(said, dict):
        if isinstance(name := said.get("class_name"), str):
            module = said.get("module")
            yield module if isinstance(module, str) else "", name
        if isinstance(module := said.get("fn_module"), str):
            yield module, str(said.get("fn_name"))
    inside = said.values() if isinstance(said, dict) else said if isinstance(said, list) else ()
    for each in inside:
        yield from _classes(each, depth + 1)


def _told(module: str, name: str, notes: Notes) -> None:
    if name in _RUNS:
        notes.imported(f"{module or 'keras.layers'}.{name}" if name != "function" else f"{module or 'keras'}/{name}")
    elif module and not _HARMLESS.fullmatch(module):
        notes.imported(f"{module}.{name}")


def hdf5(region: Region, notes: Notes) -> None:
    """Search a whole file, a window at a time."""
    notes.kinds.append("keras")
    at, escaped, classes = 0, False, False
    while at < region.size:
        part = region.read(at, _PART + _OVERLAP)
        if any(needle in part for needle in _NEEDLES):
            for kind, value in _NAME.findall(part):
                classes = True
                text = _unescaped(value)
                if kind == b"class_name" and text in _RUNS - {"function"}:
                    notes.imported(f"keras.layers.{text}")
                elif kind == b"module" and not _HARMLESS.fullmatch(text):
                    notes.imported(f"{text}.*")
        escaped = escaped or _ESCAPED.search(part) is not None if b"\\u00" in part else escaped
        at += _PART
    if escaped and classes:
        notes.problem("a model of Keras with letters that are spelled as escapes")


def _unescaped(value: bytes) -> str:
    try:
        return str(json.loads(b'"' + value.replace(b"\\\\u", b"\\u").rstrip(b"\\") + b'"'))
    except ValueError:
        return value.decode("latin-1")
