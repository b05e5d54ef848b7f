"""Rules in a running server: edited, broken, gone, confirmed; and what a restart makes of them."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub import TestHub
from tests.processes import ROOT, Hubgate, configuration, hubgate, open_tunnel

TINY = "https://huggingface.co/acme/tiny/resolve/main/config.json"
DENY = 'version: 1\nrules:\n  - {id: %s, effect: deny, match: {repo: "%s"}, reason: "no", owner: me}\n'


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The directory that the configuration file of `start()` has beside it."""
    folder = tmp_path / "hubgate/rules"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "rules/default.yaml", folder)
    return folder


def eventually(true: Callable[[], Any], limit: float = 60.0) -> None:
    """What has no sign of its own but the answer."""
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        threading.Event().wait(0.05)


def health(proxy: Hubgate) -> list[str]:
    try:
        told = proxy.asked_admin("/healthz")
    except urllib.error.HTTPError as degraded:
        assert degraded.code == 503
        return list(json.load(degraded)["reasons"])
    assert told.json == {"status": "ok", "reasons": []}
    return []


def test_an_edit_comes_into_force_while_it_runs(start: Callable[..., Hubgate], rules: Path) -> None:
    proxy = start()
    assert proxy.ask(TINY).status == 200
    before = proxy.metrics()
    assert (
        before["hubgate_rules"] == before["hubgate_rules_faults"] == before["hubgate_rules_reload_failures_total"] == 0
    )
    (rules / "own.yaml").write_text(DENY % ("no-acme", "acme/*"))
    line = proxy.wait_for("rules: 1 rules in force, digest ")
    digest = line.partition("digest ")[2][:16]
    eventually(lambda: proxy.ask(TINY)["X-Policy-Rule"] == "no-acme")
    after = proxy.metrics()
    assert (
        after["hubgate_rules"] == 1
        and after["hubgate_rules_reloads_total"] == before["hubgate_rules_reloads_total"] + 1
    )
    assert after["hubgate_rules_loaded_timestamp_seconds"] > before["hubgate_rules_loaded_timestamp_seconds"]
    page = proxy.asked_admin("/").body.decode()
    assert "Rules in force: 1, since " in page and digest in page
    (rules / "own.yaml").write_text(DENY % ("no-other", "other/*"))
    eventually(lambda: proxy.ask(TINY).status == 200)
    assert health(proxy) == []


def test_an_edit_holds_while_downloads_run(start: Callable[..., Hubgate], hub: TestHub, rules: Path) -> None:
    proxy = start()
    hub.add_synthetic("acme/long", "big.bin", 40_000_000, seed=7)
    hub.knob(host="cdn-lfs*", hold="for now", hold_at=1_000_000)
    connection = open_tunnel(proxy.port, proxy.ca / "ca.pem", "huggingface.co")
    connection.request("GET", "/acme/long/resolve/main/big.bin")
    response = connection.getresponse()
    assert response.status == 200 and len(response.read(500_000)) == 500_000
    (rules / "own.yaml").write_text(DENY % ("no-acme", "acme/*"))
    eventually(lambda: proxy.ask(TINY).status == 403)
    hub.release("for now")
    connection.close()


@pytest.mark.fault("R21")
def test_a_broken_edit_changes_nothing_but_health(start: Callable[..., Hubgate], rules: Path) -> None:
    own = rules / "own.yaml"
    own.write_text(DENY % ("no-acme", "acme/*"))
    proxy = start()
    own.write_text("version: 1\nruels: []\n")
    told = proxy.wait_for(f"{own}:2: ruels: no such key; did you mean `rules`?")
    assert " ERROR " in told and "the last good set of " in told
    (reason,) = health(proxy)
    assert reason.startswith(f"rules: {own}:2: ruels") and reason.endswith(" UTC is in force")
    assert proxy.ask(TINY)["X-Policy-Rule"] == "no-acme"
    now = proxy.metrics()
    assert now["hubgate_rules"] == now["hubgate_rules_faults"] == now["hubgate_rules_reload_failures_total"] == 1
    assert "hubgate is degraded" in proxy.asked_admin("/").body.decode()
    own.write_text(DENY % ("no-other", "other/*"))
    assert "digest" in proxy.wait_for("rules: all is in order again; 1 rules")
    assert health(proxy) == [] and proxy.ask(TINY).status == 200


@pytest.mark.fault("R21")
def test_what_is_gone_stays_until_a_signal_confirms(start: Callable[..., Hubgate], rules: Path) -> None:
    own = rules / "own.yaml"
    own.write_text(DENY % ("no-acme", "acme/*"))
    proxy = start()
    own.unlink()
    proxy.wait_for(f"{own}: is gone; its rules stay in force")
    assert proxy.ask(TINY).status == 403
    proxy.kill()
    again = start()
    (reason,) = health(again)
    assert f"send SIGHUP (kill -HUP {again.pid}) if that was on purpose" in reason
    assert again.ask(TINY)["X-Policy-Rule"] == "no-acme", "a restart does not confirm"
    log = Path(again.settings["access_log"])
    log.rename(log.with_suffix(".1"))
    again.signal(signal.SIGHUP)
    again.wait_for("rules: all is in order again; 0 rules")
    assert again.ask(TINY).status == 200 and health(again) == []
    eventually(lambda: log.exists() and "config.json" in log.read_text())
    assert again.stop() == 0
    assert health(start()) == []


@pytest.mark.fault("R21")
def test_a_restart_with_broken_rules_has_the_last_good_ones(start: Callable[..., Hubgate], rules: Path) -> None:
    own = rules / "own.yaml"
    own.write_text(DENY % ("no-acme", "acme/*"))
    start().kill()
    own.write_bytes(b"\xff")
    proxy = start()
    assert proxy.ask(TINY)["X-Policy-Rule"] == "no-acme"
    assert health(proxy)[0].startswith(f"rules: {own}:1: this is not UTF-8; save the file as UTF-8; the last good set")


@pytest.mark.fault("R21")
def test_with_nothing_to_go_by_all_is_denied_and_says_why(
    start: Callable[..., Hubgate], hub: TestHub, rules: Path
) -> None:
    (rules / "own.yaml").write_text("version: 1\nruels: []\n")
    proxy = start()
    answer = proxy.ask(TINY)
    told = answer["X-Error-Message"] or ""
    assert answer.status == 403 and "own.yaml:2: ruels" in told and "operator" in told and hub.requests() == []
    assert str(rules) not in told and f"{rules}/own.yaml:2: ruels" in proxy.told, "the whole path is the log's"
    assert health(proxy)[0].endswith("everything is denied until that is mended")
    (rules / "own.yaml").unlink()
    proxy.wait_for("all is in order again")
    assert proxy.ask(TINY).status == 200


def test_rules_that_are_named_must_be_there(start: Callable[..., Hubgate], tmp_path: Path) -> None:
    named = start("named", rules=["policy/"])
    assert f"{tmp_path}/named/policy: cannot be read: No such file" in health(named)[0]
    assert named.ask(TINY).status == 403
    unnamed = start("unnamed")
    assert health(unnamed) == [] and unnamed.ask(TINY).status == 200


def test_what_works_beside_a_server_has_its_rules_and_keeps_none(hub: TestHub, tmp_path: Path) -> None:
    config = configuration(tmp_path, hub)
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "own.yaml").write_text(DENY % ("no-acme", "acme/*"))
    done = hubgate("prefetch", "hf:acme/tiny", "--config", str(config))
    assert done.returncode != 0 and "no-acme" in done.stdout + done.stderr
    assert not (tmp_path / "cache/rules").exists()
