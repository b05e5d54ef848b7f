"""What a client costs that has asked for a large file and stopped reading."""

from __future__ import annotations

from collections.abc import Iterator

from .figures import Figure, Goal, On, Row
from .large import take
from .process import settled_memory
from .readers import crowd
from .rig import MIB, Rig


def rows(rig: Rig) -> Iterator[Row]:
    path, clients = rig.big(), rig.scale.clients
    with rig.proxy() as proxy:
        take(proxy, path, rig.scale.large)
        before = settled_memory(proxy.pid)
        with crowd(proxy, path, clients, stall=True) as told:
            told()
            after = settled_memory(proxy.pid)
            taken = take(proxy, path, rig.scale.large)
    yield Row(
        f"{clients} stalled readers of {rig.scale.large // MIB} MiB: memory of each",
        "MiB",
        Figure(((after - before) / clients / MIB,)),
        goal=Goal(On.FIGURE, False, 1.0),
        detail=f"{before / MIB:.0f} before, {after / MIB:.0f} with them; one more reader then: {taken.rate:.2f} GB/s",
    )
