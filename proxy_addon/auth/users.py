"""The file of users: read at the start, followed as it is edited, never replaced by a worse one.

What is on disk comes into force whole or not at all: while it cannot be read, is open to others or has a fault, the
last good users stay, and `reasons` says so. A change is taken up when a second look finds it finished, since many
editors write in two steps; so a user who is removed is out within about a second. A file that is read and names
nobody is good: nobody may pass then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from . import htpasswd

EVERY = 0.5  # seconds between looks
AGAIN = 20  # looks until the file is read again, whatever its state says: a disk may have slow clocks
_OTHERS = 0o027  # a group may read
_SHOWN = 20
log = logging.getLogger(__name__)

type State = tuple[int, ...] | str


class Unfit(Exception):
    """Why a file is not in force: one line each."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def read(file: Path) -> Mapping[str, str]:
    """Name -> kept password. Blocking. Raises Unfit."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise Unfit(f"{file}: is not a file; name one")
            if (mode := stat.S_IMODE(found.st_mode)) & _OTHERS:
                raise Unfit(f"{file}: is open to others (mode {mode:04o}); chmod 600 {file}, or 640 for a group")
            with os.fdopen(fd, "rb", closefd=False) as stream:
                data = stream.read(htpasswd.LARGEST + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise Unfit(f"{file}: cannot be read: {error.strerror}; write it with: hubgate auth add USER") from None
    if len(data) > htpasswd.LARGEST:
        raise Unfit(f"{file}: is longer than {htpasswd.LARGEST} bytes; it should have a line for each user")
    parsed = htpasswd.parse(data, str(file))
    if parsed.faults:
        raise Unfit(*parsed.faults)
    return parsed.users


class Users:
    def __init__(self, file: Path) -> None:
        """Nobody is known before `open`."""
        self.file = file
        self.current: Mapping[str, str] = {}
        self.faults: tuple[str, ...] = ()
        self.reloads = self.failures = 0
        self._settled: State = ""
        self._passing: State = ""
        self._looks = 0

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why things are not as they should be, a sentence each."""
        told = tuple(f"auth: {fault}; the users that were good last are in force" for fault in self.faults[:_SHOWN])
        return told if self.current or told else (self._nobody,)

    @property
    def _nobody(self) -> str:
        return f"auth: {self.file} names nobody: nobody can use the proxy; hubgate auth add USER"

    def open(self) -> None:
        """Blocking. Raises Unfit."""
        self._settled = self._state()
        self.current = read(self.file)
        if not self.current:
            log.warning("%s", self._nobody)

    async def watch(self) -> None:
        """Follows the file until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await asyncio.to_thread(self.look)
            except Exception:
                log.exception("auth: %s cannot be looked at; the users that were good last are in force", self.file)

    def look(self) -> None:
        """Blocking. One look at the file, as `watch` has them."""
        self._looks += 1
        seen = self._state()
        if seen == self._settled:
            self._passing = ""
            if self._looks % AGAIN == 0:
                self._take()
        elif seen == self._passing:
            self._settled, self._passing = seen, ""
            self._take()
        else:
            self._passing = seen

    def _take(self) -> None:
        try:
            users = read(self.file)
        except Unfit as unfit:
            before, self.faults = self.faults, unfit.faults  # health says so by the time that the log does
            if unfit.faults != before:
                self.failures += 1
                more = f" (and {len(unfit.faults) - 1} more)" if len(unfit.faults) > 1 else ""
                log.error("auth: %s%s; the users that were good last are in force", unfit.faults[0], more)
            return
        new = users != self.current or bool(self.faults)
        self.current, self.faults = users, ()
        if new:
            self.reloads += 1
            log.info("auth: %d users in force", len(users))
            if not users:
                log.warning("%s", self._nobody)

    def _state(self) -> State:
        try:
            found = self.file.stat()
        except OSError as error:
            return str(error.errno)
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)
