"""What a server tells of the reading that goes on beside it: metrics and health, from what lies on the disk.

`look` blocks, and is called now and then in a thread; what is told is what was seen last.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..metrics import Metrics
from ..store.quarantine import Quarantine
from .state import State, StateFile

KINDS = ("piece", "blob", "row", "leftover")
FINDERS = ("read", "verify", "scrub", "hub")


class Standing:
    def __init__(self, file: StateFile, quarantine: Quarantine) -> None:
        self._file, self._quarantine = file, quarantine
        self._state, self._entries, self._bytes = State(), dict.fromkeys(FINDERS, 0.0), 0.0

    def look(self) -> None:
        self._state = self._file.read()
        self._entries = dict.fromkeys(FINDERS, 0.0) | {by: float(n) for by, n in self._quarantine.tally().items()}
        self._bytes = float(self._quarantine.size())

    def register(self, metrics: Metrics) -> None:
        counter, gauge = metrics.counter, metrics.gauge
        counter("scrub_read_bytes", "Bytes of the cache that the scrubber has read", lambda: float(self._state.read))
        counter("scrub_blobs", "Blobs that the scrubber has read to their end", lambda: float(self._state.blobs))
        metrics.counters("scrub_found", "What the scrubber has found wrong", "what", self._found)
        gauge("scrub_progress", "How much of the round is read, about; 1: none is under way", self._progress)
        last = "When the scrubber last came to the end of a round, 0: not yet"
        gauge("scrub_last_timestamp_seconds", last, lambda: self._state.ended)
        metrics.gauges("quarantine_entries", "What is kept aside, by who found it", "by", lambda: self._entries)
        gauge("quarantine_bytes", "Bytes that are kept aside", lambda: self._bytes)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not all is well."""
        if not (count := int(self._entries["scrub"])):
            return ()
        which = "one is" if count == 1 else f"{count} are"
        return (f"the scrubber found damage on the disk, {which} set aside: hubgate cache quarantine ls, then rm",)

    def _found(self) -> Mapping[str, float]:
        return {kind: float(self._state.found.get(kind, 0)) for kind in KINDS}

    def _progress(self) -> float:
        state = self._state
        return min(1.0, state.done / state.due) if state.under_way and state.due else 1.0
