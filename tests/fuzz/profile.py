"""How many inputs hypothesis makes for each target: few, or with HUBGATE_FUZZ=long many; HUBGATE_FUZZ_EXAMPLES says
how many."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_MANY = 20_000 if os.environ.get("HUBGATE_FUZZ") == "long" else 100
settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("HUBGATE_FUZZ_EXAMPLES") or _MANY),
    deadline=None,
    derandomize=os.environ.get("HUBGATE_FUZZ") != "long",
    print_blob=True,  # with it a failure can be had again
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
PROFILE = settings.get_profile("fuzz")
