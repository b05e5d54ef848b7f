"""What a crowd has left behind is given back when the crowd has gone.

Connections are objects that point at each other, which only a full collection takes apart, and the C library keeps what
was freed for the next time. Neither comes by itself in a process that has fallen quiet: after fifty clients it held
60 MiB more than it used. So once after each busy time, when nothing has been under way for a while, both are done; it
holds up nobody, and takes some 20 ms. A crowd that does not end, of clients who break off what they begin, is given no
time to pile up what they leave: when `CROWD` have left, it is done whoever is there.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable

from .admission import Open

QUIET = 5.0  # seconds
CROWD = 500  # connections and bodies


def trim() -> None:
    """Have glibc give back what is free. Other C libraries have no such thing, and need none."""
    found = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if found is not None:
        found(0)


async def give_back(open: Open, trim: Callable[[], None] = trim, quiet: float = QUIET) -> None:
    """Until it is cancelled."""
    given = seen = (open.begun, open.left)
    while True:
        await asyncio.sleep(quiet)
        now = open.begun, open.left
        if (not open.count and now == seen != given) or now[1] - given[1] >= CROWD:
            gc.collect()
            await asyncio.to_thread(trim)
            given = now
        seen = now
