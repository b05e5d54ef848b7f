"""The reckoning, when all troubles are over: first everything is mended, then nothing may be wrong.

The order matters. `cache verify` repairs what lies damaged and was not asked for; a round over all files fetches it
again, and what is not served now is a fault that nothing excuses. Then the proxy is left alone and must let go of what
it held. Then the hub is stopped: what the cache has whole is served all the same. Last the proxy is stopped, and the
disk is looked at with nothing of the product in between, for damage and for secrets.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.invariants import Footprint, audited, look

from .actions import TRUNKS
from .crowd import Client, Manner
from .judge import Want
from .keeper import Use
from .ledger import GRACE
from .mishaps import Scene, command
from .world import HF, KEPT, MOVING, MS, OWNER, WIDE

MORE_DESCRIPTORS = 10
DATABASES = 80  # descriptors: three files of two databases, for each of the store's threads
MORE_MEMORY = 80 << 20  # bytes: 8 MiB of the memory tier; the rest is what allocators keep after 50 clients at once
IDLE = 75.0  # seconds that the proxy is given to let go: connections to a hub are kept for 30, and looked after each 30


NOTHING = Use(0, 0)


@dataclass
class Reckoning:
    end: Use = NOTHING
    found: int = 0  #: damaged blobs that the first `cache verify` found
    complete: int = 0  #: files that were whole when the hub was stopped, each served
    evicted: int = 0  #: files of the round that were not


def everything(scene: Scene) -> Iterable[Want]:
    """Each file of each public repo, at its commit."""
    world = scene.world
    for name, paths in (("kept", KEPT), ("wide", WIDE), ("moving", MOVING)):
        sha = world.heads(name)[-1]
        for path in paths:
            url = f"{HF}/{OWNER}/{name}/resolve/{sha}/{path}"
            right = world.version(name, path, "huggingface", sha)
            yield Want("last round", url, versions=lambda since, until, right=right: [right], etag=True)  # type: ignore[misc]
    for path in WIDE:
        url = f"{MS}/models/{OWNER}/wide/resolve/{TRUNKS['modelscope']}/{path}"
        right = world.version("wide", path, "modelscope", world.heads("wide", "modelscope")[-1])
        yield Want("last round", url, versions=lambda since, until, right=right: [right])  # type: ignore[misc]


async def settle(scene: Scene, patient: bool) -> Reckoning:
    """Not `patient`: the hub ends the connections that the proxy would have kept for a while."""
    ledger, keeper = scene.ledger, scene.keeper
    reckoning = Reckoning()
    await asyncio.sleep(GRACE["hub"])
    status, told = await command(keeper, "cache", "verify")
    if status == 2 or "Traceback" in told:
        ledger.fault("internal error", f"cache verify: {status}: {told[-1500:]}")
    reckoning.found = sum(line.startswith("damaged") for line in told.splitlines())
    client = Client(-1, scene.world, ledger, keeper, random.Random(0))
    for want in everything(scene):
        await client.served(want, door=0)
    client.close()
    if not patient:
        await asyncio.to_thread(scene.world.hub.stop)
    reckoning.end = await at_rest(scene)
    reckoning.complete, reckoning.evicted = await without_hub(scene)
    await at_last(scene)
    return reckoning


async def at_rest(scene: Scene) -> Use:
    """What the proxy uses when it has been left alone: back at the baseline, or a fault."""
    base, until = scene.keeper.baseline, time.monotonic() + IDLE
    proxy = scene.keeper.running[0]
    if proxy is None:
        return NOTHING
    use = Use.of(proxy.pid)
    while time.monotonic() < until and _more(use, base):
        await asyncio.sleep(0.5)
        use = Use.of(proxy.pid)
    for kind in _more(use, base):
        scene.ledger.fault(kind, f"at rest {use}, at its start {base}; {_open(proxy.pid)}")
    return use


def _open(pid: int) -> str:
    """What it has open: kinds, and the sockets as the system tells them."""
    kinds = Footprint.of(pid).open
    told = subprocess.run(["ss", "-tnpH"], capture_output=True, text=True, check=False).stdout.splitlines()
    return f"{dict(kinds)}; {[' '.join(line.split()[:5]) for line in told if f'pid={pid},' in line]}"


def _more(use: Use, base: Use) -> list[str]:
    grown = {"descriptors": use.descriptors - base.descriptors > MORE_DESCRIPTORS or use.databases > DATABASES}
    grown |= {"memory": use.memory - base.memory > MORE_MEMORY}
    return [kind for kind, more in grown.items() if more]


async def without_hub(scene: Scene) -> tuple[int, int]:
    """(files that were served with the hub stopped, files that had been evicted)"""
    world, ledger = scene.world, scene.ledger
    whole = await asyncio.to_thread(lambda: look(scene.place.cache).complete)
    await asyncio.to_thread(world.hub.stop)
    client = Client(-2, world, ledger, scene.keeper, random.Random(0))
    served = evicted = 0
    for want in everything(scene):
        if not want.url.startswith(HF):
            continue
        assert want.versions is not None
        (version,) = want.versions(0, 0)
        here = not whole.isdisjoint({f"sha256:{version.digest}", f"git:{version.digest}"})
        if not here:
            evicted += 1
            continue
        got = await client.asked(replace(want, kind="without the hub"), Manner(), door=0)
        ledger.requests["without the hub", got.verdict.outcome] += 1
        if not got.verdict.served:
            ledger.fault("lost blob", f"without the hub: {want.url}: {got.verdict.outcome} {got.text[:200]!r}")
        served += got.verdict.served
    client.close()
    return served, evicted


async def at_last(scene: Scene) -> None:
    """The proxy ends; nothing on the disk is damaged, left over or secret."""
    ledger, keeper, cache = scene.ledger, scene.keeper, scene.place.cache
    said = [proxy.asked_admin(page).body for proxy in keeper.running if proxy is not None for page in ("/metrics", "/")]
    await keeper.end(0)
    status, told = await command(keeper, "cache", "verify")
    if status:
        ledger.fault("damage left", f"cache verify after the repair: {status}: {told[-1500:]}")
    try:
        await asyncio.to_thread(lambda: look(cache).sound(leftovers=True))
        await audited(cache)
        await asyncio.to_thread(lambda: look(cache).sound())
    except AssertionError as fault:
        ledger.fault("damage left", f"{fault}"[:2000])
    pattern = re.compile("|".join(re.escape(secret) for secret in scene.world.secrets).encode())
    for page in said:
        if found := pattern.search(page):
            ledger.fault("secret on disk", f"{found[0]!r} on a page of the admin listener")
    for file in await asyncio.to_thread(_with, pattern, keeper.folder, cache):
        ledger.fault("secret on disk", file)


def _with(pattern: re.Pattern[bytes], *folders: Path) -> list[str]:
    found = []
    for file in {file for folder in folders for file in folder.rglob("*") if file.is_file()}:
        if hit := pattern.search(file.read_bytes()):
            found.append(f"{hit[0]!r} in {file}")
    return found
