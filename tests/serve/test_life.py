"""The life of the process: it drains, survives being killed, and shares its cache."""

from __future__ import annotations

import hashlib
import http.client
import signal
import socket
import ssl
import urllib.error
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.hub import Synthetic, TestHub
from tests.processes import Answer, Hubgate, open_tunnel

HUB = "https://huggingface.co"
SIZE = 40_000_000
HELD = 1_000_000  # bytes of each body that the hub lets go


def put(hub: TestHub, id: str, seed: int) -> tuple[str, Synthetic]:
    hub.add_synthetic(id, "big.bin", SIZE, seed=seed)
    return f"{HUB}/{id}/resolve/main/big.bin", Synthetic(SIZE, seed)


def begun(proxy: Hubgate, url: str) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
    """A download whose first bytes are here."""
    connection = open_tunnel(proxy.port, proxy.ca / "ca.pem", "huggingface.co")
    connection.request("GET", url.removeprefix(HUB))
    response = connection.getresponse()
    assert response.status == 200 and response.length == SIZE
    return connection, response


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(10)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def closed(port: int) -> None:
    """Returns once nobody listens; the test's own time limit ends a vain wait."""
    while not refuses(port):
        pass


@pytest.mark.fault("R19")
def test_a_download_that_is_open_gets_to_its_end(hub: TestHub, start: Callable[..., Hubgate]) -> None:
    proxy = start()
    url, source = put(hub, "acme/drained", seed=1)
    hub.knob(host="cdn-lfs*", hold="drain", hold_at=HELD)
    connection, response = begun(proxy, url)
    first = response.read(HELD // 2)
    proxy.signal()
    closed(proxy.port)
    with pytest.raises(urllib.error.HTTPError) as draining:
        proxy.asked_admin("/healthz")
    assert draining.value.code == 503 and b"draining" in draining.value.read()
    hub.release("drain")
    assert hashlib.sha256(first + response.read()).hexdigest() == source.sha256
    connection.close()
    assert proxy.wait() == 0, proxy.told


@pytest.mark.fault("R19")
@pytest.mark.parametrize("how", ["told twice", "in time"])
def test_a_download_that_never_ends_does_not_hold_it(hub: TestHub, start: Callable[..., Hubgate], how: str) -> None:
    proxy = start(drain="120s" if how == "told twice" else "1s")
    url, _ = put(hub, "acme/endless", seed=2)
    hub.knob(host="cdn-lfs*", hold="for ever", hold_at=HELD)
    _, response = begun(proxy, url)
    proxy.signal()
    closed(proxy.port)
    if how == "told twice":
        proxy.signal()
    with pytest.raises((http.client.IncompleteRead, ConnectionError, ssl.SSLError)):
        response.read()
    assert proxy.wait() == 0, proxy.told
    hub.release("for ever")


def test_a_hangup_without_a_log_does_no_harm(hub: TestHub, start: Callable[..., Hubgate]) -> None:
    proxy = start(access_log="null")
    proxy.signal(signal.SIGHUP)
    assert proxy.asked_admin("/healthz").status == 200
    assert proxy.stop() == 0, proxy.told


@pytest.mark.fault("R1")
def test_killed_in_the_middle_of_a_fill(hub: TestHub, start: Callable[..., Hubgate]) -> None:
    proxy = start()
    known, earlier = put(hub, "acme/earlier", seed=3)
    assert hashlib.sha256(proxy.ask(known).body).hexdigest() == earlier.sha256

    url, source = put(hub, "acme/killed", seed=4)
    hub.knob(host="cdn-lfs*", hold="kill", hold_at=5_000_000)  # past a piece, so that something is on disk
    _, response = begun(proxy, url)
    assert response.read(4_500_000) == bytes(source.read(0, 4_500_000))
    proxy.kill()
    hub.release("kill")
    with pytest.raises((http.client.IncompleteRead, ConnectionError, ssl.SSLError)):
        response.read()

    again = start()
    assert hashlib.sha256(again.ask(url).body).hexdigest() == source.sha256
    hub.stop()
    for link, right in ((known, earlier), (url, source)):
        assert hashlib.sha256(again.ask(link).body).hexdigest() == right.sha256


@pytest.mark.fault("R19")
def test_a_restart_keeps_the_cache(hub: TestHub, start: Callable[..., Hubgate]) -> None:
    url, source = put(hub, "acme/kept", seed=5)
    links = (url, f"{HUB}/acme/tiny/resolve/main/config.json", f"{HUB}/api/models/acme/tiny")
    proxy = start()
    before = [proxy.ask(link).body for link in links]
    assert proxy.stop() == 0
    hub.stop()
    assert [start().ask(link).body for link in links[:1]] == before[:1]
    later = start(freshness={"ref": "0s", "api": "0s"})
    assert [later.ask(link).body for link in links] == before
    assert hashlib.sha256(before[0]).hexdigest() == source.sha256


@pytest.mark.fault("R20")
def test_two_processes_on_one_directory(hub: TestHub, start: Callable[..., Hubgate]) -> None:
    url, source = put(hub, "acme/shared", seed=6)
    one, two = start(), start()
    with ThreadPoolExecutor(8) as pool:
        asked: list[Future[Answer]] = [pool.submit(proxy.ask, url) for proxy in (one, two) * 3]
        assert {hashlib.sha256(each.result().body).hexdigest() for each in asked} == {source.sha256}
    assert hub.bodies_of(source.sha256) <= 2.0
    other, source = put(hub, "acme/passed-on", seed=7)
    assert len(one.ask(other).body) == SIZE
    hub.stop()
    assert hashlib.sha256(two.ask(other).body).hexdigest() == source.sha256


def test_what_is_absent_is_known_to_be_absent_without_the_hub(hub: TestHub, start: Callable[..., Hubgate]) -> None:
    proxy = start(freshness={"not_found": "1h"})
    links = [f"{HUB}/{path}" for path in ("acme/tiny/resolve/main/absent", "api/models/acme/tiny/tree/main/absent")]
    told = [(answer.status, answer["X-Error-Code"], answer.body) for answer in map(proxy.ask, links)]
    assert [each[:2] for each in told] == [(404, "EntryNotFound")] * 2
    hub.clear()
    assert [(answer.status, answer["X-Error-Code"], answer.body) for answer in map(proxy.ask, links)] == told
    assert hub.requests() == []
    assert proxy.stop() == 0
    later = start(freshness={"ref": "0s", "api": "0s", "not_found": "0s"})
    hub.stop()
    assert [(answer.status, answer["X-Error-Code"], answer.body) for answer in map(later.ask, links)] == told
