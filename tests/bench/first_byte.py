"""Time to the first byte of a file: warm beside nginx, cold beside what the hub itself takes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from .figures import Figure, Goal, On, Row, in_turn
from .process import plain_environment
from .rig import HOST, MIB, Rig, Side, direct, rest
from .wire import first_byte, trust

WARM_TRIES = 20
LATENCY = 0.05  # seconds that the hub takes for each request, in the second of the cold rows


def rows(rig: Rig) -> Iterator[Row]:
    path = rig.big()
    with rig.nginx() as nginx, rig.proxy() as proxy:
        for side in (proxy, nginx):
            _warm(side, path if side is proxy else "/big.bin")
        ours, peer = in_turn(WARM_TRIES, lambda: _warm(proxy, path), lambda: _warm(nginx, "/big.bin"))
        yield Row(
            "first byte, warm file, after the request",
            "ms",
            Figure(tuple(ours)),
            Figure(tuple(peer)),
            "nginx",
            Goal(On.FIGURE, False, 5),
        )
    with rig.proxy() as proxy:
        yield _cold_row(rig, proxy, "first byte, cold file, connection and all")
        rig.hub.knob(latency=LATENCY)
        try:
            yield _cold_row(rig, proxy, f"the same, hub takes {LATENCY * 1000:g} ms a request")
        finally:
            rig.hub.unknob()


def _warm(side: Side, path: str) -> float:
    return 1000 * first_byte(side.port, side.connect, trust(side.ca), path)


def _cold_row(rig: Rig, proxy: Side, what: str) -> Row:
    own = [*direct(rig.hub.port), "--cacert", str(rig.hub.ca_pem)]
    _curl(own, rig.fresh(8 * MIB)[0])
    _curl(proxy.curl, rig.fresh(8 * MIB)[0])
    ours, peer = in_turn(
        2 * rig.scale.tries,
        lambda: _curl(proxy.curl, rig.fresh(8 * MIB)[0]),
        lambda: _curl(own, rig.fresh(8 * MIB)[0]),
    )
    return Row(what, "ms", Figure(tuple(ours)), Figure(tuple(peer)), "hub direct", Goal(On.MORE, False, 20))


def _curl(way: list[str], path: str) -> float:
    """Milliseconds from the start to the first byte, redirects followed."""
    done = subprocess.run(
        ["curl", "-qsfL", "--http1.1", *way, "-o", "/dev/null", "-w", "%{time_starttransfer}", f"https://{HOST}{path}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=plain_environment(),
    )
    rest()
    return 1000 * float(done.stdout)
