import socket
from ipaddress import ip_network

import pytest
from aiohttp import ClientSession

from proxy_addon.admin import Health, create_app, start
from proxy_addon.ca import Authority
from proxy_addon.metrics import Metrics


@pytest.fixture
def authority(tmp_path):
    return Authority.open(tmp_path)


@pytest.fixture
async def get(authority):
    """Asks an admin application with the given health (and clients) for a path."""
    listeners = []

    async def ask(path, reasons=(), clients=(), method="GET"):
        app = create_app(lambda: Health(tuple(reasons)), authority, Metrics(), clients)
        listeners.append(await start(app, "127.0.0.1", 0, 3600.0))
        url = f"http://127.0.0.1:{listeners[-1].port}{path}"
        async with ClientSession() as session, session.request(method, url) as reply:
            return reply, await reply.text()

    yield ask
    for listening in listeners:
        await listening.close()


async def test_health(get):
    reply, text = await get("/healthz")
    assert (reply.status, text) == (200, '{"status": "ok", "reasons": []}')
    reply, text = await get("/healthz", ["the disk is full"])
    assert (reply.status, text) == (503, '{"status": "degraded", "reasons": ["the disk is full"]}')


async def test_the_certificate_and_never_the_key(get, authority):
    reply, text = await get("/ca.pem")
    assert (reply.status, text) == (200, authority.public_pem().decode())
    assert reply.content_type == "application/x-pem-file"


async def test_the_bundle_has_public_roots_and_our_ca(get, authority):
    reply, text = await get("/bundle.pem")
    assert reply.status == 200 and authority.public_pem().decode() in text
    assert text.count("BEGIN CERTIFICATE") > 50 and "PRIVATE" not in text


async def test_metrics(get):
    reply, text = await get("/metrics")
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'hubgate_requests_total{hub="huggingface",kind="-",outcome="hit"} 0.0' in text


async def test_the_index_page(get, authority):
    reply, text = await get("/", ["<b>& so on"])
    assert (reply.status, reply.content_type) == (200, "text/html")
    assert authority.fingerprint() in text
    assert "degraded" in text and "&lt;b&gt;&amp; so on" in text and "<b>" not in text
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_anything_else_is_not_found_and_nothing_is_written(get):
    assert (await get("/nope"))[0].status == 404
    assert (await get("/healthz", method="POST"))[0].status == 405


async def test_only_clients_are_answered(get):
    assert (await get("/healthz", clients=[ip_network("127.0.0.0/8")]))[0].status == 200
    assert (await get("/ca.pem", clients=[ip_network("10.0.0.0/8"), ip_network("::1/128")]))[0].status == 403


async def test_a_taken_port_is_an_error(authority):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        await start(create_app(Health, authority, Metrics()), "127.0.0.1", taken.getsockname()[1], 3600.0)
