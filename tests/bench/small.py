"""Small warm replies: 2 KB and HEAD, 16 keep-alive connections; with the memory tier, and with none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

from .figures import Figure, Goal, On, Row, in_turn
from .process import cpu_seconds, end
from .rig import ROOT, Rig, Side

SIZE = 2048
CONNECTIONS = 16


@dataclass(frozen=True)
class Load:
    rate: float  # requests a second
    p50: float  # ms
    p99: float
    cpu: float  # ms for each request


def load(side: Side, path: str, seconds: float, method: str, body: str) -> Load:
    spec = {
        "port": side.port,
        "connect": side.connect,
        "ca": str(side.ca),
        "method": method,
        "path": path,
        "body": body,
        "connections": CONNECTIONS,
        "seconds": seconds,
    }
    process = subprocess.Popen(
        [sys.executable, "-O", "-m", "tests.bench.load", json.dumps(spec)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    try:
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("the load generator failed")
        before = cpu_seconds(*side.pids)
        process.stdin.write(b"go\n")
        process.stdin.flush()
        line = process.stdout.readline()
        cpu = cpu_seconds(*side.pids) - before
        if not line:
            raise RuntimeError("the load generator failed")
        found = json.loads(line)
    finally:
        end(process)
        process.stdin.close()
        process.stdout.close()
    count = found["requests"]
    return Load(count / found["seconds"], found["p50"], found["p99"], cpu * 1000 / count)


def rows(rig: Rig) -> Iterator[Row]:
    big = rig.big()
    path, text = rig.small(SIZE)
    (rig.site / "small.txt").write_text(text)
    kinds = (
        ("warm 2 KB", "GET", path, "/small.txt", text),
        ("HEAD of a warm file", "HEAD", big, "/big.bin", ""),
    )
    tiers = (("memory", "256MB", 5000), ("disk", "0", 2000))
    with rig.nginx() as nginx:
        for tier, memory, least in tiers:
            with rig.proxy(memory=memory) as proxy:
                for what, method, ours_at, peer_at, body in kinds:
                    sides = ((proxy, ours_at), (nginx, peer_at))
                    ours, peer = in_turn(
                        rig.scale.tries,
                        *(partial(load, side, at, rig.scale.seconds, method, body) for side, at in sides),
                    )
                    yield _row(f"{what}, {tier} tier", ours, peer, least)


def _row(what: str, ours: list[Load], peer: list[Load], least: int) -> Row:
    return Row(
        f"{what}, {CONNECTIONS} connections",
        "requests/s",
        Figure(tuple(one.rate for one in ours), 0),
        Figure(tuple(one.rate for one in peer), 0),
        "nginx",
        Goal(On.FIGURE, True, least),
        f"{more(ours)}; nginx {more(peer)}",
    )


def more(loads: list[Load]) -> str:
    p50, p99 = median(one.p50 for one in loads), median(one.p99 for one in loads)
    cpu = median(one.cpu for one in loads)
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, {cpu:.3f} CPU-ms each = {1000 / cpu if cpu else 0:,.0f}/CPU-s"
