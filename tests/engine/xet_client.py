"""A client of native Xet in small: what hf_xet asks, in the order in which it asks."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from proxy_addon.xorb import codings
from proxy_addon.xorb.frames import Frames
from tests.engine.rig import Got, Rig
from tests.hub import TestHub

TRANSFER = "transfer.xethub.hf.co"
H = "https://huggingface.co"
CAS = "https://cas-server.xethub.hf.co"


@dataclass(frozen=True)
class Asked:
    """A link, and the range to ask by it."""

    url: str
    first: int
    last: int
    chunks: tuple[int, int]

    @property
    def range(self) -> str:
        return f"bytes={self.first}-{self.last}"


@dataclass
class XetClient:
    rig: Rig
    repo: str = "acme/tiny"
    session: str = "s1"
    credential: str | None = None
    version: str = "/v2/reconstructions/"
    got: dict[str, bytes] = field(default_factory=dict)  # url -> a range that came whole

    async def head(self, path: str) -> Got:
        own = {"Authorization": f"Bearer {self.credential}"} if self.credential else {}
        return await self.rig.head(f"{H}/{self.repo}/resolve/main/{path}", own)

    async def tell(self, xet: str, asked: str | None = None) -> Got:
        """The reconstruction, as it came."""
        own = {"Authorization": f"Bearer {self.credential}"} if self.credential else {}
        token = await self.rig.get(f"{H}/api/models/{self.repo}/xet-read-token/main", own)
        fields = {"Authorization": f"Bearer {_json(token)['accessToken']}", "x-xet-session-id": self.session}
        return await self.rig.get(f"{CAS}{self.version}{xet}", fields | ({"Range": f"bytes={asked}"} if asked else {}))

    async def told(self, xet: str, asked: str | None = None) -> dict[str, Any]:
        got = await self.tell(xet, asked)
        assert got.status == 200, got.body
        found: dict[str, Any] = _json(got)
        return found

    async def ask(self, asked: Asked) -> Got:
        got = await self.rig.get(asked.url, {"Range": asked.range, "x-xet-session-id": self.session})
        if got.status in (200, 206) and not got.cut:
            self.got[asked.url] = got.body
        return got

    async def open(self, asked: Asked) -> Any:
        return await self.rig.open("GET", asked.url, {"Range": asked.range, "x-xet-session-id": self.session})

    async def fetch(self, told: dict[str, Any]) -> list[Got]:
        """All ranges at once."""
        return await asyncio.gather(*(self.ask(each) for each in links(told)))

    async def fetch_in_turn(self, hub: TestHub, told: dict[str, Any]) -> list[Got]:
        """All ranges at once; the hub holds the last, which it has not sent before, until the others are whole."""
        *others, last = links(told)
        held: dict[str, Any] = {"host": TRANSFER, "path": path_of(last)}
        hub.knob(**held, hold=last.url, hold_at=0)
        ending = asyncio.create_task(self.ask(last))
        await asyncio.to_thread(hub.wait, 1, **held)
        got = [await self.ask(each) for each in others]
        hub.release(last.url)
        return [*got, await ending]

    async def download(self, xet: str, asked: str | None = None) -> bytes:
        told = await self.told(xet, asked)
        for got in await self.fetch(told):
            assert (got.status, got.cut) == (206, False), got.body
        return rebuilt(told, self.got)


def path_of(asked: Asked) -> str:
    """A pattern of the path at the hub."""
    return "*/" + asked.url.partition("?")[0].rpartition("/")[2]


def links(told: dict[str, Any]) -> list[Asked]:
    """In the order in which the file needs them."""
    out: dict[str, Asked] = {}
    for term in told["terms"]:
        each = _link(told, term)
        out[each.url] = each
    return [*out.values()]


def rebuilt(told: dict[str, Any], got: dict[str, bytes]) -> bytes:
    out = bytearray()
    for term in told["terms"]:
        each = _link(told, term)
        chunks = Frames().feed(got[each.url])
        low, high = term["range"]["start"] - each.chunks[0], term["range"]["end"] - each.chunks[0]
        out += b"".join(bytes(codings.unpack(chunk)) for chunk in chunks[low:high])
    return bytes(out[told["offset_into_first_range"] :])


def _link(told: dict[str, Any], term: dict[str, Any]) -> Asked:
    low, high = term["range"]["start"], term["range"]["end"]
    for where in told.get("xorbs", told.get("fetch_info"))[term["hash"]]:
        (one,) = where.get("ranges") or [{"chunks": where["range"], "bytes": where["url_range"]}]
        if one["chunks"]["start"] <= low and high <= one["chunks"]["end"]:
            chunks = one["chunks"]["start"], one["chunks"]["end"]
            return Asked(where["url"], one["bytes"]["start"], one["bytes"]["end"], chunks)
    raise AssertionError("a term without a link")


def _json(got: Got) -> Any:
    return json.loads(got.body)
