"""`hubgate prefetch` of a repo of 200 files: cold, beside curl that fetches the same files, and when all is here."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from .figures import Figure, Row, in_turn
from .process import free_port, plain_environment
from .rig import HOST, MIB, ROOT, SERVE, Rig, direct, rest

SMALL, LARGE = 180, 20  # files
JOBS = 8  # files at once, as prefetch does by itself
LATENCY = 0.05  # seconds that the hub takes for each request, in the second row


def rows(rig: Rig) -> Iterator[Row]:
    what = f"prefetch of {SMALL + LARGE} files, {LARGE * rig.scale.part // MIB} MiB"
    again: list[float] = []
    for latency, tries in ((0.0, rig.scale.tries), (LATENCY, max(1, rig.scale.tries // 2))):
        rig.hub.knob(page_size=1000, latency=latency)
        try:
            ours, peer = in_turn(tries, lambda: _cold(rig, again), lambda: _curl(rig))
        finally:
            rig.hub.unknob()
        slow = f", hub takes {latency * 1000:g} ms a request" if latency else ""
        yield Row(f"{what}, cold{slow}", "s", Figure(tuple(ours)), Figure(tuple(peer)), f"curl, {JOBS} at once")
    yield Row(f"{what}, all of it here", "s", Figure(tuple(again)), detail="the start of the command and all")


def _cold(rig: Rig, again: list[float]) -> float:
    """Seconds for a new repo; `again` gets those of a second run."""
    id, _, total = rig.many(SMALL, LARGE, rig.scale.part)
    before = rig.hub.bytes_sent(host="cdn-lfs*")
    cold = _prefetch(rig, id)
    sent = rig.hub.bytes_sent(host="cdn-lfs*") - before
    if sent != LARGE * rig.scale.part:
        raise RuntimeError(f"the hub sent {sent} bytes of large files for {total}")
    again.append(_prefetch(rig, id))
    if rig.hub.bytes_sent(host="cdn-lfs*") - before != sent:
        raise RuntimeError("what was here was fetched again")
    return cold


def _prefetch(rig: Rig, id: str) -> float:
    config = rig.configuration(free_port(), free_port(), "prefetched")
    command = [sys.executable, "-O", "-c", SERVE, "prefetch", f"hf:{id}", "--config", str(config)]
    return _timed(command)


def _curl(rig: Rig) -> float:
    """The same by curl from the hub itself, into files."""
    id, paths, _ = rig.many(SMALL, LARGE, rig.scale.part)
    folder = rig.folder / "curled"
    lines = [f'url = "https://{HOST}/{id}/resolve/main/{path}"\noutput = "{folder}/{path}"' for path in paths]
    asked = rig.folder / "curl.txt"
    asked.write_text("\n".join(lines))
    own = [*direct(rig.hub.port), "--cacert", str(rig.hub.ca_pem)]
    many = ["--parallel", "--parallel-max", str(JOBS), "--create-dirs"]
    return _timed(["curl", "-qsfL", "--http1.1", *many, *own, "-K", str(asked)])


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, env=plain_environment(), capture_output=True, timeout=600)
    seconds = time.perf_counter() - started
    rest()
    return seconds
