"""The times of a run, in seconds, that more than one module goes by."""

from __future__ import annotations

HEALTHY = 5.0  # from a start to the first answer of /healthz, not counting those in which others had the processor
STALE = 2.0  # `freshness.ref` and `freshness.api`
SLACK = 6.0  # between a hub's word and the head of a reply, on a machine that has other work
