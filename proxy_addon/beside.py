"""The process that keeps repos in sync beside a server: started, watched, ended; and what its journal says.

If it ends by itself it is started again after a while. The server never waits for it but when it ends itself.
"""

from __future__ import annotations

import asyncio
import logging
import time

from .companion import Companion
from .config import Settings
from .core.errors import ConfigError
from .sync import Journal, Standing

log = logging.getLogger(__name__)
AGAIN = 60.0  # seconds


class Beside:
    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError when the journal cannot be had."""
        self._companion = Companion("proxy_addon.background", settings.model_copy(update={"access_log": None}))
        self._listed = {str(each.repo) for each in settings.sync}
        try:
            self._journal = Journal(settings.cache.dir)
        except OSError as fault:
            raise ConfigError(settings.fault("cache.dir", f"{fault}; give it to this user")) from fault
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on each repo has its lag, whatever becomes of the process."""
        try:
            for repo in sorted(self._listed):
                self._journal.want(repo, time.time(), listed=True)
        except OSError as fault:
            log.error("%s", fault)
        if self._listed or any(stands.listed for stands in self._standings()):
            self._task = asyncio.create_task(self._keep_running())

    def stop(self) -> None:
        """Begin to end; what has come stays."""
        if self._task is not None:
            self._task.cancel()
        self._companion.stop()

    async def close(self) -> None:
        self.stop()
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._companion.close()
        self._journal.close()

    def standings(self) -> list[Standing]:
        """Of what is listed."""
        return [stands for stands in self._standings() if stands.repo in self._listed]

    def _standings(self) -> list[Standing]:
        """A journal that cannot be read has nothing to say."""
        try:
            return self._journal.standings()
        except OSError as fault:
            log.warning("%s", fault)
            return []

    def lags(self) -> dict[str, float]:
        now = time.time()
        return {stands.repo: stands.lag(now) for stands in self.standings()}

    def behind(self) -> dict[str, float]:
        return {stands.repo: float(stands.behind) for stands in self.standings()}

    async def _keep_running(self) -> None:
        while True:
            try:
                if (status := await self._companion.run()) == 0:
                    log.info("sync: nothing is listed here, and what was is let go")
                    return
                log.error("what keeps repos in sync ended with status %d; again in %.0f s", status, AGAIN)
            except OSError as fault:
                log.error("what keeps repos in sync does not start: %s; again in %.0f s", fault, AGAIN)
            await asyncio.sleep(AGAIN)
