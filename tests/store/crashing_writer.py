"""A process to be killed: fills a store with blobs whose bytes follow from their names, and says what is sealed."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from proxy_addon.store.contract import PIECE, Manifest
from proxy_addon.store.local import DiskStore
from tests.contracts.samples import MIB, content, response, split

SIZES = [1, 5000, 32 * 1024, 32 * 1024 + 1, PIECE - 1, 2 * PIECE + 5]


async def main(root: Path, name: str, size: int, blobs: int) -> None:
    rnd = random.Random(name)
    store = DiskStore(root, size, 4 * MIB)
    await store.open()
    print("open", flush=True)
    for number in range(blobs):
        blob, length = f"{name}-{number}", rnd.choice(SIZES)
        await store.blobs.create(Manifest(blob, length, validator='"v"'))
        pieces = list(split(content(blob, length)))
        rnd.shuffle(pieces)
        for index, data in pieces:
            await store.blobs.write_piece(blob, index, data)
        await store.blobs.seal(blob, public=True)
        await store.responses.put(f"k:{blob}", [response(blob, blob=blob, size=length)])
        print(f"sealed {blob} {length}", flush=True)
        if rnd.random() < 0.15:
            await store.blobs.drop(blob)
            print(f"dropped {blob}", flush=True)
    await store.close()
    print("closed", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
