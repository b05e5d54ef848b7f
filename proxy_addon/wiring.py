"""From settings to a working engine: the one place that knows which part is made of which.

`assemble` starts nothing that listens. What it hands over is closed in the reverse order of how it was opened.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from .access.issued import IssuedLinks
from .access.public import PublicRepos
from .accesslog import AccessLog
from .answer.means import Means, Rules
from .config import Settings
from .core.errors import ConfigError
from .core.messages import Finished
from .engine import Engine
from .fetch.fills import Fills
from .fetch.flights import Flights
from .fetch.upstream import Upstream
from .hub.classify import Classifier
from .metrics import Metrics
from .policy import load as rules
from .store.local import DiskStore

log = logging.getLogger(__name__)


class Meter:
    """What upstream exchanges cost, as metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def upstream_request(self, hub: str, status: int) -> None:
        self._metrics.upstream(hub, status)

    def upstream_bytes(self, hub: str, size: int) -> None:
        self._metrics.received(hub, size)


class Journal:
    """Every finished request, counted and logged."""

    def __init__(self, metrics: Metrics, log: AccessLog | None) -> None:
        self._metrics, self._log = metrics, log

    def completed(self, finished: Finished) -> None:
        label, hub, kind = finished.outcome.label, finished.hub, finished.kind
        first = finished.seconds if finished.first_byte is None else finished.first_byte
        self._metrics.request(label, hub, kind, finished.sent, first)
        if self._log is not None:
            shown = f"{label}; aborted" if finished.aborted else label
            ident = os.urandom(4).hex()
            self._log.write(finished.request, finished.status, shown, hub, kind, finished.sent, finished.seconds, ident)


@dataclass(frozen=True, slots=True)
class Assembly:
    engine: Engine
    store: DiskStore
    upstream: Upstream
    fills: Fills
    metrics: Metrics
    access_log: AccessLog | None

    async def close(self) -> None:
        await self.engine.settle()
        await self.fills.close()
        await self.upstream.close()
        await self.store.close()
        if self.access_log is not None:
            self.access_log.close()


async def assemble(
    settings: Settings, clock: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic
) -> Assembly:
    """Open the store and the upstream client. Raises ConfigError when the cache directory is not usable.

    `clock` tells epoch seconds, by which ages are counted; `timer` only goes forward, and counts waits and refusals.
    """
    hubs = settings.hubs
    await asyncio.to_thread(_refuse_rules, settings, clock())
    store = DiskStore(settings.cache.dir, settings.cache.size, settings.cache.memory, clock=clock)
    await store.open()
    metrics = Metrics(store.stats)
    access_log = AccessLog(settings.access_log) if settings.access_log is not None else None
    upstream = Upstream(
        meter=Meter(metrics),
        connect_to=settings.upstream.connect_to,
        ca_file=str(settings.upstream.ca_file) if settings.upstream.ca_file else None,
        proxy=settings.upstream.proxy,
        connect_timeout=settings.upstream.connect_timeout,
        stall_timeout=settings.upstream.stall_timeout,
        bandwidth=settings.upstream.bandwidth,
        max_connections=settings.upstream.max_connections,
        mirrors=(*hubs.huggingface.mirrors, *hubs.modelscope.mirrors),
        clock=clock,
        timer=timer,
    )
    await upstream.start()
    flights = Flights()
    fills = Fills(store.blobs, flights, connections=settings.upstream.connections_per_file, slots=upstream.fill_slots)
    metrics.gauge("fills", "Fills under way", lambda: float(len(fills)))
    enabled = [name for name in ("huggingface", "modelscope") if getattr(hubs, name).enabled]
    means = Means(
        store=store,
        upstream=upstream,
        flights=flights,
        fills=fills,
        public=PublicRepos(store.responses, clock, timer),
        issued=IssuedLinks(clock),
        classifier=Classifier(enabled=enabled, others=hubs.others),
        clock=clock,
        timer=timer,
        boundary=lambda: os.urandom(12).hex(),
        rules=Rules(
            ref=settings.freshness.ref,
            api=settings.freshness.api,
            not_found=settings.freshness.not_found,
            stale_if_error=settings.freshness.stale_if_error,
            xet=hubs.huggingface.xet,
            mirrors={name: getattr(hubs, name).mirrors for name in enabled},
        ),
    )
    engine = Engine(
        means,
        tunnels=settings.tunnel == "public",
        read_only=settings.uploads == "deny",
        connect_to=settings.upstream.connect_to.lookup,
        observer=Journal(metrics, access_log),
    )
    return Assembly(engine, store, upstream, fills, metrics, access_log)


def _refuse_rules(settings: Settings, now: float) -> None:
    """Whoever wrote a rule shall not believe that it holds: none is enforced yet. Raises ConfigError."""
    there = [path for path in settings.rules if path.exists()]
    if there and not rules.load(there, now=now).policy.open:
        what = f"{there[0]} holds rules that deny, and this version enforces none; move them away to start"
        raise ConfigError(settings.fault("rules", what))


def other_hosts(settings: Settings) -> tuple[str, ...]:
    return tuple(other.dns for other in settings.hubs.others)
