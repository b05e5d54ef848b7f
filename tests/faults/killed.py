"""A proxy that is killed and begun again on the same cache and the same port, as often as a test wants."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.faults.failpoint import DIED, Failpoint, environment
from tests.faults.invariants import Found, healthy_in_time, look, settled
from tests.faults.nursery import Nursery
from tests.hub import TestHub
from tests.processes import Hubgate, Process, configuration, free_port

DEAD = -signal.SIGKILL


class Mortal:
    """`proxy` is the one that runs now. At the end of the block what is on the disk is looked at."""

    def __init__(
        self, nursery: Nursery, hub: TestHub, folder: Path, points: Iterable[Failpoint] = (), **keys: Any
    ) -> None:
        self._nursery, self._armed = nursery, folder / "armed"
        self.config = configuration(folder, hub, listen=f"127.0.0.1:{free_port()}", **keys)
        self._environment = environment(self._armed, points)
        self.proxy = self._begin()

    def _begin(self) -> Hubgate:
        return healthy_in_time(lambda: self._nursery.start(self.config, **self._environment))

    def at_rest(self) -> bool:
        """No fill is under way: nothing is written."""
        return not self.proxy.metrics()["hubgate_fills"]

    def arm(self, point: Failpoint) -> None:
        point.arm(self._armed)

    def run(self, *arguments: str) -> Process:
        """Another command of hubgate, with the same places to die at."""
        return self._nursery.run(*arguments, "--config", str(self.config), **self._environment)

    def dies_at_start(self, point: Failpoint) -> Found:
        """Begun anew, and at once dead of it; what it left, good or not."""
        self.arm(point)
        with self.run("serve") as process:
            process.wait_for(DIED)
            assert process.wait() == DEAD
        self.disarm()
        return look(self.proxy.cache)

    def disarm(self) -> None:
        self._armed.unlink(missing_ok=True)

    def died(self) -> Found:
        """Wait until it has, of the failpoint; what it left."""
        self.proxy.wait_for(DIED)
        assert self.proxy.wait() == DEAD
        return self.left()

    def killed(self) -> Found:
        """Kill it, now if not before; what it left."""
        self.proxy.signal(signal.SIGKILL)
        assert self.proxy.wait() == DEAD, self.proxy.told
        return self.left()

    def left(self) -> Found:
        self.disarm()
        return look(self.proxy.cache).sound(leftovers=True)

    def again(self) -> Hubgate:
        """Begun anew: it is up in time, and what it says has no traceback."""
        self.proxy.__exit__(None, None, None)
        assert "Traceback" not in self.proxy.told, self.proxy.told
        self.proxy = self._begin()
        return self.proxy

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.disarm()
        self.proxy.__exit__(None, None, None)
        if error is None:
            assert self.proxy.popen.poll() == 0 and "Traceback" not in self.proxy.told, self.proxy.told
            settled(self.proxy.cache)
