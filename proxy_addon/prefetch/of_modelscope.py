"""How a ModelScope repo is looked up: by its listing, and by the infos and revisions that its SDK asks for before.

A model's listing that has as many entries as the hub gives may be cut short: then each folder is listed by itself,
whole if that fits, else one level and its folders in turn. What cannot be listed so is a `Fault`: a set with a hole in
it is not called complete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from ..hub import ms_listing as hub
from ..hub.resources import File
from ..hub.targets import Target
from .asking import Fault
from .listing import Look, Reading, stale
from .plan import Item

_REQUESTS = 10_000  # for one listing

type _Nodes = list[Mapping[str, Any]]


async def look(reading: Reading, target: Target) -> Look:
    pages = _Pages(reading, target)
    try:
        listed = await (pages.dataset() if target.repo.type == "datasets" else pages.model())
    except ValueError as fault:
        raise Fault(str(fault)) from None
    found = hub.entries(listed)
    items = [Item(target, File(target.repo, target.revision, e.path), e.size, e.blob) for e in found]
    return Look(target, hub.version_of(found), pages.stale, lambda: _files(reading, target, items))


async def _files(reading: Reading, target: Target, items: list[Item]) -> list[Item]:
    await reading.document(hub.api_url(target.repo), anew=True)
    repo = target.repo
    for more in (hub.open_url(repo), hub.api_url(repo, "/revisions"), hub.acceleration_url(repo)):
        with contextlib.suppress(Fault):  # not every client asks for it, and each does without
            await reading.document(more, anew=True)
    if items:
        await reading.head(items[0].url)  # whether anybody may have the files at all
    return items


class _Pages:
    """The listing, in as many answers as it takes."""

    def __init__(self, reading: Reading, target: Target) -> None:
        self._reading, self._repo, self._rev = reading, target.repo, target.revision
        self._asked = 0
        self.stale = False

    async def dataset(self) -> _Nodes:
        found: _Nodes = []
        page = 0
        while True:
            page += 1
            answer = await self._answer(hub.listing_url(self._repo, self._rev, page=page))
            here = hub.nodes(answer)
            found += here
            if hub.is_last(answer, len(here), len(found) - len(here)):
                return found

    async def model(self) -> _Nodes:
        found: _Nodes = []
        roots = [""]
        while roots:
            root = roots.pop()
            whole = hub.nodes(await self._answer(hub.listing_url(self._repo, self._rev, root)))
            found += whole
            if len(whole) < hub.CAP:
                continue
            level = hub.nodes(await self._answer(hub.listing_url(self._repo, self._rev, root, recursive=False)))
            if len(level) >= hub.CAP:
                raise Fault(f"{root or 'its top'} has {hub.CAP} entries or more side by side: the hub lists no others")
            found += level
            roots += hub.folders(level)
        return found

    async def _answer(self, url: str) -> Any:
        self._asked += 1
        if self._asked > _REQUESTS:
            raise Fault(f"its listing takes over {_REQUESTS} requests")
        answer, reply = await self._reading.document(url, anew=True)
        self.stale = self.stale or stale(reply)
        return answer
