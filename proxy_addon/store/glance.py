"""Whole lookups on a reading thread, several at a visit.

Each visit costs the event loop more than a lookup does, and a small warm hit needs five rows. So who can say what he
wants to know as a function of a `View` gets it run there, on the disk; what others ask while a visit is under way goes
along with the next one, and shares what it reads. What was seen goes to the memory tier, unless something was written
meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ..core.messages import StoredResponse
from .blobs import DiskBlobs
from .contract import View
from .index import Index
from .lanes import Lanes
from .records import unit_matches
from .responses import DiskResponses
from .rows import BrokenRows

_AT_ONCE = 64  # looks in one visit

type _Look = Callable[[View], Any]


class Glances:
    def __init__(self, index: Index, lanes: Lanes, responses: DiskResponses, blobs: DiskBlobs) -> None:
        self._index, self._lanes, self._responses, self._blobs = index, lanes, responses, blobs
        self._waiting: list[tuple[_Look, asyncio.Future[Any]]] = []
        self._visiting: asyncio.Task[None] | None = None

    async def glance[T](self, look: Callable[[View], T]) -> T:
        """What `look` returns, or raises. A disk that fails shows nothing."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((look, future))
        if self._visiting is None or self._visiting.done():
            self._visiting = asyncio.create_task(self._visit())
        return await future

    async def _visit(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            view, mark = DiskView(self._index), self._responses.mark()
            try:
                results = await self._lanes.read(self._looked, [look for look, _ in batch], view)
            except OSError as fault:  # it is beyond repair
                self._responses.lookups.came(str(fault))
                view = DiskView(self._index)
                results = [self._one(look, Nothing()) for look, _ in batch]
            except Exception as fault:
                _fail(batch, fault)
                continue
            except BaseException:
                _fail(batch + self._waiting, OSError("the store is closed"))
                raise
            else:
                self._responses.lookups.over()
            self._responses.remember(mark, view.rows)
            for blob, data in view.bytes.items():
                self._blobs.remember(blob, data)
            for (_, future), (result, error) in zip(batch, results, strict=True):
                if future.done():
                    continue
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(result)

    def _looked(self, looks: Sequence[_Look], view: DiskView) -> list[tuple[Any, Exception | None]]:
        return [self._one(look, view) for look in looks]

    def _one(self, look: _Look, view: View) -> tuple[Any, Exception | None]:
        try:
            return look(view), None
        except BrokenRows:
            raise
        except OSError as error:
            self._responses.lookups.came(str(error))
            return self._one(look, Nothing())
        except Exception as error:
            return None, error


def _fail(batch: Sequence[tuple[_Look, asyncio.Future[Any]]], fault: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(fault)


class DiskView:
    """For one reading thread. A damaged small blob is not here; the usual reader drops it and has it fetched again."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.rows: dict[str, tuple[tuple[StoredResponse, ...], int]] = {}
        self.bytes: dict[str, bytes] = {}

    def responses(self, key: str) -> Sequence[StoredResponse] | None:
        found = self.rows.get(key) or self._index.responses(key)
        if found[0]:
            self.rows[key] = found
        return found[0] or None

    def small(self, blob: str) -> bytes | None:
        if (seen := self.bytes.get(blob)) is not None:
            return seen
        manifest = self._index.manifest(blob)
        if manifest is None or not (manifest.sealed and manifest.public) or (data := self._index.small(blob)) is None:
            return None
        digests = self._index.digests(blob, 0)
        if len(data) != manifest.size or digests is None or not unit_matches(data, digests, 0):
            return None
        self.bytes[blob] = data
        return data


class MemoryView:
    """What the event loop can see at once."""

    def __init__(self, responses: DiskResponses, blobs: DiskBlobs) -> None:
        self.responses, self.small = responses.peek, blobs.peek


class Nothing:
    """What is seen of a disk that does not answer."""

    def responses(self, key: str) -> None:
        return None

    def small(self, blob: str) -> None:
        return None
