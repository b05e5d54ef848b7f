"""What `hubgate prefetch` brought beside a running proxy is all that a client's snapshot_download asks for."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.clients.conftest import Site
from tests.clients.run import MODELSCOPE_ENVS, ModelScopeEnv
from tests.clients.test_generations import SCRIPT, plan_for, true_bytes
from tests.clients.test_modelscope import SNAPSHOTS, true_files
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


@pytest.mark.parametrize(
    ("env", "repos"),
    [
        (MODELSCOPE_ENVS[0], [("acme/tiny", "model", None), ("acme/tiny-ds", "dataset", None)]),
        (MODELSCOPE_ENVS[1], [("acme/tiny", "model", None)]),  # it asks for a data set by its number
    ],
)
def test_a_snapshot_needs_nothing_of_modelscope(
    opened: Callable[[], Site], env: ModelScopeEnv, repos: list[tuple[str, str, str | None]]
) -> None:
    site = opened()
    site.restart(freshness={"ref": "1h", "api": "1h", "not_found": "1h"})
    done = hubgate("prefetch", "ms:acme/tiny", "ms:datasets/acme/tiny-ds", "--config", str(site.proxy.config))
    assert done.returncode == 0, done.stderr
    hub, expected = site.hub, [true_files(site.hub.repo(id, f"{type}s", "modelscope"), at) for id, type, at in repos]
    hub.clear()
    assert site.python(env, SNAPSHOTS, json.dumps(repos)) == expected
    assert hub.requests() == []

    hub.stop()
    assert site.python(env, SNAPSHOTS, json.dumps(repos)) == expected
