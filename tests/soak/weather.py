"""What the hubs do wrong, for some seconds at a time.

Where nothing can prove the bytes (`plain.example`, documents, what is passed on for a token) a hub is never made to lie
about bytes: a proxy could not know. Lies are told of what has a digest that is known.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping

from proxy_addon.store.contract import PIECE

from .judge import PAGE
from .ledger import Ledger
from .wire import IDLE
from .world import WIDE, World

type Knob = Mapping[str, object]
type Draw = Callable[[World, random.Random], Knob]

CDN = ("cdn-lfs-us-1.hf.co", "us.aws.cdn.hf.co", "cdn-lfs-cn-1.modelscope.cn", "transfer.xethub.hf.co")
SITES = ("huggingface.co", "www.modelscope.cn")
HOSTS = ("*", *CDN, *SITES, "plain.example")
SLOWEST = 2 * PIECE / IDLE  # bytes a second: a part waits until all of its piece has come and is proven
LOGIN = {"status": 200, "body": PAGE.decode(), "content_type": "text/html"}


def _somewhere(_: World, rnd: random.Random) -> dict[str, object]:
    return {"host": rnd.choice(HOSTS)}


def _proven(world: World, rnd: random.Random) -> dict[str, object]:
    """Where the bytes of a file come from, one that has a digest."""
    kind = rnd.randrange(4)
    if kind == 0:
        return {"host": "huggingface.co", "path": "/api/resolve-cache/models/soak/wide/*"}
    if kind == 1:
        return {"host": rnd.choice(CDN[:2]), "path": f"*{_digest(world, rnd, 'moving', 'model.bin')}*"}
    path = rnd.choice([path for path in WIDE if path.endswith(".bin")])
    return {"host": "*.cdn.hf.co" if kind == 2 else "cdn-lfs*", "path": f"*{_digest(world, rnd, 'wide', path)}*"}


def _digest(world: World, rnd: random.Random, name: str, path: str) -> str:
    file = world.file(name, path)
    return file.xet or file.sha256 or file.oid


#: What each knob is drawn by; None: the hub itself is away.
WEATHER: dict[str, Draw | None] = {
    "hub cuts": lambda w, r: _somewhere(w, r) | {"drop_after": r.randrange(2_000_000), "drop_rst": r.random() < 0.5},
    "hub stalls": lambda w, r: _somewhere(w, r) | {"stall_after": r.randrange(1_000_000)},
    "hub trickles": lambda w, r: _somewhere(w, r) | {"bandwidth": r.choice((SLOWEST, 300_000))},
    "hub is slow": lambda w, r: _somewhere(w, r) | {"latency": r.uniform(0.2, 2)},
    "hub says 5xx": lambda w, r: _somewhere(w, r) | {"status": r.choice((500, 502, 503, 504))},
    "hub says 429": lambda w, r: _somewhere(w, r) | {"status": 429, "retry_after": r.choice((0, 1, 2))},
    "hub says 4xx": lambda w, r: {"host": r.choice(CDN), "status": r.choice((401, 403, 404, 416))},
    "a page for a file": lambda w, r: {"host": r.choice(CDN[:3])} | LOGIN,
    "a page for a document": lambda w, r: {"host": "huggingface.co", "path": "/api/models/soak/*"} | LOGIN,
    "wrong bytes": lambda w, r: _proven(w, r) | {"corrupt_at": r.choice((0, 5, 700, 250_000))},
    "a lie about length": lambda w, r: _proven(w, r) | {"length_lie": r.choice((-100, 100, 5000))},
    "no length": lambda w, r: _proven(w, r) | {"chunked": True},
    "another ETag": lambda w, r: _proven(w, r) | {"etag": "other", "skip": r.randrange(3)},
    "ranges ignored": lambda w, r: _proven(w, r) | {"range_ignored": True},
    "links that ended": lambda w, r: {"host": r.choice(SITES), "url_ttl": -5},
    "a loop": lambda w, r: {"host": r.choice(CDN), "redirect": "self"},
    "led to a private address": lambda w, r: {
        "host": r.choice(CDN), "redirect": r.choice(("http://169.254.169.254/x", "https://127.0.0.1:1/x"))
    },
    "hub is gone": None,
    "hub is silent": None,
}  # fmt: skip


async def blow(name: str, world: World, ledger: Ledger, rnd: random.Random, seconds: float) -> None:
    """One trouble, from its begin to its end."""
    hub = world.hub
    with ledger.trouble(name, "hub"):
        if (draw := WEATHER[name]) is None:
            await asyncio.to_thread(hub.stop, silent=name == "hub is silent")
            try:
                await asyncio.sleep(seconds)
            finally:
                await asyncio.to_thread(hub.start)
            return
        knob = hub.knob(**draw(world, rnd))
        try:
            await asyncio.sleep(seconds)
        finally:
            hub.unknob(knob)
