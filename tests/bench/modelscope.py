"""modelscope's snapshot_download of a repo that is here, beside the same from the hub; the client writes it to disk."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.clients.run import combined_bundle, environment, python_of

from .figures import Figure, Goal, On, Row, in_turn
from .rig import MIB, Rig, rest

SMALL, LARGE = 20, 10  # files
BANDWIDTH = 25_000_000  # bytes a second on one connection, in the second row
SCRIPT = """
import shutil, sys, time
from modelscope import snapshot_download
started = time.perf_counter()
folder = snapshot_download(sys.argv[1])
print(time.perf_counter() - started)
shutil.rmtree(folder)
"""


def rows(rig: Rig) -> Iterator[Row]:
    id, paths, total = rig.many(SMALL, LARGE, rig.scale.part, hub="modelscope")
    homes = (rig.folder / f"modelscope{number}" for number in itertools.count())
    with rig.proxy() as proxy:
        ours = f"http://127.0.0.1:{proxy.port}", combined_bundle(proxy.ca, rig.folder / "bundle")
        hub = rig.hub.splice, rig.hub.ca_pem
        _taken(id, total, *ours, next(homes))
        before = rig.hub.bytes_sent(host="cdn-lfs-*.modelscope.cn")
        _taken(id, total, *ours, next(homes))
        if rig.hub.bytes_sent(host="cdn-lfs-*.modelscope.cn") != before:
            raise RuntimeError("what was here was fetched again")
        what = f"modelscope snapshot, {len(paths)} files, {total // MIB} MiB"
        for bandwidth, tries in ((None, rig.scale.tries), (BANDWIDTH, max(1, rig.scale.tries // 2))):
            rig.hub.knob(bandwidth=bandwidth)
            try:
                warm, peer = in_turn(
                    tries,
                    lambda: _taken(id, total, *ours, next(homes)),
                    lambda: _taken(id, total, *hub, next(homes)),
                )
            finally:
                rig.hub.unknob()
            slow = "" if bandwidth is None else f", hub at {bandwidth / 1e6:g} MB/s a connection"
            goal = None if bandwidth is None else Goal(On.RATIO, True, 1.0)
            yield Row(f"{what}, warm{slow}", "MB/s", Figure(tuple(warm), 0), Figure(tuple(peer), 0), "hub direct", goal)


def _taken(id: str, total: int, proxy_url: str, ca: Path, home: Path) -> float:
    """MB/s, by the client's own clock and from its call on."""
    done = subprocess.run(
        [str(python_of("ms140")), "-c", SCRIPT, id],
        env=environment(proxy_url=proxy_url, ca_bundle=ca, home=home),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    rest()
    return total / float(done.stdout.splitlines()[-1]) / 1e6
