"""Many clients in one process: they read a file to its end and digest it, or stop after its first bytes and stay.

    python -m tests.bench.readers '{"port":..., "connect":..., "ca":..., "path":..., "clients":..., "stall": false}'

Prints one line of JSON, a list of {"first", "answered", "sha256"} (seconds from the common start, and from the client's
own request, to the first byte of the body); those who stall stay connected until standard input ends.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .process import end
from .rig import ROOT, Side
from .wire import dial, first_bytes, request, trust

type Found = list[dict[str, Any]]


@contextmanager
def crowd(side: Side, path: str, clients: int, *, stall: bool) -> Iterator[Callable[[], Found]]:
    """Starts them; what is yielded waits for what they tell. Ends them."""
    spec = {
        "port": side.port,
        "connect": side.connect,
        "ca": str(side.ca),
        "path": path,
        "clients": clients,
        "stall": stall,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.readers", json.dumps(spec)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    output = process.stdout

    def told() -> Found:
        line = output.readline()
        if not line:
            raise RuntimeError("the clients failed")
        found: Found = json.loads(line)
        return found

    try:
        yield told
    finally:
        end(process)
        process.stdin.close()
        process.stdout.close()


def run(spec: dict[str, Any]) -> None:
    sys.setswitchinterval(0.0005)
    context = trust(spec["ca"])
    gate = threading.Barrier(spec["clients"])
    found: Found = []
    faults: list[BaseException] = []
    open_: list[socket.socket] = []

    def one() -> None:
        try:
            gate.wait(30)
            started = time.perf_counter()
            tls = dial(spec["port"], spec["connect"], context)
            asked = time.perf_counter()
            tls.sendall(request(spec["path"]))
            _, body, length = first_bytes(tls)
            now = time.perf_counter()
            open_.append(tls)
            digest = "" if spec["stall"] else _digest(tls, body, length)
            found.append({"first": now - started, "answered": now - asked, "sha256": digest})
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=one) for _ in range(spec["clients"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    if faults:
        raise faults[0]
    print(json.dumps(found), flush=True)
    if spec["stall"]:
        sys.stdin.read()


def _digest(tls: ssl.SSLSocket, body: bytes, length: int) -> str:
    digest = hashlib.sha256(body)
    left = length - len(body)
    buffer = memoryview(bytearray(256 * 1024))
    while left:
        count = tls.recv_into(buffer)
        if not count:
            raise ConnectionError(f"cut, {left} bytes short")
        digest.update(buffer[:count])
        left -= count
    return digest.hexdigest()


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
