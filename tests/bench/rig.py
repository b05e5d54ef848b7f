"""The processes that are measured: the proxy and nginx, both with an access log and a P-256 certificate."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.hub import HubProcess

from .process import children, end, free_port, listens, plain_environment, until
from .table import nginx_path

ROOT = Path(__file__).resolve().parents[2]
HOST = "huggingface.co"
MIB = 1 << 20
GIB = 1 << 30
SERVE = "import sys; from proxy_addon.cli.main import main; sys.exit(main())"


@dataclass(frozen=True)
class Scale:
    tries: int
    large: int  # bytes of the warm file
    cold: int  # bytes of a cold one
    clients: int
    seconds: float  # of one try with small replies
    rows: int  # stored responses, at most
    part: int  # bytes of each of many files


FULL = Scale(tries=5, large=GIB, cold=256 * MIB, clients=50, seconds=3.0, rows=1_000_000, part=16 * MIB)
QUICK = Scale(tries=3, large=128 * MIB, cold=32 * MIB, clients=10, seconds=1.0, rows=20_000, part=2 * MIB)


@dataclass(frozen=True)
class Side:
    """One way to a file: where to connect, whom to trust, whose time counts."""

    port: int
    ca: Path
    pids: tuple[int, ...]
    connect: bool  # by CONNECT, or else directly
    ready: float = 0.0  # seconds from start until it answered

    @property
    def pid(self) -> int:
        (only,) = self.pids
        return only

    @property
    def curl(self) -> list[str]:
        way = ["--proxy", f"http://127.0.0.1:{self.port}"] if self.connect else direct(self.port)
        return [*way, "--cacert", str(self.ca)]


def direct(port: int) -> list[str]:
    return ["--noproxy", "*", "--connect-to", f"::127.0.0.1:{port}"]


class Rig:
    """One hub and one directory for all rows. Whatever is in the proxy's cache stays there from row to row."""

    def __init__(self, folder: Path, scale: Scale, hub: HubProcess) -> None:
        self.folder, self.scale, self.hub = folder, scale, hub
        self._seed = 0
        self._big: tuple[str, str] | None = None

    def fresh(self, size: int) -> tuple[str, str]:
        """A file nobody has asked for: (path of its URL, SHA-256)."""
        self._seed += 1
        digest = self.hub.add_synthetic(f"bench/n{self._seed}", "b.bin", size, seed=self._seed, storage="lfs")
        return f"/bench/n{self._seed}/resolve/main/b.bin", digest

    def small(self, size: int) -> tuple[str, str]:
        """A git file of `size` letters: (path of its URL, the text)."""
        text = ("hubgate " * size)[:size]
        self.hub.commit("acme/tiny", {f"small-{size}.txt": text})
        return f"/acme/tiny/resolve/main/small-{size}.txt", text

    def big(self) -> str:
        """The path of the large file, of which nginx serves the same bytes; the proxy keeps it from here on."""
        if self._big is None:
            path, digest = self.fresh(self.scale.large)
            kept = self.site / "big.bin"
            with self.proxy() as proxy:
                subprocess.run(
                    ["curl", "-qsf", *proxy.curl, "-o", str(kept), f"https://{HOST}{path}"],
                    check=True,
                    env=plain_environment(),
                    timeout=300,
                )
            with kept.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != digest:
                raise RuntimeError(f"the proxy gave {found}, the hub has {digest}")
            self._big = path, digest
        return self._big[0]

    @property
    def site(self) -> Path:
        site = self.folder / "site"
        site.mkdir(exist_ok=True)
        return site

    def configuration(
        self, port: int, admin: int, cache: str, memory: str = "256MB", xet: str = "auto", rules: Path | None = None
    ) -> Path:
        config = self.folder / "hubgate.yaml"
        config.write_text(
            f"listen: 127.0.0.1:{port}\n"
            f"admin: {{listen: 127.0.0.1:{admin}}}\n"
            f"ca: {{dir: {self.folder}/ca}}\n"
            f"cache: {{dir: {self.folder / cache}, size: 40GB, memory: {memory}}}\n"
            f"upstream: {{connect_to: {{'*:443': '127.0.0.1:{self.hub.port}'}}, ca_file: {self.hub.ca_pem}}}\n"
            f"access_log: {self.folder}/access.log\n"
            f"hubs: {{huggingface: {{xet: {xet}}}}}\n"
            f"rules: [{rules or ''}]\n"
            "drain: 1s\n"
        )
        return config

    def many(self, small: int, large: int, size: int, *, hub: str = "huggingface") -> tuple[str, list[str], int]:
        """A repo nobody has asked for, of small git files and LFS files of `size` bytes: (id, paths, bytes in all)."""
        self._seed += 1
        id, trunk = f"bench/many{self._seed}", {"huggingface": "main", "modelscope": "master"}[hub]
        for number in range(large):
            path, seed = f"weights/{number:04}.bin", 1000 * self._seed + number
            self.hub.add_synthetic(id, path, size, seed=seed, storage="lfs", hub=hub)
        texts = {f"texts/{number:04}.txt": f"{id} {number}\n" * 200 for number in range(small)}
        self.hub.commit(id, texts, branch=trunk, hub=hub)
        total = large * size + sum(map(len, texts.values()))
        return id, [*texts, *(f"weights/{number:04}.bin" for number in range(large))], total

    @contextmanager
    def proxy(
        self, *, cache: str = "cache", memory: str = "256MB", xet: str = "auto", rules: Path | None = None
    ) -> Iterator[Side]:
        """`hubgate serve`, started anew, on the same cache directory as ever unless another is named."""
        port, admin = free_port(), free_port()
        config = self.configuration(port, admin, cache, memory, xet, rules)
        with (self.folder / "hubgate.err").open("ab") as err:
            process = subprocess.Popen(
                [sys.executable, "-O", "-c", SERVE, "serve", "--config", str(config)],
                cwd=ROOT,
                env=plain_environment(),
                stderr=err,
            )
        try:
            ready = until(lambda: _healthy(admin), process, "hubgate")
            yield Side(port, self.folder / "ca" / "ca.pem", (process.pid,), connect=True, ready=ready)
        finally:
            end(process)

    @contextmanager
    def nginx(self) -> Iterator[Side]:
        home = self.folder / "nginx"
        home.mkdir(exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(home / "ca.pem")
        authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(home / "server.pem")
        port = free_port()
        (home / "nginx.conf").write_text(
            ("user root;\n" if os.geteuid() == 0 else "") + "worker_processes 1;\n"
            f"daemon off;\npid {home}/pid;\nerror_log {home}/error.log;\n"
            "events { worker_connections 1024; }\n"
            "http {\n"
            f"  access_log {home}/access.log;\n"
            f"  client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;\n"
            f"  uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;\n"
            "  sendfile on; tcp_nopush on; keepalive_requests 100000000; open_file_cache max=100;\n"
            "  default_type application/octet-stream;\n"
            "  server {\n"
            f"    listen 127.0.0.1:{port} ssl http2; root {self.site};\n"
            f"    ssl_certificate {home}/server.pem; ssl_certificate_key {home}/server.pem;\n"
            "    ssl_protocols TLSv1.3;\n"
            "  }\n"
            "}\n"
        )
        process = subprocess.Popen(
            [nginx_path(), "-e", str(home / "error.log"), "-p", str(home), "-c", str(home / "nginx.conf")],
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: listens(port) and bool(children(process.pid)), process, "nginx")
            yield Side(port, home / "ca.pem", tuple(children(process.pid)), connect=False)
        finally:
            end(process)


def rest() -> None:
    """Let what a try has left behind come to its end, so that it is charged to that try."""
    time.sleep(0.1)


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _healthy(port: int) -> bool:
    try:
        with _direct.open(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
