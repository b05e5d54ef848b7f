"""Asking the engine, and what to make of a reply that is none: tell why, and whether it may go away by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from ..core.directives import delta_seconds
from ..core.errors import BodyLost
from ..core.messages import Headers, Pass, Reply, Request
from ..core.reuse import FAILURES
from ..hub import modelscope as ms
from ..hub import targets

TRIES = 4  # of what may go away by itself
PATIENCE = 20  # waits for one thing that the hub itself asks for
_WHY = {
    "RepoNotFound": "there is no such repo, or it is private: hubgate prefetches only what anybody may fetch",
    "RevisionNotFound": "there is no such revision",
    "EntryNotFound": "there is no such file any more",
    "GatedRepo": "it is gated: hubgate prefetches only what anybody may fetch",
}
_CODES = {str(ms.NO_REPO): "RepoNotFound", str(ms.GATED): "GatedRepo", str(ms.NO_SUCH): "EntryNotFound"}
LARGEST_WORDS = 4096  # bytes of an answer that are read for a reason

type Ask = Callable[[Request], Awaitable[Reply | Pass]]


class Fault(Exception):
    """Why something cannot be had. `wait`: seconds after which it may be tried again; None: it will not help."""

    def __init__(self, why: str, wait: float | None = None, *, asked: bool = False, gone: bool = False) -> None:
        super().__init__(why)
        self.wait, self.asked, self.gone = wait, asked, gone


class Asking:
    """`say` is told of every wait; `pause` waits for seconds."""

    def __init__(
        self, ask: Ask, *, agent: str, say: Callable[[str], None], pause: Callable[[float], Awaitable[None]]
    ) -> None:
        self._ask, self._agent, self._say, self._pause = ask, agent, say, pause

    async def persistently[T](
        self, attempt: Callable[[], Awaitable[T]], what: str, hopeless: Callable[[Fault], bool] = lambda fault: False
    ) -> T:
        """The result of `attempt`, made again while it fails in a passing way, unless that is `hopeless`."""
        tries = waits = 0
        while True:
            try:
                return await attempt()
            except Fault as fault:
                if fault.wait is None or hopeless(fault):
                    raise
                tries, waits = tries + (not fault.asked), waits + fault.asked
                if tries >= TRIES or waits > PATIENCE:
                    raise
                seconds = fault.wait if fault.asked else fault.wait * 2 ** (tries - 1)
                self._say(f"{what}: {fault}; again in {seconds:.0f} s")
                await self._pause(seconds)

    async def got(self, url: str, *, anew: bool = False) -> tuple[bytes, Reply]:
        reply = await self.reply("GET", url, anew=anew)
        if isinstance(reply.body, bytes):
            return reply.body, reply
        try:
            parts = []
            while data := await reply.body.read(1 << 20):
                parts.append(bytes(data))
            return b"".join(parts), reply
        except BodyLost as lost:
            raise Fault(str(lost), 1.0) from lost
        finally:
            reply.body.close()

    async def reply(self, method: str, url: str, *fields: tuple[str, str], anew: bool = False) -> Reply:
        """A success, or a `Fault`.

        `anew`: the hub is asked even if what is here is fresh; if it is down that will do.
        """
        at = urlsplit(url)
        more = (("Cache-Control", "max-age=0"),) if anew else ()
        headers = Headers((("User-Agent", self._agent), ("Accept", "*/*"), *more, *fields))
        reply = await self._ask(Request(method, "https", at.hostname or "", 443, at.path, at.query, headers))
        if isinstance(reply, Pass):
            raise Fault("hubgate does not cache this")
        if reply.status in (200, 206):
            return reply
        why = _reason(reply)
        reply.close()
        if reply.status not in FAILURES:
            raise Fault(why)
        told = delta_seconds(reply.headers.get("retry-after"))
        raise Fault(why, max(1.0, told or 0.0), asked=told is not None, gone=reply.status == 504)


def _reason(reply: Reply) -> str:
    code, text = reply.headers.get("x-error-code") or "", reply.headers.get("x-error-message") or ""
    if 300 <= reply.status < 400 and (location := reply.headers.get("location")) is not None:
        return f"it is now {targets.moved_to(location) or location}; name it so"
    told = _envelope(reply)
    code = code or _CODES.get(str(told.get("Code")), "")
    text = text.removeprefix("hubgate: ") or str(told.get("Message") or "")[:800]
    if (rule := reply.headers.get("x-policy-rule")) is not None:
        return text or f"policy rule {rule!r} denies it"  # not the hub's gate, whose code this borrows
    if not code and reply.status == 401:
        code = "RepoNotFound"
    if not code and not text and reply.status == 403:  # a HEAD says no more than that
        code = "GatedRepo"
    return _WHY.get(code) or text or f"the hub answered {reply.status}"


def _envelope(reply: Reply) -> dict[Any, Any]:
    """What ModelScope says in the body of a failure."""
    if not isinstance(reply.body, bytes) or len(reply.body) > LARGEST_WORDS:
        return {}
    try:
        told = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


async def each[T](things: Iterable[T], jobs: int, work: Callable[[T], Awaitable[None]]) -> None:
    """`work` on all, on so many at a time."""
    queue = iter(list(things))

    async def worker() -> None:
        for thing in queue:
            await work(thing)

    async with asyncio.TaskGroup() as group:
        for _ in range(jobs):
            group.create_task(worker())
