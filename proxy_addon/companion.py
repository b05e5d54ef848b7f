"""A process of our own beside the server's: started as a module, given what it needs by its standard input, ended.

It ends when that input is closed, so a server that is killed leaves none behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from .core.errors import ConfigError

log = logging.getLogger(__name__)
PATIENCE = 10.0  # seconds that it has to end by itself
_PYTHON = (sys.executable, *(["-O"] if sys.flags.optimize else []), "-P", "-m")


class Companion:
    def __init__(self, module: str, given: object) -> None:
        """`given` is pickled."""
        self._module, self._given = module, given
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """To its end; the exit status. Raises OSError when it does not start."""
        self._process = await asyncio.create_subprocess_exec(*_PYTHON, self._module, stdin=asyncio.subprocess.PIPE)
        assert self._process.stdin is not None
        self._process.stdin.write(pickle.dumps(self._given))
        return await self._process.wait()

    def stop(self) -> None:
        """Begin to end."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def close(self) -> None:
        self.stop()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), PATIENCE)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()


def attend(work: Callable[[Any], Coroutine[Any, Any, int]], nice: int) -> None:
    """The life of such a process: `work` with what it was given; ends with its exit status."""
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal's go to the server too, and it says when
        signal.signal(number, signal.SIG_IGN)
    os.nice(nice)
    try:
        sys.exit(asyncio.run(work(pickle.load(sys.stdin.buffer))))
    except ConfigError as error:
        for fault in error.faults:
            log.error("%s", fault)
        sys.exit(1)
