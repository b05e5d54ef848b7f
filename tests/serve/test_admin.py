"""The admin listener: what it tells, and that no client reaches it through the proxy."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from tests.hub import TestHub
from tests.processes import Hubgate, configuration

URL = "https://huggingface.co/acme/tiny/resolve/main/old.bin"


def test_health_certificate_and_page(proxy: Hubgate) -> None:
    assert json.loads(proxy.asked_admin("/healthz").body) == {"status": "ok", "reasons": []}
    pem = proxy.asked_admin("/ca.pem").body
    assert pem == (proxy.ca / "ca.pem").read_bytes() and b"PRIVATE" not in pem
    fingerprint = proxy.wait_for("SHA-256").rpartition(" ")[2].strip()
    page = proxy.asked_admin("/").body.decode()
    assert fingerprint in page and "<th>cache limit bytes<td>4.0 GB<" in page
    ends = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    assert proxy.metrics()["hubgate_ca_expires_timestamp_seconds"] == ends.timestamp()


def test_a_port_that_was_chosen_is_told(hub: TestHub, tmp_path: Path) -> None:
    with Hubgate(configuration(tmp_path, hub, admin={"listen": "127.0.0.1:0"})) as proxy:
        url = proxy.wait_for("status page and metrics: ").rpartition(" ")[2].strip()
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}healthz", timeout=10) as reply:
            assert reply.status == 200


def test_requests_and_bytes_are_counted(proxy: Hubgate, hub: TestHub) -> None:
    def total(name: str, *labels: str) -> float:
        return sum(n for key, n in now.items() if key.startswith(name + "{") and all(label in key for label in labels))

    size = hub.repo("acme/tiny").file("old.bin").size
    now = before = proxy.metrics()
    assert 'hubgate_requests_total{hub="huggingface",kind="-",outcome="hit"}' in before, "counters start at zero"
    for _ in range(3):
        assert len(proxy.ask(URL).body) == size
    hits = ('hub="huggingface"', 'kind="file"', 'outcome="hit"')
    old = [total("hubgate_requests_total", *hits), total("hubgate_sent_bytes_total", *hits)]
    upstream = [total("hubgate_upstream_bytes_total"), total("hubgate_upstream_requests_total")]
    now = proxy.metrics()
    assert total("hubgate_requests_total", *hits) - old[0] == 2
    assert total("hubgate_sent_bytes_total", *hits) - old[1] == 2 * size
    assert total("hubgate_upstream_bytes_total") - upstream[0] == hub.bytes_sent() >= size
    assert total("hubgate_upstream_requests_total") - upstream[1] == len(hub.requests())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"])
def test_nobody_reaches_it_through_the_proxy(proxy: Hubgate, host: str) -> None:
    port = proxy.admin.rpartition(":")[2]
    tunnel = proxy.said(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
    assert int(tunnel[9:12]) in (400, 403, 502), tunnel
    target = f"http://{host}:{port}/healthz"
    plain = proxy.said(f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
    assert int(plain[9:12]) in (400, 403, 502), plain
    assert b'"status"' not in plain


def test_the_port_that_it_got_is_told(start: Callable[..., Hubgate]) -> None:
    told = start(admin={"listen": "127.0.0.1:0"}).wait_for("status page and metrics: ")
    at = told.rpartition(" ")[2].strip()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{at}healthz", timeout=10) as reply:
        assert json.load(reply)["status"] == "ok"
