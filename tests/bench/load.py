"""A load generator in its own process: a few keep-alive connections, each with one request under way.

    python -O -m tests.bench.load '{"port":..., "connect":..., "ca":..., "method":..., "path":..., "body":...,
                                    "connections": 16, "seconds": 5}'

Says "ready" when all connections are up and warm, begins at a line on its standard input, and prints one line of JSON:
{"requests", "seconds", "p50", "p99"} (milliseconds). Every status, length and body is checked. One thread: it takes a
core for itself at most, and does about 25 000 requests a second.
"""

from __future__ import annotations

import gc
import json
import select
import ssl
import sys
import time
from statistics import quantiles
from typing import Any

from .wire import dial, request, trust


class Wrong(Exception):
    """A reply that is not the one expected."""


def take(tls: ssl.SSLSocket, body: bytes | None) -> None:
    """Read one whole reply; `body` None is for HEAD."""
    data = tls.recv(65536)
    while data and (at := data.find(b"\r\n\r\n")) < 0:
        data += tls.recv(65536)
    if not data.startswith(b"HTTP/1.1 200"):
        raise Wrong(repr(data[:300]))
    if body is None:
        if at + 4 != len(data):
            raise Wrong("a HEAD with a body")
        return
    while len(data) - at - 4 < len(body):
        if not (more := tls.recv(65536)):
            raise Wrong("the reply is cut")
        data += more
    if not data.endswith(body) or len(data) - at - 4 != len(body):
        raise Wrong("another body")


def run(spec: dict[str, Any]) -> None:
    context = trust(spec["ca"])
    asked = request(spec["path"], spec["method"])
    body = None if spec["method"] == "HEAD" else spec["body"].encode()
    poll = select.epoll()
    peers: dict[int, ssl.SSLSocket] = {}
    for _ in range(spec["connections"]):
        tls = dial(spec["port"], spec["connect"], context)
        for _ in range(5):
            tls.sendall(asked)
            take(tls, body)
        peers[tls.fileno()] = tls
        poll.register(tls, select.EPOLLIN)
    print("ready", flush=True)
    sys.stdin.readline()
    gc.disable()
    clock, waits, since = time.perf_counter, list[float](), dict[int, float]()
    started = clock()
    until = started + spec["seconds"]
    for number, tls in peers.items():
        since[number] = clock()
        tls.sendall(asked)
    now = started
    while now < until:
        if not (speaking := poll.poll(5)):
            raise Wrong("nothing came for five seconds")
        for number, _ in speaking:
            tls = peers[number]
            take(tls, body)
            now = clock()
            waits.append(now - since[number])
            since[number] = now
            tls.sendall(asked)
    cuts = quantiles(waits, n=100)
    found = {"requests": len(waits), "seconds": now - started, "p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
