"""No descriptor is left: clients wait, health tells, the log says it once, and it is over when there are some again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy_addon.edge.scarce import EVERY, Scarce
from tests.faults.test_scrubber import until
from tests.processes import Hubgate


def test_who_cannot_be_let_in_waits(start: Callable[..., Hubgate]) -> None:
    proxy = start()

    def sockets() -> int:
        count = 0
        for fd in Path(f"/proc/{proxy.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += os.readlink(fd).startswith("socket:")
        return count

    admin, _, port = proxy.settings["admin"]["listen"].partition(":")
    few = sockets()
    asked = socket.create_connection((admin, int(port)), 60)  # while there is still a place for it
    until(lambda: sockets() > few, "a connection is let in")
    before = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (len([*Path(f"/proc/{proxy.pid}/fd").iterdir()]), before[1]))
    waiting = [socket.create_connection(("127.0.0.1", proxy.port), 30) for _ in range(20)]
    line = proxy.wait_for("a client has to wait")
    assert "Too many open files" in line and "ulimit -n" in line
    asked.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    told = b""
    while data := asked.recv(65536):
        told += data
    assert told.startswith(b"HTTP/1.1 503") and b"clients have to wait to be let in" in told
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, before)
    for client in waiting:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 ")
        client.close()
    asked.close()
    assert proxy.stop() == 0
    assert "Traceback" not in proxy.told and proxy.told.count("a client has to wait") < 5


async def test_it_is_told_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now, loop = [0.0], asyncio.get_running_loop()
    scarce = Scarce(lambda: now[0])
    full = {
        "message": "socket.accept() out of system resource",
        "exception": OSError(errno.EMFILE, "Too many open files"),
    }
    assert scarce.reasons == ()
    for _ in range(100):
        scarce.heard(loop, full)
    assert len(caplog.records) == 1 and len(scarce.reasons) == 1
    now[0] = EVERY
    assert scarce.reasons == ()
    scarce.heard(loop, full)
    assert len(caplog.records) == 2
    scarce.heard(loop, {"message": "Task exception was never retrieved", "exception": ValueError("x")})
    assert "never retrieved" in caplog.text, "all else is told as ever"


async def test_a_listener_that_was_closed_while_it_waited_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio listens again after a second, whether or not the socket is still there."""
    loop, told = asyncio.get_running_loop(), list[dict[str, object]]()
    scarce = Scarce()
    listening, over = socket.create_server(("127.0.0.1", 0)), asyncio.Event()

    def heard(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        told.append(context)
        scarce.heard(loop, context)
        over.set()

    loop.set_exception_handler(heard)
    listening.close()
    loop.call_soon(loop._start_serving, asyncio.Protocol, listening)  # type: ignore[attr-defined]
    await asyncio.wait_for(over.wait(), 60)
    assert len(told) == 1 and not caplog.records and not scarce.reasons
