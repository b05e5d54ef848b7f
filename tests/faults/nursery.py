"""Where processes of hubgate come from quickly: a process that has imported all of it, and forks.

What is born is hubgate with a process of its own, run by the same arguments from the same entry; only its imports were
made before. So a test that kills often need not wait for them each time. The nursery dies with who made it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.processes import ROOT, Hubgate, Process

WARM = ("proxy_addon.serve", "proxy_addon.cli.serve", "mitmproxy.proxy.server", "tests.faults.failpoint")


class Born:
    """What `subprocess.Popen` offers, of a process that the nursery has forked."""

    def __init__(self, pid: int, stdout: IO[str]) -> None:
        self.pid, self.stdout = pid, stdout
        self.returncode: int | None = None
        self.over = threading.Event()

    def ended(self, status: int) -> None:
        self.returncode = os.waitstatus_to_exitcode(status)
        self.over.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self.over.wait(timeout):
            raise subprocess.TimeoutExpired("hubgate", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # ended, and nobody has told us yet
            if self.returncode is None:
                os.kill(self.pid, number)


class Nursery:
    def __init__(self) -> None:
        popen = self.popen

        class OfIts(Process):
            def spawned(self, command: Sequence[str], env: Mapping[str, str]) -> Any:
                return popen(command, env)

        class Served(OfIts, Hubgate): ...

        self._run, self._served = OfIts, Served
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-O", "-m", "tests.faults.nursery"], cwd=ROOT, stdin=theirs.fileno()
            )
        if not self._link.recv(16):
            raise RuntimeError("the nursery did not come to be")
        self._born, self._news = dict[int, Born](), threading.Condition()
        self._output: IO[str] | None = None
        self._awaited: Born | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def popen(self, command: Sequence[str], env: Mapping[str, str]) -> Born:
        """As Popen; the program is always hubgate, `command[1:]` its arguments."""
        ours, theirs = os.pipe()
        with self._news:
            self._awaited = None
            self._output = os.fdopen(ours, encoding="utf-8", errors="replace")
            message = json.dumps({"arguments": list(command[1:]), "env": dict(env)}).encode()
            socket.send_fds(self._link, [message], [theirs])
            os.close(theirs)
            born = self._news.wait_for(lambda: self._awaited, 60)
        assert born is not None, "the nursery does not answer"
        return born

    def start(self, config: Path, **environment: str) -> Hubgate:
        """`hubgate serve`, listening."""
        return self._served(config, command=["hubgate"], **environment)

    def run(self, *arguments: str, **environment: str) -> Process:
        """Any command of hubgate."""
        return self._run(["hubgate", *arguments], **environment)

    def _listen(self) -> None:
        while data := self._link.recv(65536):
            told = json.loads(data)
            with self._news:
                if "status" in told:
                    self._born[told["pid"]].ended(told["status"])
                else:
                    assert self._output is not None
                    self._awaited = self._born[told["pid"]] = Born(told["pid"], self._output)
                self._news.notify_all()

    def close(self) -> None:
        self._link.shutdown(socket.SHUT_RDWR)
        self._process.wait(30)
        self._listener.join(30)
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _serve(link: socket.socket) -> None:
    """Fork for each message, and tell of each end."""
    for name in WARM:
        __import__(name)
    link.send(b"ready")
    watched = selectors.DefaultSelector()
    watched.register(link, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is link:
                message, fds, _, _ = socket.recv_fds(link, 1 << 20, 1)
                if not message:
                    return
                if not (pid := os.fork()):
                    watched.close()
                    link.close()
                    _live(json.loads(message), fds[0])
                os.close(fds[0])
                watched.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                link.send(json.dumps({"pid": pid}).encode())
            else:
                _, status = os.waitpid(key.data, 0)
                watched.unregister(key.fileobj)
                os.close(key.fd)
                link.send(json.dumps({"pid": key.data, "status": status}).encode())


def _live(told: dict[str, Any], output: int) -> None:
    """The child; never returns."""
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, at in ((null, 0), (output, 1), (output, 2)):
            os.dup2(fd, at)
        os.close(null)
        os.close(output)
        sys.stdout, sys.stderr = (open(fd, "w", buffering=1, encoding="utf-8", closefd=False) for fd in (1, 2))  # noqa: SIM115
        os.environ.clear()
        os.environ.update(told["env"])
        sys.argv = ["hubgate", *told["arguments"]]
        from tests.faults.failpoint import main

        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=os.dup(0)))
