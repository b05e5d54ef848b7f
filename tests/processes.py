"""Hubgate as a process of its own, as people run it, and a plain client that goes through it.

Started is what has announced its port: by then the admin listener answers too. What the process says is
kept line by line, so that a test waits for a line and never for a time.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-O", str(Path(sys.executable).with_name("hubgate")))  # as scripts/serve starts it
LISTENS = "hubgate listens on "


@dataclass(frozen=True)
class Answer:
    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        return self.headers.get(name)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


_reserved: deque[socket.socket] = deque(maxlen=200)


def free_port() -> int:
    """A port that nobody else is given: the socket that had it stays bound and never listens. A server may listen
    there all the same, for both say SO_REUSEADDR, and again after it was killed."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", 0))
    _reserved.append(found)
    port: int = found.getsockname()[1]
    return port


def configuration(folder: Path, hub: Any = None, **keys: Any) -> Path:
    """A configuration file in `folder` that leads to the test hub; `keys` replace whole top-level keys."""
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "ca": {"dir": str(folder / "ca")},
        "cache": {"dir": str(folder / "cache"), "size": "4GB", "memory": "64MB"},
        "access_log": str(folder / "access.log"),
        "drain": "15s",
    }
    if hub is not None:
        values["upstream"] = to_hub(hub)
    file = folder / "hubgate.yaml"
    file.write_text(json.dumps(values | keys, indent=1))  # JSON is YAML
    return file


def to_hub(hub: Any, **more: Any) -> dict[str, Any]:
    """The `upstream` section that sends every TLS connection to a test hub."""
    return {"connect_to": {"*:443": f"127.0.0.1:{hub.port}"}, "ca_file": str(hub.ca_pem), "stall_timeout": "10s"} | more


def hubgate(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of hubgate to its end."""
    env = _clean(environment)
    return subprocess.run([*COMMAND, *arguments], env=env, cwd=ROOT, capture_output=True, text=True, timeout=100)


def exported(shell: str) -> dict[str, str]:
    """The variables of `hubgate env`."""
    words = [shlex.split(line) for line in shell.splitlines() if line.startswith("export ")]
    return dict(word.split("=", 1) for line in words for word in line[1:])


class Process:
    """A process whose output is read as it comes. Ends with the block, killed if need be."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._over = False
        self.popen = self.spawned(command, _clean(environment))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def spawned(self, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        """The process; all that it says comes by its standard output."""
        nothing, pipe, same = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
        return subprocess.Popen(command, env=env, cwd=ROOT, stdin=nothing, stdout=pipe, stderr=same, text=True)

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def told(self) -> str:
        return "".join(self.lines)

    def _read(self) -> None:
        assert self.popen.stdout
        for line in self.popen.stdout:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    def wait_for(self, text: str, timeout: float = 60.0) -> str:
        """The first line that has `text`; raises RuntimeError with what was said instead."""

        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._over, timeout)
            if (line := found()) is None:
                raise RuntimeError(f"no {text!r} in: {self.told}")
            return line

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.popen.send_signal(number)

    def wait(self, timeout: float = 60.0) -> int:
        """The exit status, when all that it said has been read."""
        status = self.popen.wait(timeout)
        self._reader.join(timeout)
        return status

    def stop(self) -> int:
        self.signal()
        return self.wait()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if self.popen.poll() is None:
                self.stop()
        finally:
            if self.popen.poll() is None:
                self.kill()
            assert self.popen.stdout
            self.popen.stdout.close()


class Hubgate(Process):
    """`hubgate serve` with a configuration file, listening."""

    def __init__(self, config: Path, *arguments: str, command: Sequence[str] = COMMAND, **environment: str) -> None:
        self.config = config
        self.settings: dict[str, Any] = json.loads(config.read_text())
        super().__init__([*command, "serve", "--config", str(config), *arguments], **environment)
        try:
            told = self.wait_for(LISTENS)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.port = int(told.rpartition(":")[2])
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin = f"http://{self.settings['admin']['listen']}"
        self.ca = Path(self.settings["ca"]["dir"])
        self.cache = Path(self.settings["cache"]["dir"])

    @property
    def bundle(self) -> Path:
        return self.ca / "bundle.pem"

    def ask(
        self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """One https request through CONNECT; no redirect is followed. Raises what http.client raises."""
        return ask(self.port, self.ca / "ca.pem", url, method, headers, body)

    def asked_admin(self, path: str) -> Answer:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(self.admin + path, timeout=60) as response:
            return Answer(response.status, response.reason, response.headers, response.read())

    def metrics(self) -> dict[str, float]:
        """Sample, with its labels as they stand in the exposition -> value."""
        lines = self.asked_admin("/metrics").body.decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def logged(self) -> list[dict[str, Any]]:
        """The access log, once the process has ended."""
        text = Path(self.settings["access_log"]).read_text()
        return [json.loads(line) for line in text.splitlines()]

    def said(self, raw: bytes) -> bytes:
        """All that comes back for raw bytes, until the proxy closes."""
        with socket.create_connection(("127.0.0.1", self.port), 60) as plain:
            plain.sendall(raw)
            return everything(plain)


def ask(
    proxy_port: int,
    ca_pem: Path,
    url: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """One https request through the proxy on `proxy_port`."""
    parts = urlsplit(url)
    connection = open_tunnel(proxy_port, ca_pem, parts.hostname or "", parts.port or 443)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.reason, response.headers, response.read())
    finally:
        connection.close()


def open_tunnel(proxy_port: int, ca_pem: Path, host: str, port: int = 443) -> http.client.HTTPSConnection:
    """A client connection to host:port through the proxy, not yet opened."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca_pem)
    connection = http.client.HTTPSConnection("127.0.0.1", proxy_port, context=context, timeout=60)
    connection.set_tunnel(host, port)
    return connection


def everything(stream: socket.socket) -> bytes:
    """Bytes until the other side closes."""
    parts = []
    while data := stream.recv(65536):
        parts.append(data)
    return b"".join(parts)


def _clean(extra: Mapping[str, str]) -> dict[str, str]:
    """An environment in which nothing leads to another proxy, CA or configuration."""
    gone = ("proxy", "ssl_cert", "ca_bundle", "hubgate_")
    kept = {k: v for k, v in os.environ.items() if not any(part in k.lower() for part in gone)}
    return {**kept, "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1", **extra}
