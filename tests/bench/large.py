"""A large warm file: one stream, eight at once, and HTTP/2. curl takes it and throws it away."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .figures import Figure, Goal, On, Row, in_turn
from .process import cpu_seconds, plain_environment
from .rig import GIB, HOST, MIB, Rig, Side, rest

STREAMS = 8


@dataclass(frozen=True)
class Taken:
    rate: float  # GB/s
    cpu: float  # seconds per GiB


def take(side: Side, path: str, size: int, *, http: str = "1.1", streams: int = 1) -> Taken:
    """`streams` downloads at once; raises RuntimeError when one of them is not whole."""
    say = "%{http_code} %{http_version} %{size_download}"
    command = ["curl", "-qs", f"--http{http}", *side.curl, "-o", "/dev/null", "-w", say, f"https://{HOST}{path}"]
    before, started = cpu_seconds(*side.pids), time.perf_counter()
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plain_environment()) for _ in range(streams)
    ]
    said = [process.communicate(timeout=600)[0] for process in running]
    seconds = time.perf_counter() - started
    rest()
    cpu = cpu_seconds(*side.pids) - before
    if any(line != f"200 {http} {size}" for line in said):
        raise RuntimeError(f"curl: {said}")
    return Taken(streams * size / seconds / 1e9, cpu * GIB / (streams * size))


def rows(rig: Rig) -> Iterator[Row]:
    size, path = rig.scale.large, rig.big()
    what = f"{size // MIB} MiB"
    with rig.proxy() as proxy, rig.nginx() as nginx:
        take(proxy, path, size)
        take(nginx, "/big.bin", size)
        ours, peer, h2 = in_turn(
            rig.scale.tries,
            lambda: take(proxy, path, size),
            lambda: take(nginx, "/big.bin", size),
            lambda: take(proxy, path, size, http="2"),
        )
        yield Row(f"warm {what}, 1 stream", "GB/s", _rate(ours), _rate(peer), "nginx", Goal(On.RATIO, True, 1.0))
        yield Row(f"warm {what}, 1 stream", "CPU-s/GiB", _cpu(ours), _cpu(peer), "nginx", Goal(On.RATIO, False, 1.2))
        yield Row(
            f"warm {what}, 1 stream, HTTP/2",
            "GB/s",
            _rate(h2),
            _rate(ours),
            "its HTTP/1.1",
            Goal(On.RATIO, True, 0.6),
            f"{_cpu(h2).text} CPU-s/GiB",
        )
        ours, peer = in_turn(
            max(1, rig.scale.tries // 2),
            lambda: take(proxy, path, size, streams=STREAMS),
            lambda: take(nginx, "/big.bin", size, streams=STREAMS),
        )
        yield Row(
            f"warm {what}, {STREAMS} streams",
            "GB/s",
            _rate(ours),
            _rate(peer),
            "nginx",
            Goal(On.RATIO, True, 0.9),
            f"CPU-s/GiB {_cpu(ours).text}, nginx {_cpu(peer).text}",
        )


def _rate(all_taken: list[Taken]) -> Figure:
    return Figure(tuple(taken.rate for taken in all_taken))


def _cpu(all_taken: list[Taken]) -> Figure:
    return Figure(tuple(taken.cpu for taken in all_taken))
