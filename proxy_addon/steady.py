"""The time of day as a process may rely on it: it never goes back.

Ages, proofs and the ends of exceptions are counted by it. A clock that is set forward is followed: it may have been
wrong, or the machine asleep. One that is set back is not: what was over would be valid again, and what is valid would
be so for longer. From there on seconds are counted, until the clock has caught up or the process is started again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

TOLD = 2.0  # seconds that it may be set back without a word
log = logging.getLogger(__name__)


class Steady:
    """Epoch seconds. `wall` may be set, `timer` only goes forward. Any thread may call."""

    def __init__(self, wall: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._timer = wall, timer
        self._lock = threading.Lock()
        self._at, self._since = wall(), timer()
        self._behind = False

    def __call__(self) -> float:
        with self._lock:
            wall, timer = self._wall(), self._timer()
            counted = self._at + (timer - self._since)
            self._at, self._since = max(wall, counted), timer
            behind = counted - wall > TOLD
            if behind and not self._behind:
                log.warning("the clock was set back by %.0f s: times go on from where they were", counted - wall)
            self._behind = behind
            return self._at
