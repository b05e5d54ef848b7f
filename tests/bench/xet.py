"""hf_xet, native: a file all of whose ranges are here, beside the same from the hub; the client writes it to disk."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.clients.run import combined_bundle, environment, python_of

from .figures import Figure, Goal, On, Row, in_turn
from .process import cpu_seconds
from .rig import GIB, MIB, Rig, rest

BANDWIDTH = 25_000_000  # bytes a second on one connection, in the second row
ID = "bench/xet"
SCRIPT = """
import hashlib, os, shutil, sys, time
from huggingface_hub import hf_hub_download
started = time.perf_counter()
file = hf_hub_download(sys.argv[1], "b.bin")
print(time.perf_counter() - started)
with open(file, "rb") as read:
    print(hashlib.file_digest(read, "sha256").hexdigest())
shutil.rmtree(os.environ["HF_HOME"])
"""


def rows(rig: Rig) -> Iterator[Row]:
    size = rig.scale.large // 2
    digest = rig.hub.add_synthetic(ID, "b.bin", size, seed=77, storage="xet")
    homes = (rig.folder / f"xet{number}" for number in itertools.count())
    with rig.proxy(xet="native") as proxy:
        ours = f"http://127.0.0.1:{proxy.port}", combined_bundle(proxy.ca, rig.folder / "bundle")
        hub = rig.hub.splice, rig.hub.ca_pem

        def taken(way: tuple[str, Path]) -> float:
            return _taken(size, digest, *way, next(homes))

        taken(ours)
        before = rig.hub.bytes_sent(host="transfer.*")
        taken(ours)
        if not before or rig.hub.bytes_sent(host="transfer.*") != before:
            raise RuntimeError("what was here was fetched again, or never came by Xet")
        for bandwidth, tries in ((None, rig.scale.tries), (BANDWIDTH, max(1, rig.scale.tries // 2))):
            rig.hub.knob(bandwidth=bandwidth)
            used = cpu_seconds(*proxy.pids)
            try:
                warm, peer = in_turn(tries, lambda: taken(ours), lambda: taken(hub))
            finally:
                rig.hub.unknob()
            cpu = (cpu_seconds(*proxy.pids) - used) / len(warm) * GIB / size
            slow = "" if bandwidth is None else f", hub at {bandwidth / 1e6:g} MB/s a connection"
            goal = None if bandwidth is None else Goal(On.RATIO, True, 1.0)
            yield Row(
                f"hf_xet {size // MIB} MiB, warm{slow}",
                "MB/s",
                Figure(tuple(warm), 0),
                Figure(tuple(peer), 0),
                "hub direct",
                goal,
                f"{cpu:.2f} CPU-s/GiB",
            )


def _taken(size: int, digest: str, proxy_url: str, ca: Path, home: Path) -> float:
    """MB/s, by the client's own clock and from its call on."""
    done = subprocess.run(
        [str(python_of("hub2")), "-c", SCRIPT, ID],
        env=environment(proxy_url=proxy_url, ca_bundle=ca, home=home),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=600,
    )
    told = done.stdout.split()
    if done.returncode or told[1:] != [digest]:
        raise RuntimeError(f"hf_xet: {done.stdout} {done.stderr[-800:]}")
    rest()
    return size / float(told[0]) / 1e6
