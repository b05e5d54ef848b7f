"""Counters fed by outcomes, and their export for Prometheus.

A request costs one dictionary look-up and two additions on plain numbers; prometheus_client sees them only when
somebody scrapes. Label values come from closed sets (outcomes, hubs, at most `MAX_KINDS` resource kinds, status codes),
never from what a client sent, so the number of series is bounded. Known outcomes start at zero for every hub: a rate
over a counter that has just come to exist says nothing. Everything runs on the event loop's thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .core.status import LABELS

HUBS = ("huggingface", "modelscope", "other", "-")
MAX_KINDS = 64
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Keys of `Store.stats`, as gauges or (when they only grow) counters.
_STATS = {
    "bytes": ("hubgate_cache_bytes", "Bytes on disk"),
    "limit": ("hubgate_cache_limit_bytes", "Bytes that the disk tier may take"),
    "responses": ("hubgate_cache_responses", "Stored responses"),
    "blobs": ("hubgate_cache_blobs", "Blobs on disk"),
    "pieces": ("hubgate_cache_pieces", "Pieces of blobs on disk"),
    "memory_bytes": ("hubgate_memory_bytes", "Bytes in the memory tier"),
    "evicted": ("hubgate_evicted", "Pieces evicted since start"),
    "damaged": ("hubgate_damaged_pieces", "Pieces that were found damaged on disk since start, and fetched again"),
}
_GROWING = frozenset({"evicted", "damaged"})

_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Watched:
    family: type[CounterMetricFamily] | type[GaugeMetricFamily]
    help: str
    read: Callable[[], float]


@dataclass(slots=True)
class _Labelled:
    family: type[CounterMetricFamily] | type[GaugeMetricFamily]
    label: str
    help: str
    read: Callable[[], Mapping[str, float]]


class Metrics(Collector):
    """`stats` is the store's; it is awaited once per scrape."""

    def __init__(self, stats: Callable[[], Awaitable[Mapping[str, int]]] | None = None) -> None:
        self._stats, self._last_stats = stats, dict[str, int]()
        self._requests: dict[_Key, int] = {(label, hub, "-"): 0 for label in LABELS for hub in HUBS}
        self._sent: dict[_Key, int] = dict(self._requests)
        self._kinds = {"-"}
        self._first_byte: dict[str, list[float]] = {}  # outcome -> one count a bucket, then the sum
        self._upstream_bytes = dict.fromkeys(HUBS, 0)
        self._upstream_requests: dict[tuple[str, str], int] = {}
        self._watched: dict[str, _Watched] = {}
        self._labelled: dict[str, _Labelled] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def request(self, label: str, hub: str, kind: str, sent: int, first_byte: float | None) -> None:
        """Count one finished request: `Outcome.label`, `sent` body bytes, seconds until the first of them."""
        key = (label, hub, kind)
        try:
            self._requests[key] += 1
        except KeyError:
            key = self._admit(key)
            self._requests[key] += 1
        self._sent[key] += sent
        if first_byte is not None:
            try:
                row = self._first_byte[label]
            except KeyError:
                row = self._first_byte.setdefault(key[0], [0.0] * (len(BUCKETS) + 2))
            row[bisect_left(BUCKETS, first_byte)] += 1
            row[-1] += first_byte

    def upstream_request(self, hub: str, status: int) -> None:
        """Count one answer from upstream."""
        pair = hub if hub in HUBS else "other", str(status) if 100 <= status <= 599 else "other"
        self._upstream_requests[pair] = self._upstream_requests.get(pair, 0) + 1

    def upstream_bytes(self, hub: str, size: int) -> None:
        """Add body bytes from upstream as they come."""
        self._upstream_bytes[hub if hub in HUBS else "other"] += size

    def gauge(self, name: str, help: str, read: Callable[[], float]) -> None:
        """Export `hubgate_<name>`, read at each scrape."""
        self._watched[f"hubgate_{name}"] = _Watched(GaugeMetricFamily, help, read)

    def gauges(self, name: str, help: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Export `hubgate_<name>` once for each value of a label; which there are must be bounded by who calls."""
        self._labelled[f"hubgate_{name}"] = _Labelled(GaugeMetricFamily, label, help, read)

    def counters(self, name: str, help: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Export `hubgate_<name>_total` likewise, of numbers that only grow."""
        self._labelled[f"hubgate_{name}"] = _Labelled(CounterMetricFamily, label, help, read)

    def counter(self, name: str, help: str, read: Callable[[], float]) -> None:
        """Export `hubgate_<name>_total`, a number kept elsewhere that only grows."""
        self._watched[f"hubgate_{name}"] = _Watched(CounterMetricFamily, help, read)

    def totals(self) -> dict[str, int]:
        """The few numbers that a person wants first: requests, hits, sent and upstream bytes, upstream requests."""
        return {
            "requests": sum(self._requests.values()),
            "hits": sum(n for (label, _, _), n in self._requests.items() if label == "hit"),
            "sent_bytes": sum(self._sent.values()),
            "upstream_requests": sum(self._upstream_requests.values()),
            "upstream_bytes": sum(self._upstream_bytes.values()),
        }

    async def stored(self) -> dict[str, int]:
        """How full the cache is: bytes, and how many there may be; nothing where there is none."""
        if self._stats is None:
            return {}
        stats = await self._stats()
        return {"cache_bytes": int(stats["bytes"]), "cache_limit_bytes": int(stats["limit"])}

    async def text(self) -> bytes:
        """The exposition, in `CONTENT_TYPE`."""
        if self._stats is not None:
            self._last_stats = dict(await self._stats())
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("hubgate", "This build", value={"version": _version()})
        labels = ("outcome", "hub", "kind")
        requests = CounterMetricFamily("hubgate_requests", "Requests answered", labels=labels)
        sent = CounterMetricFamily("hubgate_sent_bytes", "Body bytes sent to clients", labels=labels)
        for key, count in self._requests.items():
            requests.add_metric(key, count)
            sent.add_metric(key, self._sent[key])
        received = CounterMetricFamily("hubgate_upstream_bytes", "Body bytes from upstream", labels=["hub"])
        for hub, count in self._upstream_bytes.items():
            received.add_metric([hub], count)
        asked = CounterMetricFamily("hubgate_upstream_requests", "Requests sent upstream", labels=["hub", "status"])
        for pair, count in self._upstream_requests.items():
            asked.add_metric(pair, count)
        yield from (requests, sent, received, asked, self._histogram())
        for name, watched in self._watched.items():
            yield watched.family(name, watched.help, value=watched.read())
        for name, many in self._labelled.items():
            labelled = many.family(name, many.help, labels=[many.label])
            for value, number in many.read().items():
                labelled.add_metric([value], number)
            yield labelled
        for key_, (name, text) in _STATS.items():
            if key_ in self._last_stats:
                family = CounterMetricFamily if key_ in _GROWING else GaugeMetricFamily
                yield family(name, text, value=self._last_stats[key_])

    def _histogram(self) -> Metric:
        family = HistogramMetricFamily("hubgate_first_byte_seconds", "Seconds to the first byte", labels=["outcome"])
        for label, row in self._first_byte.items():
            total, buckets = 0.0, list[tuple[str, float]]()
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), row, strict=False):
                total += count
                buckets.append((bound, total))
            family.add_metric([label], buckets, row[-1])
        return family

    def _admit(self, key: _Key) -> _Key:
        label, hub, kind = key
        if len(self._kinds) < MAX_KINDS:
            self._kinds.add(kind)
        known = (
            label if label in LABELS else "error",
            hub if hub in HUBS else "other",
            kind if kind in self._kinds else "more",
        )
        self._requests.setdefault(known, 0)
        self._sent.setdefault(known, 0)
        return known


def _version() -> str:
    try:
        return version("hubgate")
    except PackageNotFoundError:  # run from a bare checkout, as a script of mitmdump
        return "unknown"
