"""Clients as plain as can be, many at once, and what each got: whether its reply came to a proper end, and which bytes.

A reply is *whole* when it ended as its own framing says; a short body with a proper end is what no proxy may send.
`tries` and `seed` come from the environment, so that a soak can raise the one and a failure be repeated with the other.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tests.hub import Repo, TestHub
from tests.hub.content import Source
from tests.processes import Hubgate, open_tunnel

KEPT = 64 * 1024  # bytes of a body that are kept to be looked at
CHUNK = 256 * 1024


def many(usual: int) -> int:
    """How many tries: `HUBGATE_TRIES` times as many as usual."""
    return usual * int(os.environ.get("HUBGATE_TRIES", "1"))


def chance(name: str) -> random.Random:
    """Made from `HUBGATE_SEED`, which is printed."""
    seed = f"{name}:{os.environ.get('HUBGATE_SEED', '1')}"
    print("seed", seed)
    return random.Random(seed)


@dataclass(frozen=True)
class Took:
    status: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    size: int = 0
    sha256: str = ""
    body: bytes = b""  # the first of it
    whole: bool = False
    seconds: float = 0.0
    fault: str = ""

    def right(self, source: Source) -> bool:
        return self.whole and self.status == 200 and (self.size, self.sha256) == (source.size, source.sha256)

    def right_as(self, other: Took) -> bool:
        return self.whole and (self.status, self.sha256) == (other.status, other.sha256)

    @property
    def refused(self) -> bool:
        """An error in so many words, in place of a body."""
        return self.whole and self.status >= 400 and "x-error-message" in self.fields

    @property
    def cut(self) -> bool:
        return not self.whole

    def __str__(self) -> str:
        told = self.body[:200] if self.status >= 400 else b""
        return f"{self.status} {self.size} bytes, whole={self.whole} {self.fault} {told!r} {self.fields}"


@dataclass(frozen=True)
class Ask:
    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    pace: float = 0.0  # seconds to rest after each chunk
    leave: int | None = None  # go away after so many bytes
    begun: Callable[[], object] | None = None  # called when the head is there
    timeout: float = 60.0


def take(proxy: Hubgate, url: str, **more: object) -> Took:
    return _take(proxy, Ask(url, **more))  # type: ignore[arg-type]


def crowd(proxy: Hubgate, asks: Sequence[Ask], done: Callable[[], object] = lambda: None) -> list[Took]:
    """All at once, a connection each. `done` is called as each of them is."""

    def one(ask: Ask) -> Took:
        try:
            return _take(proxy, ask)
        finally:
            done()

    return together([partial(one, ask) for ask in asks])


def together[T](calls: Sequence[Callable[[], T]]) -> list[T]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [running.result() for running in [threads.submit(call) for call in calls]]


def _take(proxy: Hubgate, ask: Ask) -> Took:
    parts, started = urlsplit(ask.url), time.perf_counter()
    connection = open_tunnel(proxy.port, proxy.ca / "ca.pem", parts.hostname or "", parts.port or 443)
    connection.timeout = ask.timeout
    status, fields, size, kept, whole, fault = 0, dict[str, str](), 0, b"", False, ""
    digest = hashlib.sha256()
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(ask.method, target, headers=dict(ask.headers))
        reply = connection.getresponse()
        status, fields = reply.status, {name.lower(): value for name, value in reply.getheaders()}
        if ask.begun:
            ask.begun()
        buffer = memoryview(bytearray(CHUNK))
        while count := reply.readinto(buffer[: CHUNK if ask.leave is None else min(CHUNK, ask.leave - size)]):
            size += count
            digest.update(buffer[:count])
            if len(kept) < KEPT:
                kept += buffer[: min(count, KEPT - len(kept))]
            if ask.leave is not None and size >= ask.leave:
                break
            if ask.pace:
                time.sleep(ask.pace)
        whole = reply.isclosed() and not reply.length  # http.client ends without a word where a length is not reached
    except (http.client.HTTPException, OSError) as cut:
        fault = f"{type(cut).__name__}: {cut}"
    finally:
        connection.close()
    return Took(status, fields, size, digest.hexdigest(), kept, whole, time.perf_counter() - started, fault)


def curl(proxy: Hubgate, folder: Path, url: str, *options: str) -> Took:
    """The same by curl, which knows HTTP/2 and judges by itself whether a reply is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    file, head = folder / "body", folder / "head"
    file.write_bytes(b"")
    started = time.perf_counter()
    command = ["curl", "-qsS", "-m", "60", "-x", proxy.url, "--cacert", str(proxy.ca / "ca.pem"), "-D", str(head)]
    ran = subprocess.run(
        [*command, "-o", str(file), "-w", "%{http_code}", *options, url], capture_output=True, text=True, timeout=90
    )
    body = file.read_bytes()
    blocks = head.read_text("latin-1").strip().split("\r\n\r\n")
    lines = (line.partition(":") for line in blocks[-1].splitlines()[1:])
    fields = {name.lower(): value.strip() for name, _, value in lines}
    shutil.rmtree(folder)
    return Took(
        int(ran.stdout or 0),
        fields,
        len(body),
        hashlib.sha256(body).hexdigest(),
        body[:KEPT],
        ran.returncode == 0,
        time.perf_counter() - started,
        ran.stderr.strip(),
    )


@dataclass(frozen=True)
class Placed:
    """A file at a hub, and what its client asks for."""

    url: str
    source: Source
    digest: str  # what the hub calls it
    host: str  # where its bytes come from
    path: str


def placed(hub: TestHub, repo: Repo, path: str) -> Placed:
    """Adds the repo."""
    file = hub.add(repo).file(path)
    sha256 = file.source.sha256
    url = f"https://huggingface.co/{repo.id}/resolve/main/{path}"
    if repo.hub == "modelscope":
        url = f"https://www.modelscope.cn/models/{repo.id}/resolve/master/{path}"
        at = "cdn-lfs-cn-1.modelscope.cn", f"*{sha256[4:]}"
    elif file.storage == "lfs":
        at = "cdn-lfs*", f"*{sha256}"
    elif file.storage == "xet":
        at = "us.aws.cdn.hf.co", f"*{file.xet}"
    else:
        at = "huggingface.co", f"/api/resolve-cache/models/{repo.id}/*"
    return Placed(url, file.source, file.digest, *at)


def settled(proxy: Hubgate, limit: float = 20.0) -> None:
    """Waits until no fill is under way, as the proxy counts them."""
    end = time.monotonic() + limit
    while fills := proxy.metrics()["hubgate_fills"]:
        if time.monotonic() > end:
            raise TimeoutError(f"{fills:g} fills are still under way")
        time.sleep(0.02)
