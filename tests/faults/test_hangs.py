"""R10: a hub that goes silent: before the head or in it, in the middle of a body, in the TLS handshake, or behind a
name server that never answers; and one that trickles.

Whoever waits is told why after the configured times, 504, or is served by a mirror; all who wait for the same thing are
released together, and nobody else is held up. A body that trickles is no stall: it comes as slowly as it is sent, and
slows down nobody who wants something else.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.asking import Ask, Took, chance, crowd, placed, settled, take, together
from tests.faults.invariants import asked_once
from tests.faults.test_cuts import PLACES, made
from tests.hub import Repo, Synthetic, TestHub
from tests.processes import COMMAND, Hubgate, configuration, to_hub

H = "https://huggingface.co"
TINY = f"{H}/acme/tiny/resolve/main"
SOON = 25.0  # seconds: a few timeouts of two seconds each, on a machine that others use too


def told(got: Took) -> bool:
    words = "did not answer in time", "was out of reach a moment ago", "only trickles"
    return got.refused and got.status == 504 and got.seconds < SOON and any(w.encode() in got.body for w in words)


# -- at the hub -------------------------------------------------------------------------------------------------------


@pytest.mark.fault("R10", tries=4)
def test_silence_before_the_head_is_told_to_all_who_wait(hub: TestHub, hasty: Hubgate) -> None:
    for n, url in enumerate((f"{TINY}/vocab.txt", f"{H}/api/models/acme/tiny?silent", f"{H}/api/whoami-v2?silent",
                             "https://www.modelscope.cn/models/acme/tiny/resolve/master/old.bin")):  # fmt: skip
        knob = hub.knob(host="*", hold=f"silent-{n}")
        got = crowd(hasty, [Ask(url)] * 20)
        assert all(told(took) for took in got), str(got[0])
        hub.unknob(knob)
        hub.release(f"silent-{n}")
        assert take(hasty, f"{TINY}/config.json").status == 200


@pytest.mark.fault("R10", tries=4)
def test_silence_in_the_middle_is_ended_and_the_rest_is_fetched(hub: TestHub, hasty: Hubgate) -> None:
    rnd = chance("stalls")
    files = [made(hub, place, f"stall-{place.split()[0]}", rnd) for place in PLACES]
    for file in files:
        hub.knob(host=file.host, path=file.path, method="GET", stall_after=file.source.size // 3, times=1)
    got = crowd(hasty, [Ask(file.url) for file in files for _ in range(5)])
    for n, took in enumerate(got):
        assert took.right(files[n // 5].source) and took.seconds < SOON, took
    settled(hasty)
    for file in files:
        asked_once(hub, file.source, again=file.source.size // 3 + 1)


@pytest.mark.fault("R10", tries=2)
def test_silence_again_and_again_is_an_end_and_no_wait_for_ever(hub: TestHub, hasty: Hubgate) -> None:
    file = made(hub, "lfs", "stall-always", chance("always"))
    hub.knob(host=file.host, stall_after=0)
    got = crowd(hasty, [Ask(file.url)] * 5)
    assert all(took.refused and took.status == 504 and took.seconds < 2 * SOON for took in got), str(got[0])
    hub.unknob()
    assert take(hasty, file.url).right(file.source)


@pytest.mark.fault("R10", tries=4)
def test_a_trickle_is_given_up_for_another_try(hub: TestHub, hasty: Hubgate) -> None:
    """Of files and documents: less than a kilobyte a second, for as long as a stall may take, is a stall."""
    rnd = chance("trickles")
    files = [made(hub, place, f"trickle-{place.split()[0]}", rnd) for place in PLACES if place != "git"]
    for file in files:
        hub.knob(host=file.host, path=file.path, method="GET", bandwidth=800, sip=16, times=3)
    hub.add(Repo("hangs/many", files={f"{n}.txt": str(n) for n in range(400)}))
    hub.knob(path="/api/models/hangs/many", bandwidth=800, sip=16)
    got = crowd(hasty, [*(Ask(file.url) for file in files), Ask(f"{H}/api/models/hangs/many")])
    for file, took in zip(files, got, strict=False):
        assert took.right(file.source) and took.seconds < SOON, took
    assert told(got[-1]) and b"only trickles" in got[-1].body, got[-1]


@pytest.mark.fault("R10")
def test_a_slow_hub_is_no_silent_one_and_holds_up_nobody(hub: TestHub, hasty: Hubgate) -> None:
    slow, quick = (made(hub, place, name, chance(name)) for place, name in (("git", "slow"), ("lfs", "quick")))
    hub.knob(host=slow.host, path=slow.path, bandwidth=20_000)

    def after() -> Took:
        hub.wait(1, host=slow.host, path=slow.path)
        return take(hasty, quick.url)

    slowly, quickly = together([lambda: take(hasty, slow.url), after])
    assert slowly.right(slow.source) and slowly.seconds > 1.5
    assert quickly.right(quick.source) and quickly.seconds < SOON


# -- on the way to it -------------------------------------------------------------------------------------------------


@contextmanager
def listening(tls: ssl.SSLContext | None = None, drip: bytes = b"", every: float = 0.0) -> Iterator[int]:
    """A port that accepts and says nothing at all; with `tls` it does that after the handshake, or drips a head."""
    stopped = threading.Event()

    def serve(plain: socket.socket) -> None:
        with plain:
            try:
                if tls is None:
                    stopped.wait(60)
                    return
                with tls.wrap_socket(plain, server_side=True) as stream:
                    for at in range(len(drip)):
                        stream.sendall(drip[at : at + 1])
                        if stopped.wait(every):
                            return
                    stopped.wait(60)
            except OSError:
                return

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(plain,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopped.set()
            listener.shutdown(socket.SHUT_RDWR)


def to(hub: TestHub, port: int, *hosts: str, **more: Any) -> dict[str, Any]:
    """Where `hosts` are dialled at that port, and all else at the hub."""
    upstream = to_hub(hub, connect_timeout="1s", stall_timeout="1s", **more)
    upstream["connect_to"] = {f"{host}:443": f"127.0.0.1:{port}" for host in hosts} | upstream["connect_to"]
    return upstream


MIRRORED = {"huggingface": {"mirrors": ["https://mirror.example"]}, "others": ["plain.example"]}
DRIP = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Slow: " + b"a" * 3600


@pytest.mark.fault("R10", tries=10)
@pytest.mark.parametrize("how", ["in the handshake", "after it", "in the head"])
def test_a_place_that_says_nothing(hub: TestHub, tmp_path: Path, how: str) -> None:
    """It is told; and where it is a mirror, the next place stands in."""
    tls = None if how == "in the handshake" else hub.authority.server_context()
    with listening(tls, DRIP if how == "in the head" else b"", 0.2) as port:
        silent = to(hub, port, "mirror.example", "modelscope.cn", "www.modelscope.cn", "plain.example")
        with Hubgate(configuration(tmp_path, hub, upstream=silent, hubs=MIRRORED)) as proxy:
            urls = [
                "https://www.modelscope.cn/models/acme/tiny/resolve/master/old.bin",
                "https://www.modelscope.cn/api/v1/models/acme/tiny",
                "https://plain.example/x",
            ]
            waiting = [Ask(url) for url in urls for _ in range(3)]
            got = crowd(
                proxy, [*waiting, Ask(f"{TINY}/config.json"), Ask(f"{TINY}/old.bin"), Ask(f"{H}/api/models/acme/tiny")]
            )
            for took in got[:9]:
                assert told(took), took
            for took in got[9:]:
                assert took.status == 200 and took.whole and took.seconds < SOON, took
            assert got[10].right(hub.repo("acme/tiny").file("old.bin").source)
            settled(proxy)
            assert proxy.stop() == 0 and "Traceback" not in proxy.told, proxy.told


BLACK_HOLE = """
import socket, sys, time
known = socket.getaddrinfo
def getaddrinfo(host, *more, **named):
    if isinstance(host, str) and host.endswith(("modelscope.cn", "hole.example", "hole.test")):
        time.sleep(3600 if host.endswith("hole.test") else 50)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return known(host, *more, **named)
