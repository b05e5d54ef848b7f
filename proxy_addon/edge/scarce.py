"""No descriptor is left, so that nobody can be let in until somebody leaves.

asyncio says it with a traceback for each place in the backlog, every second: a log of a thousand lines that hides the
one that matters. Here it is one line in `EVERY` seconds, with what to do about it, and a reason for `/healthz`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

EVERY = 10.0  # seconds
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Scarce:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told = self._seen = float("-inf")
        self._fault = ""

    def heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop's exception handler."""
        fault = context.get("exception")
        if isinstance(fault, ValueError) and "_start_serving" in context["message"]:
            return  # it would have listened again by now, and was closed meanwhile
        if not ("accept" in context["message"] and isinstance(fault, OSError) and fault.errno in _SCARCE):
            loop.default_exception_handler(context)
            return
        self._fault, self._seen = fault.strerror or str(fault), self._clock()
        if self._seen - self._told >= EVERY:
            self._told = self._seen
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            log.error("a client has to wait: %s; the limit is %d (ulimit -n), give it more", self._fault, limit)

    @property
    def reasons(self) -> tuple[str, ...]:
        """For health."""
        lately = self._clock() - self._seen < EVERY
        return (f"clients have to wait to be let in: {self._fault}",) if lately else ()
