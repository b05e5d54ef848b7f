"""A cold file from a hub that is slow on each connection: one client, then many at once."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterator

from .figures import Figure, Goal, On, Row, in_turn
from .process import cpu_seconds, memory, plain_environment
from .readers import crowd
from .rig import GIB, HOST, MIB, Rig, direct

BANDWIDTH = 25_000_000  # bytes a second on one connection


def rows(rig: Rig) -> Iterator[Row]:
    rig.hub.knob(bandwidth=BANDWIDTH)
    try:
        yield from _one(rig)
        yield from _many(rig)
    finally:
        rig.hub.unknob()


def _one(rig: Rig) -> Iterator[Row]:
    size = rig.scale.cold
    own = [*direct(rig.hub.port), "--cacert", str(rig.hub.ca_pem)]
    with rig.proxy() as proxy:
        before = cpu_seconds(*proxy.pids)
        ours, peer = in_turn(
            max(1, rig.scale.tries // 2),
            lambda: _download(rig, proxy.curl, size),
            lambda: _download(rig, own, size),
        )
        cpu = (cpu_seconds(*proxy.pids) - before) / len(ours) * GIB / size
        yield Row(
            f"cold {size // MIB} MiB, hub at {BANDWIDTH / 1e6:g} MB/s a connection",
            "MB/s",
            Figure(tuple(ours), 0),
            Figure(tuple(peer), 0),
            "direct",
            Goal(On.RATIO, True, 5),
            f"{cpu:.2f} CPU-s/GiB",
        )


def _download(rig: Rig, way: list[str], size: int) -> float:
    """MB/s of a file nobody has asked for; raises RuntimeError when it is not the hub's."""
    path, digest = rig.fresh(size)
    kept = rig.folder / "cold.bin"
    started = time.perf_counter()
    subprocess.run(
        ["curl", "-qsfL", "--http1.1", *way, "-o", str(kept), f"https://{HOST}{path}"],
        check=True,
        timeout=300,
        env=plain_environment(),
    )
    seconds = time.perf_counter() - started
    with kept.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise RuntimeError("a wrong body")
    kept.unlink()
    return size / seconds / 1e6


def _many(rig: Rig) -> Iterator[Row]:
    size, clients = rig.scale.cold, rig.scale.clients
    path, digest = rig.fresh(size)
    with rig.proxy() as proxy:
        idle = memory(proxy.pid)
        started = time.perf_counter()
        with crowd(proxy, path, clients, stall=False) as told:
            found = told()
        seconds = time.perf_counter() - started
        peak = memory(proxy.pid, "VmHWM")
    right = sum(one["sha256"] == digest for one in found)
    if right != clients:
        raise RuntimeError(f"{clients - right} of {clients} clients got a wrong body")
    what = f"{clients} cold clients, one {size // MIB} MiB file"
    bodies = rig.hub.bodies_of(digest)
    yield Row(f"{what}: bodies from the hub", "", Figure((bodies,)), goal=Goal(On.FIGURE, False, 1.0))
    after = max(one["answered"] for one in found)
    yield Row(
        f"{what}: first byte of the last client",
        "s",
        Figure((max(one["first"] for one in found),)),
        goal=Goal(On.FIGURE, False, 0.3),
        detail=f"from before CONNECT; {after:.2f} after its request; all bodies right in {seconds:.1f} s",
    )
    yield Row(
        f"{what}: most memory",
        "MiB",
        Figure((peak / MIB,), 0),
        goal=Goal(On.FIGURE, False, 200),
        detail=f"{idle / MIB:.0f} before",
    )
