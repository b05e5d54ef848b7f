"""R12: a hub that refuses, throttles or fails, redirects without end, or to where nobody may be sent.

What the hub decides is passed on as it said it, and never kept: as soon as it says otherwise, so do we. A wait that it
asks for is kept. No redirect leads the proxy to an address of this network.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from itertools import product
from urllib.parse import urlsplit

import pytest

from tests.faults.asking import Ask, Placed, chance, crowd, settled, take
from tests.faults.test_cuts import made
from tests.hub import Repo, TestHub
from tests.hub.exchange import Answer
from tests.hub.repo import Hub
from tests.processes import Hubgate

H, M = "https://huggingface.co", "https://www.modelscope.cn"
WORDS = json.dumps({"error": "by a test", "Code": 10010205001, "Message": "by a test", "Success": False})
FIELDS = {"X-Error-Code": "ByATest", "X-Error-Message": "by a test"}
KINDS = {
    "file": f"{H}/acme/{{}}/resolve/main/config.json",
    "large": f"{H}/acme/{{}}/resolve/main/w.bin",
    "api": f"{H}/api/models/acme/{{}}/tree/main",
    "raw": f"{H}/acme/{{}}/raw/main/config.json",
    "secret": f"{H}/api/models/acme/{{}}/xet-read-token/main",
    "modelscope": f"{M}/models/acme/{{}}/resolve/master/config.json",
    "modelscope api": f"{M}/api/v1/models/acme/{{}}/revisions",
    "plain": "https://plain.example/{}",
}
REFUSALS, FAILURES = (400, 401, 403, 404, 410, 416, 451), (429, 500, 502, 503, 504)


@pytest.fixture
def fresh(hub: TestHub) -> Iterator[str]:
    """A name that nobody has asked for, at both hubs, with the same files."""
    name = f"n{time.monotonic_ns()}"
    sites: tuple[Hub, ...] = ("huggingface", "modelscope")
    for site in sites:
        files: dict[str, str | bytes] = {"config.json": '{"a": 1}', "w.bin": b"w" * 200_000}
        hub.add(Repo(f"acme/{name}", files=files, storage={"w.bin": "lfs"}, hub=site))
    hub.on("/*", lambda ex: Answer(200, [("Cache-Control", "max-age=60"), ("ETag", '"p"')], b"plain"))
    yield name


@pytest.mark.fault("R12", tries=16)
@pytest.mark.parametrize("status", [*REFUSALS, *FAILURES])
def test_what_the_hub_answers_is_passed_on_and_not_kept(hub: TestHub, hasty: Hubgate, fresh: str, status: int) -> None:
    hub.knob(status=status, body=WORDS, headers=FIELDS)
    asks = [Ask(url.format(fresh), method) for url, method in product(KINDS.values(), ("GET", "HEAD"))]
    for asked, got in zip(asks, crowd(hasty, asks), strict=True):
        assert got.whole and got.status == status, (asked, str(got))
        words = got.fields.get("x-error-message") or ""
        ours = status in FAILURES and ("answered" in words or "wait" in words)
        assert words == "by a test" or ours, (asked, str(got))
        assert status in FAILURES or asked.method == "HEAD" or got.body == WORDS.encode(), (asked, str(got))
    hub.unknob()
    time.sleep(1.1 if status == 429 else 0)  # what a 429 without a word asks for
    for asked, got in zip(asks, crowd(hasty, asks), strict=True):
        assert got.whole and got.status in (200, 307, 302) and "by a test" not in str(got), (asked, str(got))
    settled(hasty)
    shown = hasty.config.parent
    found = [file for file in (shown / "cache").rglob("*") if file.is_file() and b"by a test" in file.read_bytes()]
    assert not found


@pytest.mark.fault("R12", tries=2)
@pytest.mark.parametrize("status", [401, 403, 404, 410, 416, 503])
def test_a_refusal_where_the_bytes_are_is_told_and_not_kept(hub: TestHub, hasty: Hubgate, status: int) -> None:
    rnd = chance(f"bytes {status}")
    files = [made(hub, place, f"refused-{status}-{place}", rnd) for place in ("lfs", "modelscope")]
    for file in files:
        hub.knob(host=file.host, path=file.path, status=status, body="<Error>AccessDenied</Error>")
    for got in crowd(hasty, [Ask(file.url) for file in files]):
        assert got.refused and got.status in (status, 502) and f"{status}" in got.fields["x-error-message"], got
    hub.unknob()
    assert all(take(hasty, file.url).right(file.source) for file in files)


@pytest.mark.fault("R12", tries=3)
def test_a_wait_is_passed_on_and_kept(hub: TestHub, hasty: Hubgate, fresh: str) -> None:
    """By Retry-After, and by RateLimit alone, at 429 and with the last answer that was allowed."""
    later = {"RateLimit": '"api";r=0;t=8'}
    told: list[tuple[str, dict[str, object], int]] = [
        (f"{H}/api/models/acme/{fresh}?n=", {"status": 429, "retry_after": 8}, 429),
        (f"{M}/api/v1/models/acme/{fresh}/revisions?n=", {"status": 429, "headers": later}, 429),
        (f"https://plain.example/{fresh}?n=", {"headers": later}, 200),
    ]
    for url, effect, status in told:  # a wait is one host's
        hub.knob(host="*" + urlsplit(url).netloc.removeprefix("www."), times=1, **effect)
        assert take(hasty, f"{url}1").status == status
        hub.clear()
        waiting = take(hasty, f"{url}2")
        assert waiting.status == 429 and 1 <= int(waiting.fields["retry-after"]) <= 8, waiting
        assert "asked to wait" in waiting.fields["x-error-message"] and not hub.requests()
    time.sleep(8.1)
    for url, *_ in told:
        hub.clear()
        assert take(hasty, f"{url}2").status == 200 and hub.requests()


# -- redirects --------------------------------------------------------------------------------------------------------


@pytest.fixture
def private() -> Iterator[tuple[int, list[bytes]]]:
    """A port of this machine at which nobody may knock, and what was said there."""
    heard = list[bytes]()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hear() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    heard.append(b"connected")

        threading.Thread(target=hear, daemon=True).start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)


TARGETS = (
    "http://127.0.0.1:{}/b", "https://127.0.0.1:{}/b", "https://localhost:{}/b", "https://[::1]:{}/b",
    "https://[::ffff:127.0.0.1]:{}/b", "https://2130706433:{}/b", "https://127.1:{}/b", "https://169.254.169.254/latest",
    "http://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/b", "https://[64:ff9b::7f00:1]:{}/b",
    "https://100.64.0.1/b", "https://cdn-lfs.hf.co.evil.example/b", "https://cdn-lfs.hf.co@127.0.0.1:{}/b",
    "file:///etc/passwd", "gopher://127.0.0.1:{}/b", "//127.0.0.1:{}/b", "https://cdn-lfs.hf.co:{}/b",
)  # fmt: skip


@pytest.mark.fault("R12", tries=54)
def test_a_redirect_leads_to_no_address_of_this_network(
    hub: TestHub, hasty: Hubgate, private: tuple[int, list[bytes]]
) -> None:
    """Neither the one of a file, nor that of its bytes, nor one that only the fill comes to see."""
    port, heard = private
    rnd, files = chance("redirects"), list[tuple[str, Placed]]()
    for target, where in product(TARGETS, ("file", "bytes", "later")):
        name = f"redirect-{len(files)}"
        file = made(hub, "lfs", name, rnd)
        host, path = ("huggingface.co", f"/cuts/{name}/*") if where == "file" else (file.host, file.path)
        hub.knob(host=host, path=path, skip=int(where == "later"), redirect=target.format(port))
        files.append((f"{target} {where}", file))
    for (what, _), got in zip(files, crowd(hasty, [Ask(file.url) for _, file in files]), strict=True):
        assert got.cut or got.status != 200, (what, str(got))
        assert got.refused or got.cut or "x-repo-commit" not in got.fields, (what, str(got))
    hub.unknob()
    for what, file in files[::9]:
        assert take(hasty, file.url).right(file.source), what
    assert not heard and not hub.requests(host="*evil*")


@pytest.mark.fault("R12", tries=2)
@pytest.mark.parametrize("where", ["huggingface.co", "cdn-lfs*"])
def test_a_redirect_without_end_ends(hub: TestHub, hasty: Hubgate, where: str) -> None:
    file = made(hub, "lfs", f"loop-{where.strip('*')}", chance(f"loop {where}"))
    hub.knob(host=where, redirect="self")
    got = take(hasty, file.url)
    assert got.refused or got.status == 302, got
    assert got.seconds < 20 and len(hub.requests()) < 30
    hub.unknob()
    assert take(hasty, file.url).right(file.source)
