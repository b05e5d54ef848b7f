"""No open proxy: a real process, every spelling of a place that is nobody's business, on every road there is to it.

The process is watched from inside: whatever it dials is on record, so that nothing rests on what it answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import names
from tests.faults.raw import connect, heard, opened, statuses, tunnel
from tests.hub import TestHub
from tests.processes import Hubgate, configuration, free_port

HUBS = (
    "huggingface.co",
    "hf.co",
    "cdn-lfs-us-1.hf.co",
    "us.aws.cdn.hf.co",
    "www.modelscope.cn",
    "modelscope.cn",
    "cdn-lfs-cn-1.modelscope.cn",
)
FILE = "https://huggingface.co/acme/tiny/resolve/main/old.bin"
LARGE = "https://www.modelscope.cn/api/v1/models/acme/tiny/repo?Revision=master&FilePath=old.bin"
CDN = "https://cdn-lfs-us-1.hf.co"
TOKEN = {"Authorization": "Bearer hf_reader", "Cookie": "token=hf_reader", "X-Xet-Token": "hf_reader"}

PUBLIC = "8.8.8.8"  # never reached
NAMES = {
    "private.example": ["10.0.0.8"],
    "meta.example": ["169.254.169.254"],
    "meta6.example": ["fd00:ec2::254"],
    "shared.example": ["100.64.0.1"],
    "loop.example": ["127.0.0.1", "::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::"],
    "inside.hf.co": ["127.0.0.1"],
    "inside.modelscope.cn": ["10.0.0.8"],
}
REBINDS = ("rebinds.example", "rebinds.hf.co")
MIXED = "mixed.example"

ADDRESSES = [
    "127.0.0.1",
    "127.1",
    "127.9.9.9",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[::]",
    "0.0.0.0",
    "0",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "100.64.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[fec0::1]",
]
NO_HOST = [
    "[::1%25lo]",
    "[fe80::1%lo]",
    "user@127.0.0.1",
    "huggingface.co@127.0.0.1",
    "127.0.0.1:80@huggingface.co",
    "huggingface.co..",
    "huggingface.co%2e",
    "huggingface.co%00.example",
    "huggingface.co\\.example",
    ".localhost",
    "-a.example",
    "hugging face.co",
    "huggingf\u0430ce.co",
    "huggingface\u3002co",
    "\u24d6localhost",
    "127\uff0e0\uff0e0\uff0e1",
    "",
    "*",
    "huggingface.co#.example",
    "huggingface.co?.example",
    "huggingface.co/",
    "a" * 64 + ".example",
    "x." * 130 + "example",
]


class Watched(Hubgate):
    """A process whose every dial is known."""

    def __init__(self, folder: Path, hub: TestHub, **keys: Any) -> None:
        self.seen = folder / "log"
        answers = {name: [where] for name, where in NAMES.items()}
        answers |= {name: [[PUBLIC], ["127.0.0.1"]] for name in REBINDS} | {MIXED: [["127.0.0.1", PUBLIC, "10.0.0.1"]]}
        (folder / "answers.json").write_text(json.dumps(answers))
        leads = {f"{host}:443": f"127.0.0.1:{hub.port}" for host in HUBS}
        upstream = {"connect_to": leads, "ca_file": str(hub.ca_pem), "stall_timeout": "10s", "connect_timeout": "5s"}
        config = configuration(folder / "hubgate", upstream=upstream, **keys)
        path = str(Path(names.__path__[0]))
        super().__init__(config, FAULTS_NAMES=str(folder), PYTHONPATH=":".join((path, *_pythonpath())))
        self.hub = hub

    def told_to(self, kind: str) -> list[Any]:
        lines = map(json.loads, self.seen.read_text().splitlines() if self.seen.exists() else ())
        return [rest for what, *rest in lines if what == kind]

    @property
    def strange(self) -> list[Any]:
        """Where it dialled, beside the hub."""
        return [to for to in self.told_to("dial") if to != ["127.0.0.1", self.hub.port]]


def _pythonpath() -> list[str]:
    import os

    return [part for part in os.environ.get("PYTHONPATH", "").split(":") if part]


@pytest.fixture(scope="module")
def standing(shared_hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Watched(tmp_path_factory.mktemp("open"), shared_hub) as proxy:
        yield proxy


@pytest.fixture
def proxy(standing: Watched, hub: TestHub) -> Watched:
    standing.seen.unlink(missing_ok=True)
    return standing


def ports(proxy: Watched) -> list[int]:
    """The admin listener, the proxy itself, another server of this machine, and what is usual."""
    return [int(proxy.admin.rpartition(":")[2]), proxy.port, proxy.hub.port, 443, 80, 22]


def by_connect(proxy: Watched, host: str, port: int) -> int:
    with opened(proxy) as plain:
        return connect(plain, f"{host}:{port}".encode())


def by_url(proxy: Watched, host: str, port: int) -> int:
    at = f"{host}:{port}".encode()
    with opened(proxy) as plain:
        plain.sendall(b"GET http://%b/metrics HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (at, at))
        return (statuses(heard(plain)) or [0])[0]


@pytest.mark.parametrize("host", [*ADDRESSES, *NAMES])
def test_no_way_to_a_place_that_is_not_public(proxy: Watched, host: str) -> None:
    told = {(ask.__name__, port): ask(proxy, host, port) for ask in (by_connect, by_url) for port in ports(proxy)}
    ours = host.endswith((".hf.co", ".modelscope.cn"))  # a hub's name is answered here, whatever it leads to
    for (_, port), status in told.items():
        assert status in ((200, 403, 421, 502, 504, 308, 301) if ours and port in (80, 443) else (400, 403, 502)), told
    assert proxy.strange == []


@pytest.mark.parametrize("host", NO_HOST)
def test_what_is_no_host_name_is_no_place(proxy: Watched, host: str) -> None:
    for port in (80, 443, ports(proxy)[0]):
        assert by_connect(proxy, host, port) == 400
        assert by_url(proxy, host, port) in (400, 421)
    assert proxy.told_to("dial") == [] and proxy.told_to("name") == []


@pytest.mark.parametrize(
    "target",
    [
        ":443",
        "huggingface.co",
        "huggingface.co:",
        "huggingface.co:0",
        "huggingface.co:65536",
        "huggingface.co:+443",
        "huggingface.co:0x1bb",
        "huggingface.co:443:443",
        "huggingface.co: 443",
        "http://127.0.0.1/",
        "/",
    ],
)
def test_what_is_no_port(proxy: Watched, target: str) -> None:
    with opened(proxy) as plain:
        assert connect(plain, target.encode()) == 400
    assert proxy.told_to("dial") == []


@pytest.mark.parametrize("host", ["HUGGINGFACE.CO", "huggingface.co.", "HuggingFace.Co."])
def test_a_hub_is_itself_however_it_is_spelled(proxy: Watched, host: str) -> None:
    """And no tunnel past the cache."""
    with opened(proxy) as plain:
        assert connect(plain, f"{host}:443".encode()) == 200
    with tunnel(proxy, host, sni="huggingface.co") as stream:
        stream.sendall(f"GET /api/models/acme/tiny HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert b"hubgate" in heard(stream)
    assert proxy.strange == []


@pytest.mark.parametrize("ask", [by_connect, by_url])
def test_what_was_checked_is_what_is_dialled(proxy: Watched, ask: Any) -> None:
    """A name that is public when it is looked at, and this machine when it is looked at again."""
    port = ports(proxy)[0]
    for times, name in enumerate((MIXED, REBINDS[0]), 1):
        assert ask(proxy, name, port) == 502
        assert [name] in proxy.told_to("name") and len(proxy.told_to("name")) == times, "asked once for each request"
        assert len(proxy.told_to("dial")) <= times
    assert ask(proxy, REBINDS[0], port) == 502
    assert {host for host, _ in proxy.strange} <= {PUBLIC}


def test_the_admin_listener_is_no_target_even_where_the_operator_maps_all(hub: TestHub, tmp_path: Path) -> None:
    """`connect_to` for hubs only leaves the rest as it was; and a tunnel is no way round."""
    with Watched(tmp_path, hub, tunnel="deny") as proxy:
        for host in ("127.0.0.1", "localhost", "admin.example", "huggingface.co.", "[::1]"):
            for port in ports(proxy)[:3]:
                assert by_connect(proxy, host, port) in (403, 502) and by_url(proxy, host, port) in (403, 404, 502, 421)
        assert proxy.told_to("dial") == []


# -- redirects ------------------------------------------------------------------------------------------------------

AWAY = [
    "http://cdn-lfs-us-1.hf.co/x",
    "https://127.0.0.1:{admin}/metrics",
    "https://[::1]:{admin}/metrics",
    "https://localhost:{admin}/metrics",
    "https://10.0.0.8/x",
    "https://private.example/x",
    "https://meta.example/latest",
    "https://inside.hf.co/x",
    "https://inside.modelscope.cn/x",
    "https://rebinds.hf.co/x",
    "https://huggingface.co.example/x",
    "https://hf.co.private.example/x",
    "https://nothuggingface.co/x",
    "https://huggingface.co@127.0.0.1/x",
    "https://user:word@cdn-lfs-us-1.hf.co/x",
    "https://cdn-lfs-us-1.hf.co:{admin}/x",
    "https://cdn-lfs-us-1.hf.co:22/x",
    "https://169.254.169.254/latest",
    "https://0x7f.1:{admin}/",
    "//127.0.0.1:{admin}/metrics",
    "ftp://cdn-lfs-us-1.hf.co/x",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{admin}/",
    "https:///x",
    "https://[::1/x",
    "https://h\u00fcggingface.co/x",
    "",
]


SENT = [
    *((FILE, away, (302, 307)[n % 2]) for n, away in enumerate(AWAY)),
    *((LARGE, away, (307, 302)[n % 2]) for n, away in enumerate(AWAY[:8])),
]


@pytest.mark.parametrize(("asked", "away", "status"), SENT)
def test_where_a_hub_must_not_send_us(proxy: Watched, hub: TestHub, asked: str, away: str, status: int) -> None:
    target = away.format(admin=ports(proxy)[0])
    sends = (
        {"host": "cdn-lfs*"} if asked == FILE else {"host": "*modelscope.cn", "path": "/api/v1/models/acme/tiny/repo"}
    )
    hub.knob(**sends, status=status, headers={"Location": target}, body="elsewhere")
    told = proxy.ask(asked, headers=TOKEN)
    link = told["Location"]
    if link is not None:  # the client follows by itself, and comes back
        told = proxy.ask(link, headers={"Range": "bytes=0-9"}) if link.startswith("https://cdn-lfs") else told
    assert told.status >= 300 and b"hubgate_" not in told.body
    assert {host for host, _ in proxy.strange} <= ({PUBLIC} if "rebinds" in away else set())
    assert hub.requests(**sends), "we were sent there"
    for record in hub.requests(host="cdn*"):
        assert not record.headers.keys() & {"authorization", "cookie", "x-xet-token"}


def test_redirects_that_never_end(proxy: Watched, hub: TestHub) -> None:
    for n in range(12):
        hub.knob(host="cdn-lfs-us*", path="*" if n == 0 else f"/hop{n}", redirect=f"{CDN}/hop{n + 1}")
    assert proxy.ask(FILE).status >= 400
    assert 1 < len(hub.requests(host="cdn*")) <= 6, "five hops, whoever asks"
    hub.unknob()
    hub.clear()
    hub.knob(host="cdn-lfs-us*", redirect="self")
    assert proxy.ask(FILE).status >= 400
    assert 1 <= len(hub.requests(host="cdn*")) <= 6
    assert proxy.strange == []


def test_a_redirect_between_hosts_of_the_hub_is_followed_without_a_token(proxy: Watched, hub: TestHub) -> None:
    source = hub.repo("acme/tiny").file("old.bin").source
    answer = proxy.ask(FILE, headers=TOKEN)
    assert answer.status == 200 and answer.body == bytes(source.read(0, source.size))
    assert hub.requests(host="cdn-lfs*")
    assert all("authorization" not in record.headers for record in hub.requests(host="cdn-lfs*"))
    assert proxy.strange == []


def test_a_client_from_elsewhere_is_closed_before_a_byte_is_read(hub: TestHub, tmp_path: Path) -> None:
    config = configuration(
        tmp_path / "hubgate", hub, clients=["10.0.0.0/8"], admin={"listen": f"127.0.0.1:{free_port()}"}
    )
    with Hubgate(config) as proxy:
        with opened(proxy) as plain:
            assert heard(plain) == b"", "without a word, though nothing was asked"
        assert proxy.stop() == 0
        assert "not in `clients`" in proxy.told
        assert not Path(proxy.settings["access_log"]).exists() or proxy.logged() == []
    assert hub.requests() == []
