"""A trouble that lasts, in few lines: one when it begins, one a minute while it goes on, one when it is over.

A full disk fails each request in the same way, and a line for each would fill what is left of it. It is over when what
had failed has worked, and has not failed for a while: what fails now and then is one trouble, and not many short ones.
Any thread may call; `over` costs next to nothing while there is none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

EVERY = 60.0  # seconds between the lines of one that goes on
QUIET = 10.0  # seconds without a failure until it is over


class Trouble:
    """`what` it is, as in "the cache cannot be written"."""

    def __init__(self, log: logging.Logger, what: str, timer: Callable[[], float] = time.monotonic) -> None:
        self._log, self._what, self._timer = log, what, timer
        self._lock = threading.Lock()
        self._lasts = False
        self._began = self._told = self._last = 0.0
        self._times = self._untold = 0

    def came(self, how: str) -> None:
        """It has failed; `how` in words."""
        with self._lock:
            now, lasted = self._timer(), self._lasts
            self._last = now
            if not lasted:
                self._lasts, self._began, self._times, self._untold = True, now, 0, 0
            self._times += 1
            self._untold += 1
            if lasted and now - self._told < EVERY:
                return
            count, self._told, self._untold = self._untold, now, 0
        if lasted:
            self._log.error("%s still: %d more times, the last: %s", self._what, count, how)
        else:
            self._log.error("%s: %s", self._what, how)

    def over(self) -> None:
        """It has worked."""
        if not self._lasts:
            return
        with self._lock:
            now = self._timer()
            if not self._lasts or now - self._last < QUIET:
                return
            self._lasts = False
            lasted, times = now - self._began, self._times
        self._log.warning("%s no more: it lasted %.0f s, and came %d times", self._what, lasted, times)
