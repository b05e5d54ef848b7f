"""Every parser that eats foreign bytes, by the name of its target: the one table for both tiers."""

from __future__ import annotations

from . import documents, fields, heads, routes, scans, stores, written
from .target import Target

FAMILIES = (routes, fields, heads, written, documents, stores, scans)
TARGETS: dict[str, Target] = {each.name: each for family in FAMILIES for each in family.TARGETS}
assert len(TARGETS) == sum(len(family.TARGETS) for family in FAMILIES), "a name is there twice"
