"""The proof of Xet files while they are fetched: no client comes to the end of a file that is not what it should be.

While clients fetch a file whose SHA-256 is known, an assembly of it runs. The last 64 KiB of what a client needs last
(its keystone) wait for the verdict. Right: the ranges are marked as proven, and nobody waits for this file again.
Wrong: every range that no other file has proven is dropped, and whoever waits is cut short. He asks for that range
again, and if all is well now and what he took before is what is here, he comes to his end; but if he holds bytes that
were dropped, no repair of the rest helps him. His download is *void*: it is refused, once, in a way that makes his
client fail, and the next one begins anew.

What cannot be had or kept cannot be proven; it is given out under the proof of its structure, and so is a part of a
file, and a file whose SHA-256 nobody has told.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from ..store.contract import Blobs
from .assembly import Assembly, Verdict
from .downloads import Download, Layout
from .identities import Identities
from .ranges import Ranges, within

LINGER = 15.0  # seconds that an assembly goes on for clients that are between two requests
FAILURES = 2  # of one download, after which its client is told to give up
log = logging.getLogger(__name__)


@dataclass(eq=False)
class _File:
    """What goes on for one file."""

    open: int = 0  # bodies
    assembly: Assembly | None = None
    task: asyncio.Task[Verdict] | None = None
    ending: asyncio.TimerHandle | None = None
    told: WeakValueDictionary[int, Layout] = field(default_factory=WeakValueDictionary)  # what the assembly knows
    settled: bool = False  # a pass has come to its end, and nothing was wrong


class Proofs:
    def __init__(self, blobs: Blobs, ranges: Ranges, identities: Identities) -> None:
        self._blobs, self._ranges, self._identities = blobs, ranges, identities
        self._files: dict[str, _File] = {}
        self.linger = LINGER

    def __len__(self) -> int:
        return sum(file.task is not None for file in self._files.values())

    # -- while clients fetch ----------------------------------------------------------------------------------------

    async def opened(self, download: Download) -> None:
        """A body of this download goes out; `closed` follows."""
        file = self._files.setdefault(download.file, _File())
        file.open += 1
        if file.ending is not None:
            file.ending.cancel()
            file.ending = None
        if download.identity is None:
            download.identity = await self._identities.find(download.file)
        if not file.settled:
            self._running(file, download)

    def closed(self, download: Download) -> None:
        file = self._files.get(download.file)
        if file is None:
            return
        file.open -= 1
        if not file.open:
            file.ending = asyncio.get_running_loop().call_later(self.linger, self._end, download.file)

    def _end(self, name: str) -> None:
        file = self._files.pop(name)
        if file.task is not None:
            file.task.cancel()

    def close(self) -> None:
        for name, file in [*self._files.items()]:
            if file.ending is not None:
                file.ending.cancel()
            self._end(name)

    def told(self, download: Download) -> None:
        """The client was given more links."""
        file = self._files.get(download.file)
        if file is not None and file.assembly is not None:
            self._tell(file, download)
            file.assembly.nudge()

    def _running(self, file: _File, download: Download) -> asyncio.Task[Verdict] | None:
        """The pass over the file that is under way, or one that begins."""
        if download.identity is None or not download.layouts:
            return None
        if file.task is None:
            file.assembly, file.told = Assembly(self._blobs, self._ranges, download.identity), WeakValueDictionary()
            self._tell(file, download)
            file.task = asyncio.create_task(self._judged(file, file.assembly))
        elif file.assembly is not None:
            self._tell(file, download)
            file.assembly.nudge()
        return file.task

    def _tell(self, file: _File, download: Download) -> None:
        for layout in download.fitting:
            if file.assembly is not None and id(layout) not in file.told:
                file.told[id(layout)] = layout
                file.assembly.add(layout)

    async def _judged(self, file: _File, assembly: Assembly) -> Verdict:
        try:
            verdict = await self._settled(assembly)
            file.settled = verdict is not Verdict.WRONG
            return verdict
        finally:
            if file.assembly is assembly:
                file.task = file.assembly = None

    async def _settled(self, assembly: Assembly) -> Verdict:
        """The verdict, and what follows from it done."""
        verdict = await assembly.run()
        unproven = []
        for blob, used in assembly.used.items():
            mark = await self._ranges.proven(blob)
            if not all(within(span, mark.proven) for span in used.spans):
                unproven.append(blob)
        if verdict is Verdict.RIGHT:
            for blob in unproven:
                await self._ranges.prove(blob, assembly.used[blob].birth, assembly.used[blob].spans)
        if verdict is Verdict.WRONG:
            log.error("file %s came with another SHA-256: %d ranges dropped", assembly.identity.file, len(unproven))
            await self._ranges.purge(unproven, "the file that it is part of has another SHA-256")
        return verdict

    # -- the last range of all --------------------------------------------------------------------------------------

    async def verdict(self, download: Download) -> bool:
        """Whether this client may come to the end of the file. Waits for the proof if there is to be one."""
        if not download.covered:
            return True
        verdict = Verdict.RIGHT if await self._proven(download) else await self._of_all(download)
        if verdict is Verdict.RIGHT and not await self._proven(download):
            verdict = await self._of_this(download)
        if verdict is Verdict.WRONG:
            download.failures += 1
            download.void = download.failures >= FAILURES
        elif verdict is Verdict.RIGHT and not await self._kept(download):
            download.void = True
            return False
        return verdict is not Verdict.WRONG

    async def _of_all(self, download: Download) -> Verdict:
        """By the pass that all clients of the file share."""
        task = self._running(self._files.setdefault(download.file, _File()), download)
        if task is None:
            return Verdict.UNKNOWN
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                return Verdict.UNKNOWN
            raise

    async def _of_this(self, download: Download) -> Verdict:
        """By a pass over just what this client was told: others were told other ranges."""
        assert download.identity is not None
        assembly = Assembly(self._blobs, self._ranges, download.identity)
        for layout in download.fitting:
            assembly.add(layout)
        return await self._settled(assembly)

    async def _proven(self, download: Download) -> bool:
        """Whether all that the client was told of is proven: what is here, or what he has of it."""
        spans: dict[str, set[tuple[int, int]]] = {}
        for layout in download.fitting:
            for segment in layout.segments:
                spans.setdefault(segment.blob, set()).add((segment.skip, segment.skip + segment.count))
        for blob, wanted in spans.items():
            await asyncio.sleep(0)  # all of this may be in memory
            mark, births = await self._ranges.mark(blob), download.births(blob)
            if not all(within(span, mark.proven) for span in wanted):
                return False
            has = births and all(self._ranges.same(birth, mark.birth) for birth in births)
            if not has and not (await self._ranges.proven(blob)).birth:
                return False
        return True

    async def _kept(self, download: Download) -> bool:
        """Whether the bytes that the client took are those that were proven."""
        for blob in {*download.taken, *(blob for blob, _ in download.going)}:
            birth = (await self._ranges.mark(blob)).birth
            if birth and not all(self._ranges.same(each, birth) for each in download.births(blob)):
                log.error("a client of file %s holds bytes that were dropped: it is made to begin anew", download.file)
                return False
        return True
