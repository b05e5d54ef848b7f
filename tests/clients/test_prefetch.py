"""What `hubgate prefetch` brought beside a running proxy is all that a client's snapshot_download asks for."""

from __future__ import annotations

from collections.abc import Callable

from tests.clients.conftest import Site
from tests.clients.test_generations import SCRIPT, plan_for, true_bytes
from tests.processes import hubgate

SETS = ("hf:acme/tiny", "hf:datasets/acme/tiny-ds", "hf:spaces/acme/space")


def test_a_snapshot_needs_nothing_of_the_hub(opened: Callable[[], Site]) -> None:
    site = opened()
    site.restart(freshness={"ref": "1h", "api": "1h", "not_found": "1h"})
    done = hubgate("prefetch", *SETS, "--pin", "--config", str(site.proxy.config))
    assert done.returncode == 0, done.stderr
    hub, everything = site.hub, plan_for(site.hub, "branches", "commits")
    hub.clear()
    assert site.python("hub2", SCRIPT, everything) == true_bytes(hub, 2)
    assert hub.requests() == []

    hub.stop()
    assert site.python("hub036", SCRIPT, everything) == true_bytes(hub, 2)
    assert hub.requests() == []