socket.getaddrinfo = getaddrinfo
sys.argv = sys.argv[1:]
from proxy_addon.cli.main import main
sys.exit(main())
"""


@pytest.mark.fault("R10", tries=41)
def test_a_name_server_that_never_answers(hub: TestHub, tmp_path: Path) -> None:
    """Who asks for such a name is told in time; who asks for another one does not wait behind it, nor does the end."""
    upstream = to_hub(hub, connect_timeout="1s", stall_timeout="2s")
    reached = ("huggingface.co", "cdn-lfs-us-1.hf.co")
    upstream["connect_to"] = {f"{host}:443": f"127.0.0.1:{hub.port}" for host in reached}
    config = configuration(tmp_path, hub, upstream=upstream, hubs={"others": ["*.hole.example"]})
    source = Synthetic(9_000_000, 77)
    file = placed(hub, Repo("hangs/dns", files={"b.bin": source}, storage={"b.bin": "lfs"}), "b.bin")
    held = [Ask(f"https://www.modelscope.cn/models/acme/tiny/resolve/master/{n}.bin") for n in range(20)]
    held += [Ask(f"https://{n}.hole.example/") for n in range(20)]
    with Hubgate(config, command=[sys.executable, "-c", BLACK_HOLE, COMMAND[-1]]) as proxy:
        asked = threading.Barrier(2)

        def meanwhile() -> list[Took]:
            asked.wait(60)
            return crowd(proxy, [Ask(file.url)] * 3)

        lost, found = together([lambda: (asked.wait(60), crowd(proxy, held))[1], meanwhile])
        assert all(told(took) for took in lost), [*map(str, lost)]
        assert all(took.right(source) and took.seconds < SOON for took in found), [*map(str, found)]
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        client.request("CONNECT", "tunnel.hole.test:443", headers={"Host": "tunnel.hole.test:443"})
        said = client.getresponse()
        assert said.status == 502 and b"told in time" in said.read(), "not what the name server says at last"
        client.close()
        assert "Traceback" not in proxy.told, proxy.told
        assert proxy.stop() == 0  # which would wait for its name server an hour
    hub.stop()
    with Hubgate(config) as again:
        assert crowd(again, [Ask(file.url)])[0].right(source), "what was written is kept"
