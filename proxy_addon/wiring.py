"""From settings to a working engine: the one place that knows which part is made of which.

`assemble` starts nothing that listens. What it hands over is closed in the reverse order of how it was opened.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .access.issued import IssuedLinks
from .access.leases import Leases
from .access.provenance import Provenance
from .access.public import PublicRepos
from .accesslog import AccessLog
from .answer.means import Means, Rules
from .auth import Door, Unfit, Users
from .config import Settings
from .core.errors import ConfigError
from .core.messages import Finished, Ruling
from .engine import Engine
from .fetch.fills import Fills
from .fetch.flights import Flights
from .fetch.upstream import Upstream
from .hub.classify import ALL, Classifier
from .metrics import Metrics
from .policy.rulebook import Rulebook
from .scan import Scanner
from .scanners import count as count_scans
from .scanners import scanner_of
from .steady import Steady
from .store.local import DiskStore

MAX_RULES = 1000  # that are counted one by one
log = logging.getLogger(__name__)


class Journal:
    """Every finished request, counted and logged."""

    def __init__(self, metrics: Metrics, log: AccessLog | None) -> None:
        self._metrics, self._log = metrics, log
        self._denied, self._audit = Counter[str](), Counter[str]()
        metrics.counters("policy_denied", "Requests that a rule denied", "rule", lambda: self._denied)
        metrics.counters(
            "policy_would_deny", "Requests that a rule in audit mode would deny", "rule", lambda: self._audit
        )

    def completed(self, finished: Finished) -> None:
        label, hub, kind = finished.outcome.label, finished.hub, finished.kind
        first = finished.seconds if finished.first_byte is None else finished.first_byte
        self._metrics.request(label, hub, kind, finished.sent, first)
        if finished.ruling is not None:
            self._count(finished.ruling)
        if self._log is not None:
            shown = f"{label}; aborted" if finished.aborted else label
            ruling = finished.ruling
            ident = ruling.id if ruling is not None else os.urandom(4).hex()
            self._log.write(
                finished.request, finished.status, shown, hub, kind, finished.sent, finished.seconds, ident, ruling
            )

    def _count(self, ruling: Ruling) -> None:
        for rule, counter in ((ruling.rule, self._denied), *((rule, self._audit) for rule in ruling.audit)):
            if rule:
                counter[rule if rule in counter or len(counter) < MAX_RULES else "more"] += 1


@dataclass(frozen=True, slots=True)
class Assembly:
    engine: Engine
    store: DiskStore
    upstream: Upstream
    fills: Fills
    scanner: Scanner
    metrics: Metrics
    access_log: AccessLog | None
    rulebook: Rulebook
    door: Door | None  # None: nobody is asked for a password
    following: Sequence[asyncio.Task[None]]

    async def close(self) -> None:
        for task in self.following:
            task.cancel()
        await asyncio.wait(self.following)
        if self.door is not None:
            self.door.close()
        await self.engine.settle()
        await self.fills.close()
        await self.scanner.close()
        await self.upstream.close()
        await self.store.close()
        if self.access_log is not None:
            self.access_log.close()


async def assemble(
    settings: Settings,
    clock: Callable[[], float] | None = None,
    timer: Callable[[], float] = time.monotonic,
    *,
    keeps: bool = False,
) -> Assembly:
    """Open the store and the upstream client. Raises ConfigError when the cache directory is not usable.

    `clock` tells epoch seconds, by which ages are counted; without one it is the time of day, which does not go back.
    `timer` only goes forward, and counts waits and refusals.
    `keeps`: this is the server, which keeps the last good rules; what works beside it follows them.
    """
    hubs, clock = settings.hubs, clock or Steady()
    door = await asyncio.to_thread(_door, settings, timer) if keeps and settings.auth is not None else None
    cache = settings.cache
    store = DiskStore(cache.dir, cache.size, cache.memory, quarantine=cache.quarantine, clock=clock)
    await store.open()
    rulebook = await asyncio.to_thread(rulebook_of, settings, clock, keeps)
    metrics = Metrics(store.stats)
    _count_rules(metrics, rulebook)
    access_log = AccessLog(settings.access_log) if settings.access_log is not None else None
    upstream = Upstream(
        meter=metrics,
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
    scanner = await asyncio.to_thread(scanner_of, settings)
    metrics.counter("fills_disproved", "Fills that brought not what was promised", lambda: float(fills.disproved))
    enabled = [name for name in ALL if getattr(hubs, name).enabled]
    means = Means(
        store=store,
        upstream=upstream,
        flights=flights,
        fills=fills,
        public=PublicRepos(store.responses, clock, timer, stale_if_error=settings.freshness.stale_if_error),
        issued=IssuedLinks(clock),
        leases=Leases(timer, lasts=settings.access.lease, grace=settings.access.offline_grace),
        provenance=Provenance(store.responses, clock, timer),
        judging=lambda: not rulebook.policy.open,
        classifier=Classifier(enabled=enabled, others=hubs.others),
        clock=clock,
        timer=timer,
        boundary=lambda: os.urandom(12).hex(),
        scanner=scanner,
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
        rules=rulebook,
    )
    count_scans(metrics, engine.contents)
    following = [asyncio.create_task(rulebook.watch())]
    if door is not None:
        _count_logins(metrics, door)
        following.append(asyncio.create_task(door.users.watch()))
    return Assembly(engine, store, upstream, fills, scanner, metrics, access_log, rulebook, door, following)


def _door(settings: Settings, timer: Callable[[], float]) -> Door:
    """Blocking."""
    assert settings.auth is not None
    users = Users(settings.auth)
    try:
        users.open()
    except Unfit as unfit:
        raise ConfigError(*unfit.faults) from None
    return Door(users, timer)


def _count_logins(metrics: Metrics, door: Door) -> None:
    metrics.gauge("auth_users", "Users who may use the proxy", lambda: float(len(door.users.current)))
    metrics.gauge("auth_faults", "Why those users are not those on disk", lambda: float(len(door.users.faults)))
    metrics.counter("auth_verified", "Passwords that were hashed", lambda: float(door.verified))
    metrics.counter("auth_refused", "Attempts that were wrong, or too many", lambda: float(door.refused))


def rulebook_of(settings: Settings, clock: Callable[[], float], keeps: bool) -> Rulebook:
    """The rules in force by this configuration. Blocking."""
    optional = "rules" not in settings.model_fields_set
    names = "\0".join(sorted(os.path.abspath(path) for path in settings.rules))  # servers may share the cache only
    keep = settings.cache.dir / "rules" / hashlib.sha256(names.encode()).hexdigest()[:12]
    rulebook = Rulebook(settings.rules, keep, clock=clock, optional=optional, keeps=keeps)
    rulebook.open()
    return rulebook


def _count_rules(metrics: Metrics, book: Rulebook) -> None:
    metrics.gauge("rules", "Rules in force", lambda: float(book.policy.size))
    metrics.gauge("rules_faults", "Why the rules in force are not those on disk", lambda: float(len(book.faults)))
    metrics.gauge("rules_loaded_timestamp_seconds", "When the rules in force were read", lambda: book.since)
    metrics.counter("rules_reloads", "Rules that came into force", lambda: float(book.reloads))
    metrics.counter("rules_reload_failures", "Rules that did not come into force", lambda: float(book.failures))
