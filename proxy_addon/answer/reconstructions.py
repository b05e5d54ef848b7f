"""How a reconstruction is answered: by the CAS, for the client's own token, every time; and read in passing.

It says which ranges of which xorbs the file is made of, with a signed link for each. The links are noted as issued, and
what they lead to is what the client's download is known by. The client gets the very bytes that came. A body that is
longer than `LARGEST`, or than `SMALL` while `AT_ONCE` bytes of others are held, goes by unread: its ranges are relayed.
Whose each link is, is noted all the same, as it goes by.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..access.public import principal
from ..core.errors import UpstreamFailed
from ..core.messages import Body, Buffer, Headers, Reply, Request
from ..core.status import Fwd, Outcome
from ..fetch.upstream import Answer
from ..hub.resources import Reconstruction, Xorb
from ..hub.signed import expiry
from ..hub.terms import Fetch, Told, read
from .downloads import TURN, Downloads
from .identities import Identities
from .means import Means
from .origins import Origins
from .passing import Passing
from .proofs import Proofs
from .ranges import Ranges
from .relay import failure, passed_on, relay, sent_upstream

LARGEST = 16 * 1024 * 1024  # bytes; a parse of more would keep the interpreter from all else
AT_ONCE = 64 * 1024 * 1024
SMALL = 256 * 1024  # bytes that are read whatever else is held: who reads slowly keeps nobody from the cache
_SPAN = re.compile(r"bytes=([0-9]{1,15})-[0-9]{0,15}\Z")


class Reconstructions:
    def __init__(
        self, means: Means, downloads: Downloads, ranges: Ranges, proofs: Proofs, identities: Identities
    ) -> None:
        self._means, self._downloads, self._ranges = means, downloads, ranges
        self._proofs, self._identities, self._origins = proofs, identities, Origins(means)
        self._held = 0

    async def answer(self, request: Request, asked: Reconstruction) -> Reply:
        if request.method != "GET":
            return await relay(self._means, request, hub=asked.hub, kind=asked.kind)
        fields = (*sent_upstream(request, drop=frozenset({"accept-encoding"})), ("Accept-Encoding", "identity"))
        about = await self._origins.subjects(request, asked) or ()
        begun = b""
        try:
            answer = await self._means.upstream.open(
                "GET", request.url, fields, hub=asked.hub, principal=principal(request.headers)
            )
            if answer.status in (200, 206) and answer.headers.get("content-encoding", "identity") == "identity":
                begun = await self._read(request, asked, answer, _first(fields))
        except UpstreamFailed as fault:
            return failure(request, fault, hub=asked.hub, kind=asked.kind)
        outcome = Outcome(fwd=Fwd.BYPASS, fwd_status=answer.status)
        reply = passed_on(request, answer, outcome, asked.hub, asked.kind, begun=begun)
        if not isinstance(reply.body, bytes):
            reply.body = _Counted(reply.body, lambda: self._count(-len(begun)))
            if about:
                known, to = self._means.provenance, self._means.provenance.holder(request)
                reply.body = Passing(reply.body, lambda url: known.link(url, *about, to=to))
        return reply

    def _count(self, size: int) -> None:
        self._held += size

    async def _read(self, request: Request, asked: Reconstruction, answer: Answer, first: int | None) -> bytes:
        """What was read of the body: all of it, unless it is too much. It counts as held until the client has it."""
        parts: list[bytes] = []
        size = 0
        try:
            while size <= LARGEST and (size <= SMALL or self._held <= AT_ONCE):
                data = await answer.chunk()
                if not data:
                    await self._learn(request, asked, b"".join(parts), first)
                    break
                parts.append(data)
                size += len(data)
                self._count(len(data))
        except BaseException:
            self._count(-size)
            answer.close()
            raise
        return b"".join(parts)

    async def _learn(self, request: Request, asked: Reconstruction, body: bytes, first: int | None) -> None:
        if first is None:
            return
        try:
            told = await asyncio.to_thread(lambda: self._understood(body, first))
        except (ValueError, RecursionError):
            return
        for count, fetch in enumerate(told.fetches):
            if count % TURN == 0:
                await asyncio.sleep(0)
            self._means.issued.note(fetch.url, fetch.blob, fetch.end - fetch.start, expiry(fetch.url))
            self._ranges.linked(fetch.blob, fetch.url)
        client = request.headers.get("x-xet-session-id") or principal(request.headers)
        identity = await self._identities.find(asked.file)
        self._proofs.told(await self._downloads.told(asked.file, f"{client}@{request.client}", told, identity))

    def _understood(self, body: bytes, first: int) -> Told:
        """Blocks; in a thread. Raises `ValueError`, `RecursionError`."""
        told = read(json.loads(body), first)
        return replace(told, fetches=tuple(filter(self._is_so, told.fetches)))

    def _is_so(self, fetch: Fetch) -> bool:
        """Whether the link leads where it is said to lead."""
        scheme, _, rest = fetch.url.partition("://")
        host, _, target = rest.partition("/")
        path, _, query = target.partition("?")
        if scheme != "https" or not fetch.url.isascii() or "#" in query:
            return False
        found = self._means.classifier.classify("GET", "https", host, 443, f"/{path}", query)
        return isinstance(found, Xorb) and found.key == fetch.blob


class _Counted:
    def __init__(self, body: Body, closed: Callable[[], None]) -> None:
        self.length, self._body, self._closed = body.length, body, closed

    async def read(self, limit: int) -> Buffer:
        return await self._body.read(limit)

    def close(self) -> None:
        self._body.close()
        self._closed()
        self._closed = lambda: None


def _first(fields: Sequence[tuple[str, str]]) -> int | None:
    """The first byte of the file that the CAS was asked for, by what is really sent; None if it is not just one."""
    asked = _SPAN.match(Headers(fields).get("range") or "bytes=0-")
    return int(asked[1]) if asked is not None else None
