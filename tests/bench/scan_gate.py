"""What the gate of content costs a download: `python -m tests.bench.scan_gate [DIRECTORY]`.

A PyTorch zip of 1 GiB through an engine, without a rule and with one that asks what lies in it: cold, then from a cache
that was filled before the rule came, then with the findings in memory. Seconds of wall clock until the reply begins and
until it ends; of the scan its own time and the most memory that its process had resident.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.scan_cost import resident, zip_of
from tests.engine.rig import Rig, rig, settings_for
from tests.hub import Repo, TestHub, standard_hub
from tests.scan.made import TORCH

URL = "https://huggingface.co/bench/zip/resolve/main/pytorch_model.bin"
RULES = f"version: 1\nscan:\n  pickle: {{allow_imports: [{', '.join(TORCH)}]}}\n"


async def download(r: Rig, title: str) -> None:
    began = time.perf_counter()
    reply = await r.open("GET", URL)
    head, size = time.perf_counter() - began, 0
    assert reply.status == 200 and not isinstance(reply.body, bytes)
    while data := await reply.body.read(1 << 20):
        size += len(data)
    reply.body.close()
    took = time.perf_counter() - began
    contents, idle = r.parts.engine.contents, r.parts.scanner._idle
    most = resident(idle[0]._process.pid) if idle else 0
    said = f"{contents.scans} scans, {contents.seconds:.3f} s, {most / 2**20:.0f} MiB"
    print(f"{title:36} {size} bytes: begins {head:.3f} s, ends {took:.2f} s; {said}")


async def measure(hub: TestHub, directory: Path) -> None:
    rules = directory / "rules.yaml"
    rules.write_text(RULES)
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    plain = settings_for(hub.port, hub.ca_pem, directory / "plain", rules=())
    ruled = settings_for(hub.port, hub.ca_pem, directory / "ruled", rules=(rules,))
    after = settings_for(hub.port, hub.ca_pem, directory / "plain", rules=(rules,))
    async with rig(plain) as r:
        await download(r, "cold, no rule")
        await r.idle()
        await download(r, "warm, no rule")
    async with rig(ruled) as r:
        await download(r, "cold, scanned")
        await r.idle()
        await download(r, "warm, findings in memory")
    async with rig(ruled) as r:
        await download(r, "warm, findings on disk")
    async with rig(after) as r:
        await download(r, "warm, cached before the rule came")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as scratch, standard_hub() as hub:
        zip_of(Path(scratch, "big.bin"), 300)
        hub.add(Repo("bench/zip", "model", files={"pytorch_model.bin": Path(scratch, "big.bin")}))
        asyncio.run(measure(hub, Path(scratch)))
