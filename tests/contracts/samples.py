"""Values for tests of stores: bytes that can be told from any others, and readers-through."""

from __future__ import annotations

import random
from collections.abc import Iterable

from proxy_addon.core.messages import Headers, StoredResponse
from proxy_addon.store.contract import PIECE, Blobs, Manifest

MIB = 1024 * 1024


def content(name: str, size: int) -> bytes:
    """Bytes that depend on the name alone; no two units of one blob are alike, as far as 100 MiB."""
    block = random.Random(name).randbytes(min(size, 65_521))
    return (block * (size // max(len(block), 1) + 1))[:size]


def response(url: str = "https://hub.test/x", **fields: object) -> StoredResponse:
    values: dict[str, object] = {
        "status": 200,
        "headers": Headers([("ETag", '"e"'), ("Link", "<a>"), ("Link", "<b\xe9>")]),
        "request_time": 10.25,
        "response_time": 11.5,
        "url": url,
    }
    return StoredResponse(**(values | fields))  # type: ignore[arg-type]


def split(data: bytes) -> Iterable[tuple[int, bytes]]:
    return ((at // PIECE, data[at : at + PIECE]) for at in range(0, len(data), PIECE))


async def fill(blobs: Blobs, name: str, data: bytes, *, seal: bool = True) -> Manifest:
    made = await blobs.create(Manifest(name, len(data), validator='"v"'))
    for index, piece in split(data):
        await blobs.write_piece(name, index, piece)
    if seal:
        await blobs.seal(name, public=True)
    return await blobs.manifest(name) or made


async def read_all(blobs: Blobs, manifest: Manifest, start: int = 0, end: int | None = None) -> bytes:
    end = manifest.size if end is None else end
    reader, out = blobs.reader(manifest), bytearray()
    try:
        while start + len(out) < end:
            out += await reader.read(start + len(out), end)
    finally:
        reader.close()
    return bytes(out)
