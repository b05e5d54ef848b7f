"""From a target to its files: the requests by which clients look a repo up, made ahead of them.

It goes in two steps. `look` asks the hub one thing, anew: what is the target now? The answer is a `Look` with a
version: a commit, or where the hub tells none a digest of all that it lists. Only if that is new, its `files` need be
had. What was asked is kept under the keys under which clients will ask for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..core.messages import Reply
from ..core.status import Detail
from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.targets import Target
from .asking import Asking, Fault
from .plan import Item

LARGE = 256 * 1024  # bytes of JSON that are not parsed on the event loop
_STALE = frozenset({Detail.OFFLINE, Detail.STALE_IF_ERROR})


@dataclass(frozen=True, slots=True)
class Look:
    """`stale`: the hub could not be asked, and this is what it last said. `files` lists them; raises `Fault`."""

    target: Target
    version: str
    stale: bool
    files: Callable[[], Awaitable[list[Item]]]


class Reading:
    """Documents of the hub, each noted by its blob in `documents`."""

    def __init__(self, asking: Asking, documents: set[str]) -> None:
        self._asking, self._documents = asking, documents

    async def document(self, url: str, *, anew: bool = False) -> tuple[Any, Reply]:
        data, reply = await self._asking.got(url, anew=anew)
        self._documents.add(f"sha256:{hashlib.sha256(data).hexdigest()}")
        try:
            read = await asyncio.to_thread(json.loads, data) if len(data) > LARGE else json.loads(data)
        except (ValueError, RecursionError):
            raise Fault("what the hub sent is no JSON") from None
        return read, reply

    async def head(self, url: str, *, anew: bool = False) -> Reply:
        return await self._asking.reply("HEAD", url, anew=anew)


class Lister(Protocol):
    async def __call__(self, reading: Reading, target: Target) -> Look: ...


def stale(reply: Reply) -> bool:
    return reply.outcome.detail in _STALE


async def look(asking: Asking, target: Target, documents: set[str]) -> Look:
    """What the target is now. Adds the blobs of what is asked, now and for `files`, to `documents`; raises `Fault`."""
    from . import of_huggingface, of_modelscope

    ways: dict[str, Lister] = {hf.HUB: of_huggingface.look, ms.HUB: of_modelscope.look}
    return await ways[target.repo.hub](Reading(asking, documents), target)
