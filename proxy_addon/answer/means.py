"""What every answer is made with, and how long each kind of resource stays fresh."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..access.issued import IssuedLinks
from ..access.leases import Leases
from ..access.provenance import Provenance
from ..access.public import PublicRepos
from ..core.messages import StoredResponse
from ..core.storing import Terms
from ..fetch.fills import Fills
from ..fetch.flights import Flights
from ..fetch.upstream import Upstream
from ..hub.classify import HOMES, Classifier
from ..hub.xet import NATIVE_ABOVE
from ..scan import Scanner
from ..store.contract import Store

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's choices that answers depend on; seconds."""

    ref: float = 300.0
    api: float = 60.0
    not_found: float = 30.0
    stale_if_error: float = 7 * DAY
    xet: str = "auto"
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # hub -> base URLs

    def keep_xet(self, size: int | None) -> bool:
        """Whether a file of `size` bytes is left to the client's native Xet."""
        return self.xet == "native" or (self.xet == "auto" and size is not None and size > NATIVE_ABOVE)

    def mirrors_of(self, hub: str, host: str) -> tuple[str, ...]:
        """Base URLs that stand in for `host`, one of the hub's own names."""
        return self.mirrors.get(hub, ()) if host in HOMES.get((hub, ""), ()) else ()

    def file(self, status: int) -> Terms:
        """A file at a commit: immutable; a 404 or a moved repo is believed for a while."""
        life = {200: math.inf, 404: self.not_found}.get(status, self.ref)
        return Terms(lifetime=life, stale_if_error=self.stale_if_error)

    def revision(self) -> Terms:
        return Terms(lifetime=self.ref, stale_if_error=self.stale_if_error)

    def document(self, status: int, *, pinned: bool, what: str) -> Terms:
        life = self.not_found if status == 404 else DAY if pinned or what == "static" else self.api
        return Terms(lifetime=life, stale_if_error=self.stale_if_error, methods=frozenset({"GET", "HEAD", "POST"}))

    def plain(self) -> Terms:
        return Terms(stale_if_error=self.stale_if_error)


@dataclass(frozen=True, slots=True)
class Means:
    store: Store
    upstream: Upstream
    flights: Flights
    fills: Fills
    public: PublicRepos
    issued: IssuedLinks
    provenance: Provenance
    classifier: Classifier
    clock: Callable[[], float]
    boundary: Callable[[], str]  # a fresh multipart boundary
    timer: Callable[[], float] = time.monotonic  # seconds that no wall clock moves
    leases: Leases = field(default_factory=Leases)
    rules: Rules = field(default_factory=Rules)
    scanner: Scanner = field(default_factory=Scanner)
    judging: Callable[[], bool] = lambda: False  # whether rules are in force, for which hashes are to be placed

    async def keep(self, key: str, variants: Sequence[StoredResponse]) -> None:
        """Store; a disk that refuses costs the cache, never the answer."""
        with self.unless_disk_refuses():
            await self.store.responses.put(key, variants)

    @contextmanager
    def unless_disk_refuses(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            self.fills.refused("a row", fault)
