"""The test hub: one TLS listener on loopback that plays every host, in a thread of its own.

A request is routed by its Host to one host family. Methods may be called from any thread. `stop` closes the listener
and cuts every connection, and the port stays reserved, so that clients are refused and `start` comes back on it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from . import cdn, datasets_server, git_lfs, huggingface, modelscope, ms_files, plain, xet
from .content import Synthetic
from .exchange import Answer, Exchange, error, text
from .git_folders import GitFolders
from .knobs import Knobs
from .log import Log, Record
from .plain import Plain, Scripted
from .reply import send
from .repo import Hub, Repo, Storage
from .tls import Authority

type Family = Callable[[TestHub, Exchange], Awaitable[Answer | None]]

FAMILIES: list[tuple[str, Family]] = [
    ("huggingface.co", huggingface.answer),
    ("hf.co", huggingface.answer),
    ("hub-ci.huggingface.co", huggingface.answer),
    ("cas-server.xethub*.hf.co", xet.cas),
    ("transfer.xethub*.hf.co", xet.transfer),
    ("cas-bridge.xethub.hf.co", cdn.bridge),
    ("cdn-lfs*.hf.co", cdn.lfs),
    ("cdn-lfs*.huggingface.co", cdn.lfs),
    ("*.cdn.hf.co", cdn.bridge),
    (git_lfs.UPLOAD_HOST, git_lfs.upload),
    ("aws.cdn.hf.co", cdn.bridge),
    ("datasets-server.huggingface.co", datasets_server.answer),
    ("modelscope.cn", modelscope.answer),
    ("www.modelscope.cn", modelscope.answer),
    ("modelscope.ai", modelscope.answer),
    ("www.modelscope.ai", modelscope.answer),
    ("cdn-lfs-*.modelscope.cn", ms_files.cdn),
    ("plain.example", plain.answer),
    ("*.plain.example", plain.answer),
]

AT_ONCE = 0.001  #: seconds; aiohttp takes 0 for "wait without end"
TOKENS = {"hf_reader": "reader", "hf_other": "other"}
MODELSCOPE_TOKENS = {"ms_reader": "reader", "ms_other": "other"}


class TestHub:
    __test__ = False  # not a test case

    def __init__(self, repos: Iterable[Repo] = (), *, port: int = 0, ca_dir: Path | None = None) -> None:
        self.knobs = Knobs()
        self.log = Log()
        self.plain = Plain()
        self.tokens = dict(TOKENS)  #: token -> user name
        self.modelscope_tokens = dict(MODELSCOPE_TOKENS)
        self.renamed: dict[str, str] = {}  #: "models/acme/old-name" -> "acme/tiny"
        self.repos: dict[tuple[str, str], Repo] = {}  #: of Hugging Face, by ("models", id)
        self.modelscope: dict[tuple[str, str], Repo] = {}
        self.git = GitFolders()
        self.families = list(FAMILIES)
        self.authority = Authority(ca_dir)
        self.ca_pem = self.authority.ca_pem
        for repo in repos:
            self.add(repo)
        self._reserved = _bound(port)  # never listens: keeps the port while the hub is down
        self.port: int = self._reserved.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-hub", daemon=True)
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._silent: socket.socket | None = None
        self._holds: dict[str, asyncio.Event] = {}

    # life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        if not self._thread.is_alive():
            self._thread.start()
        self._run(self._start())

    def stop(self, *, silent: bool = False) -> None:
        """Be down: connections are refused, or with `silent` accepted and never spoken to."""
        self._run(self._stop(silent))

    def close(self) -> None:
        self.stop()
        self._run(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._reserved.close()
        self.git.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self) -> None:
        if self._listener:
            return
        if self._silent:
            self._silent.close()
            self._silent = None
        self._server = web.Server(self._handle, access_log=None)
        self._listener = await self._loop.create_server(
            self._server, sock=_bound(self.port), ssl=self.authority.server_context(), backlog=1024
        )

    async def _stop(self, silent: bool) -> None:
        if self._listener and self._server:
            self._listener.close()
            for connection in self._server.connections:
                if connection.transport:
                    connection.transport.abort()
            await self._server.shutdown(AT_ONCE)
        self._listener = self._server = None
        if silent and not self._silent:
            self._silent = _bound(self.port)
            self._silent.listen(1024)

    async def _finish(self) -> None:
        if self._silent:
            self._silent.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    # what tests turn and read

    def add(self, repo: Repo) -> Repo:
        self._shelf(repo.hub)[repo.plural, repo.id] = repo
        return repo

    def rename(self, old: str, new: str, type: str = "models") -> None:
        self.renamed[f"{type}/{old}"] = new

    def repo(self, id: str, type: str = "models", hub: Hub = "huggingface") -> Repo:
        return self._shelf(hub)[type, id]

    def _shelf(self, hub: Hub) -> dict[tuple[str, str], Repo]:
        return self.repos if hub == "huggingface" else self.modelscope

    def add_synthetic(
        self,
        id: str,
        path: str,
        size: int,
        *,
        seed: int = 0,
        storage: Storage = "lfs",
        type: str = "model",
        hub: Hub = "huggingface",
    ) -> str:
        """A repo, or one more file in it, of `size` made-up bytes; returns their SHA-256."""
        source = Synthetic(size, seed)
        repo = next((r for r in self._shelf(hub).values() if (r.type, r.id) == (type, id)), None)
        if repo is None:
            self.add(Repo(id, type, {path: source}, {path: storage}, hub=hub))
        else:
            repo.commit({path: source}, storage={path: storage})
        return source.sha256

    def commit(
        self,
        id: str,
        files: Mapping[str, str | None],
        *,
        type: str = "models",
        branch: str | None = None,
        hub: Hub = "huggingface",
    ) -> str:
        """Text files on top of a branch, the trunk unless said; returns the new commit."""
        return self.repo(id, type, hub).commit(files, branch=branch)

    def knob(self, **knob: Any) -> int:
        """See `knobs.py`; returns an id for `unknob`."""
        return self.knobs.add(**knob)

    def unknob(self, id: int | None = None) -> None:
        """Remove one knob, or all."""
        if id is None:
            self.knobs.clear()
        else:
            self.knobs.remove(id)

    def release(self, name: str) -> None:
        """Let go every reply that waits at a `hold` of this name, now and later."""
        self._loop.call_soon_threadsafe(lambda: self._hold(name).set())

    def script(self, path: str, *replies: Scripted | Mapping[str, Any], host: str = "plain.example") -> None:
        """What a plain host answers for a raw path, one after another; the last one is repeated."""
        self.plain.script(host, path, [r if isinstance(r, Scripted) else Scripted(**r) for r in replies])

    def on(self, path: str, handler: plain.Handler, host: str = "plain.example") -> None:
        """Let a function answer for a path (a shell glob) of a plain host. It runs in the hub's thread."""
        self.plain.on(host, path, handler)

    def digest(self, id: str, path: str, type: str = "models", hub: Hub = "huggingface") -> str:
        """`File.digest` of a file on the trunk: what `bodies_of` takes."""
        return self.repo(id, type, hub).file(path).digest

    def requests(self, **match: Any) -> list[Record]:
        return self.log.requests(**match)

    def bytes_sent(self, **match: Any) -> int:
        return self.log.bytes_sent(**match)

    def bodies_of(self, blob: str) -> float:
        return self.log.bodies_of(blob)

    def wait(self, count: int = 1, *, timeout: float = 60.0, **match: Any) -> list[Record]:
        return self.log.wait(count, timeout=timeout, **match)

    def clear(self) -> None:
        """Forget the log."""
        self.log.clear()

    def reset(self) -> None:
        """Forget log, knobs, holds and scripts; the repos stay."""
        self.log.clear()
        self.knobs.clear()
        self.plain.clear()
        self._loop.call_soon_threadsafe(self._holds.clear)

    # requests

    def _hold(self, name: str) -> asyncio.Event:
        return self._holds.setdefault(name, asyncio.Event())

    async def _held(self, name: str) -> None:
        await self._hold(name).wait()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        host = (request.headers.get("Host") or "").lower().partition(":")[0]
        peer = request.transport.get_extra_info("peername") if request.transport else None
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        record = Record(request.method, host, path, query, headers, peer[1] if peer else 0)
        self.log.add(record)
        try:
            body = await request.content.read()
            record.body = body[: 64 * 1024].decode("latin-1")
            ex = Exchange(record, self.knobs.effect(host, path, request.method), body)
            return await send(request, ex, await self._answer(ex), self.log, self._held)
        except (ConnectionError, asyncio.CancelledError):
            record.cut = True
            raise
        finally:
            self.log.end(record)

    async def _answer(self, ex: Exchange) -> Answer:
        for pattern, family in self.families:
            if fnmatchcase(ex.host, pattern):
                return await family(self, ex) or error(404, "Sorry, we can't find the page you are looking for.")
        return text(404, "no such host here")


def _bound(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(("127.0.0.1", port))
    return found
