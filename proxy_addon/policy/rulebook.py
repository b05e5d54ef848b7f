"""The rules in force: read at the start, followed as they are edited, never replaced by worse ones.

What is on disk comes into force whole, or not at all: with a fault in it the last good set stays, across a restart too,
for it is kept on disk; with neither, everything is denied. What has vanished was not edited: a file that was part of
the last good set, and of which not all is said elsewhere now, stays in force until it is back or somebody confirms that
it is to go (`hup`). A configuration that names other paths confirms by itself; a restart does not. Whatever is not in
force as it is on disk is among `faults`. One process keeps the last good set; others on the same directory only follow
it, and learn there what was confirmed.

A change is taken up when a second look finds it finished, so that an editor may write in two steps. Everything that
reads, parses or writes runs in a thread; `policy` is swapped in one piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import gmtime, strftime

from . import kept
from .index import Entry, Tier
from .judge import Policy
from .kept import Kept
from .load import Loaded, RulesError, load
from .reading import Disk, State, Texts, Unreadable, states
from .spoken import cut, line

EVERY = 0.5  # seconds between looks
UNQUIET = 4  # looks that may each find another state before it is taken as it is
AGAIN = 20  # looks until all is read again, whatever its state says, and what could not be kept is tried again
MAX_FAULTS, MAX_SHOWN = 1000, 20
_DIRECTORIES = re.compile(r"(?<![\w./-])/(?:[^/\s]+/)*(?=[^/\s])")  # of a path from the root
UNUSABLE = "rules-unusable"  # the rule that denies when there is no other
_LENGTH = 600  # characters of a fault: it repeats what is written
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Standing:
    loaded: Loaded
    since: float
    faults: tuple[str, ...] = ()


class Rulebook:
    def __init__(
        self,
        paths: Iterable[Path],
        keep: Path,
        *,
        clock: Callable[[], float],
        optional: bool = False,
        keeps: bool = True,
    ) -> None:
        """`optional`: the paths need not be there. `keeps`: this is the process that keeps the last good set."""
        self._paths, self._keep, self._clock = tuple(paths), keep, clock
        self._optional, self._keeps = optional, keeps
        self._named = frozenset(Path(os.path.abspath(path)) for path in self._paths)
        self._standing = _Standing(_closed("they were not read yet"), clock())
        self._good: _Standing | None = None
        self._kept: Kept | None = None
        self._unkept: Kept | None = None
        self._settled: Mapping[str, State] = {}  # as of the last load, whatever came of it
        self._texts: Mapping[Path, bytes] = {}
        self._passing: Mapping[str, State] = {}  # as of the last look, if it was another
        self._failed = False
        self._looks = self._unquiet = 0
        self._called = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.reloads = self.failures = 0
        self.trouble = ""  # why the last good set is not on disk

    @property
    def policy(self) -> Policy:
        return self._standing.loaded.policy

    @property
    def loaded(self) -> Loaded:
        """What is in force."""
        return self._standing.loaded

    @property
    def since(self) -> float:
        """UNIX time at which what is in force was read."""
        return self._standing.since

    @property
    def faults(self) -> tuple[str, ...]:
        """Empty when what is on disk is in force."""
        return self._standing.faults

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why things are not as they should be, a sentence each."""
        faults = [f"rules: {fault}; {self._instead()}" for fault in self.faults[:MAX_SHOWN]]
        more = len(self.faults) - len(faults)
        last = [f"rules: {more} more faults; hubgate rules lint tells all"] if more else []
        return (*faults, *last, *([f"rules: {self.trouble}"] if self.trouble else []))

    def open(self) -> None:
        """Blocking. Whatever is wrong with the rules, there is a policy after it."""
        with self._surviving():
            self._recall()
            self._take(confirmed=False)

    async def watch(self) -> None:
        """Follows the files until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._called.wait(), EVERY)
            confirmed = self._called.is_set()
            self._called.clear()
            with self._surviving():
                await asyncio.to_thread(self.look, confirmed=confirmed)

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        """A mistake of ours: the last good set stays, and health says that edits have no effect."""
        try:
            yield
        except Exception as fault:
            self._fail((f"cannot be looked at: {type(fault).__name__}; restart, and report this",), fault)

    def hup(self) -> None:
        """Read again now, and take it that what is gone was removed on purpose. From any thread."""
        if self._loop is None:
            self._called.set()
        else:
            self._loop.call_soon_threadsafe(self._called.set)

    def look(self, *, confirmed: bool = False) -> None:
        """Blocking. One look at the files, as `watch` has them."""
        self._looks += 1
        seen = states(self._paths, self._settled, optional=self._optional)
        if confirmed:
            self._take(confirmed=True)
        elif seen == self._settled:
            self._unquiet, self._passing = 0, {}
            if self._looks % AGAIN == 0:
                self._look_closely()
        elif seen == self._passing or self._unquiet >= UNQUIET:
            self._take(confirmed=False)
        else:
            self._unquiet, self._passing = self._unquiet + 1, seen

    def _look_closely(self) -> None:
        """A disk with slow clocks has one state for two texts, and what failed may not fail any more."""
        reader = Disk()
        for path in self._texts:
            with contextlib.suppress(Unreadable):
                reader.text(path)
        if self._failed or reader.texts != self._texts:
            self._take(confirmed=False)
        elif self._unkept is not None:
            self._write(self._unkept)

    def _take(self, *, confirmed: bool) -> None:
        reader, now = Disk(optional=self._optional), self._clock()
        self._unquiet, self._passing = 0, {}
        if not self._keeps:
            reader.mark(str(self._keep / kept.NAME))
            self._recall()
        try:
            loaded = load(self._paths, now=now, reader=reader)
        except RulesError as error:
            faults = error.faults
        else:
            faults = (*self._gone(loaded, confirmed),)
        self._settled, self._texts, self._failed = reader.states, reader.texts, reader.failed
        if faults:
            self._fail(faults)
        else:
            self._enforce(loaded, now)
            if self._keeps and (loaded.files or confirmed or os.path.lexists(self._keep / kept.NAME)):
                self._write(Kept(self._named, loaded.files, reader.texts, now))

    def _gone(self, loaded: Loaded, confirmed: bool) -> Iterable[str]:
        """What was in force, is not said any more, and was not taken out of a file that is still there.

        That nothing at all is left cannot be confirmed: it is what a mount looks like that was lost."""
        were = self._good.loaded.files if self._good is not None else self._paths and not self._optional
        if were and not loaded.files:
            where = ", ".join(map(str, self._paths))
            yield f"{where}: no rule file (*.yaml) is here; write one (`version: 1` alone allows everything)"
        elif self._good is not None and not confirmed:
            yield from self._missing(self._good.loaded, loaded)

    def _missing(self, before: Loaded, loaded: Loaded) -> Iterable[str]:
        still = frozenset[str]().union(*loaded.said.values())
        for path, said in before.said.items():
            if path not in loaded.said and not said <= still:
                whom = f"SIGHUP (kill -HUP {os.getpid()})" if self._keeps else "SIGHUP to the server"
                yield f"{path}: is gone; its rules stay in force; put it back, or send {whom} if that was on purpose"

    def _enforce(self, loaded: Loaded, now: float) -> None:
        before, mended = self._good, bool(self.faults)
        self._standing = self._good = _Standing(loaded, now)
        self.reloads += 1
        new = loaded.policy
        what = f"{new.size} rules in force, digest {new.digest}"
        if before is not None:
            what += f"; before it {before.loaded.policy.size}, digest {before.loaded.policy.digest}"
        if mended:
            log.info("rules: all is in order again; %s", what)
        elif before.loaded.policy.digest != new.digest if before is not None else loaded.files:
            log.info("rules: %s", what)
        if before is None or loaded.warnings != before.loaded.warnings:
            for warning in loaded.warnings[:MAX_SHOWN] if loaded.files else ():
                log.warning("rules: %s", _one_line(warning))

    def _fail(self, faults: Iterable[str], error: Exception | None = None) -> None:
        """What was good stays; each new set of faults is told once."""
        told = tuple(_one_line(fault) for _, fault in zip(range(MAX_FAULTS), faults, strict=False))
        new = told != self.faults
        if self._good is not None:
            self._standing = replace(self._good, faults=told)
        elif new:
            self._standing = _Standing(_closed(told[0]), self._clock(), told)
        if new:
            self.failures += 1
            more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
            log.error("rules: %s%s; %s", told[0], more, self._instead(), exc_info=error)

    def _instead(self) -> str:
        if self._good is None:
            return "everything is denied until that is mended"
        return f"the last good set of {strftime('%Y-%m-%d %H:%M:%S UTC', gmtime(self.since))} is in force"

    def _recall(self) -> None:
        """The last good set as it was kept, if it is of the same configuration."""
        found = kept.read(self._keep)
        if found is None or found.paths != self._named or found == self._kept:
            return
        try:
            loaded = load(found.files, now=self._clock(), reader=Texts(found.texts))
        except RulesError as error:
            log.warning("rules: the last good set does not hold any more: %s", _one_line(error.faults[0]))
        else:
            self._good, self._kept = _Standing(loaded, found.at), found

    def _write(self, what: Kept) -> None:
        if what != self._kept:
            try:
                kept.write(self._keep, what)
            except OSError as error:
                self._unkept = what
                told = f"the last good set cannot be kept in {self._keep}: {error.strerror}; make room or open it"
                if told != self.trouble:
                    log.warning("rules: %s", told)
                self.trouble = told
                return
        self._kept, self._unkept, self.trouble = what, None, ""


def _one_line(text: str) -> str:
    return cut(line(text), _LENGTH)


def _closed(why: str) -> Loaded:
    """Nothing is allowed. Nobody knows what was embargoed, so everything is. Clients need not know where files lie."""
    place = why.partition(": ")[0]
    said = _DIRECTORIES.sub("", why.replace(f"{os.path.dirname(place)}/", "")).replace("{", "(").replace("}", ")")
    reason = f"The rules of this proxy cannot be used, and none are kept from before: {said}"
    entry = Entry(UNUSABLE, place, Tier.EMBARGO, (), reason=reason)
    return Loaded(Policy(barriers=(entry,), contact="the operator of this proxy", digest=UNUSABLE))
