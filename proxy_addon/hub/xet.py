"""Xet: what of it passes by here, and how clients are kept from it.

A file is a row of *terms*, each a run of chunks in a *xorb*. A client asks the CAS for the reconstruction of a file
(by the file's Xet hash) and then fetches byte ranges of xorbs, each by a URL that is signed for just that range. In
*bridge* mode clients never get so far: without the Xet fields they take the plain file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from .paths import unescaped
from .resources import SHA256, Kind, Reconstruction, Resource, Secret, Xorb

NATIVE_ABOVE = 50_000_000_000  # bytes: newer clients refuse a larger file without Xet
_SPAN = re.compile(r"bytes=([0-9]{1,12})-([0-9]{1,12})\Z")


def reconstruction(hub: str, parts: tuple[str, ...]) -> Resource:
    """`/v2/reconstructions/{file}` and the older spellings; all else on the CAS is nobody's but the client's, and of
    unknown bytes unless it only tells where chunks are. What is asked of several files at once is a `blob`: no token
    tells whose they are."""
    *_, what, file = ("", "", *(unescaped(part) for part in parts))
    if what.startswith("reconstruction") and SHA256.match(file.lower()):
        return Reconstruction(hub, file.lower())
    if any(part.lower().startswith("reconstruction") for part in (what, file)):
        return Secret(hub, Kind.BLOB)
    return Secret(hub) if parts[1:2] == ("chunks",) else Secret(hub, Kind.XORB)


def xorb(hub: str, parts: tuple[str, ...], query: str) -> Resource:
    """`/xorbs/{prefix}/{hash}`, signed for one range of bytes; a link signed for several is passed on."""
    spans = parse_qs(query).get("X-Xet-Signed-Range", [""])
    span = _SPAN.match(spans[0]) if len(spans) == 1 else None
    if span is None or parts[:1] != ("xorbs",) or not SHA256.match(parts[-1]) or int(span[2]) < int(span[1]):
        return Secret(hub, Kind.XORB)
    return Xorb(hub, parts[-1], int(span[1]), int(span[2]) + 1)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is by its Xet hash: the bytes that have this SHA-256 and this size."""

    file: str
    sha256: str
    size: int


def identities(document: Any) -> Iterator[Identity]:
    """Of the files that a listing names both by Xet hash and by SHA-256.

    Only where the hub itself lists files: what else is in there, a model card for one, says what its author likes."""
    listed = document.get("siblings") if isinstance(document, dict) else document
    for node in listed if isinstance(listed, list) else ():
        lfs = node.get("lfs") if isinstance(node, dict) else None
        if isinstance(lfs, dict) and "xetHash" in node:
            found = identity(node["xetHash"], lfs.get("oid") or lfs.get("sha256"), node.get("size"))
            if found is not None:
                yield found


def identity(file: Any, sha256: Any, size: Any) -> Identity | None:
    if isinstance(file, str) and isinstance(sha256, str) and SHA256.match(file) and SHA256.match(sha256):
        return Identity(file, sha256, size) if type(size) is int and size > 0 else None
    return None


def _nodes(document: Any) -> Iterator[dict[str, Any]]:
    stack = [document]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            yield node
            stack.extend(v for v in node.values() if isinstance(v, dict | list))


# -- the bridge edit -------------------------------------------------------------------------------------------------

XET_FACTS = "application/vnd.xet-fileinfo+json"
XET_FIELDS = ("X-Xet-Hash", "X-Xet-Refresh-Route", "Link")


def without_xet(document: Any, keep: Callable[[int], bool]) -> Any:
    """A listing without `xetHash` for files up to a size: clients then take the plain file. Edits in place."""
    for node in _nodes(document):
        size = node.get("size")
        if "xetHash" in node and not (isinstance(size, int) and keep(size)):
            del node["xetHash"]
    return document
