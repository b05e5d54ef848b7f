"""The hub in a process of its own, so that a benchmark or a demo measures the proxy apart from it.

`HubProcess` starts `python -m tests.hub` and is a `RemoteHub`: the methods of `TestHub` that travel as JSON, by name.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from .log import Record, as_json
from .plain import Scripted
from .server import TestHub

ROOT = Path(__file__).resolve().parents[2]
CALLS = frozenset(
    """add_synthetic bodies_of bytes_sent clear commit digest knob release rename requests reset script start stop
    unknob wait""".split()  # noqa: SIM905 - sixteen quoted names read worse
)


def application(hub: TestHub) -> web.Application:
    """`POST /` with {"call": name, "args": [...], "kwargs": {...}} answers {"result": ...} or {"error": text}."""

    async def call(request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["call"] not in CALLS:
            return web.json_response({"error": f"no such call: {asked['call']}"}, status=404)
        method = getattr(hub, asked["call"])
        try:
            result = await asyncio.to_thread(method, *asked.get("args", ()), **asked.get("kwargs", {}))
        except (TypeError, KeyError, TimeoutError, ValueError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        if isinstance(result, list):
            result = [as_json(r) if isinstance(r, Record) else r for r in result]
        return web.json_response({"result": result})

    app = web.Application()
    app.router.add_post("/", call)
    return app


class RemoteHub:
    __test__ = False

    def __init__(self, control: str, port: int, ca_pem: Path) -> None:
        self.control = control
        self.port = port
        self.ca_pem = ca_pem

    def _call(self, call: str, *args: Any, **kwargs: Any) -> Any:
        body = json.dumps({"call": call, "args": args, "kwargs": kwargs}).encode()
        request = urllib.request.Request(self.control, body, {"Content-Type": "application/json"})
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), _ReadErrors())
        with direct.open(request, timeout=300) as response:
            found = json.load(response)
        if "error" in found:
            raise RuntimeError(found["error"])
        return found["result"]

    def start(self) -> None:
        self._call("start")

    def stop(self, *, silent: bool = False) -> None:
        self._call("stop", silent=silent)

    def knob(self, **knob: Any) -> int:
        found: int = self._call("knob", **knob)
        return found

    def unknob(self, id: int | None = None) -> None:
        self._call("unknob", id)

    def release(self, name: str) -> None:
        self._call("release", name)

    def requests(self, **match: Any) -> list[Record]:
        return [Record(**r) for r in self._call("requests", **match)]

    def wait(self, count: int = 1, *, timeout: float = 10.0, **match: Any) -> list[Record]:
        return [Record(**r) for r in self._call("wait", count, timeout=timeout, **match)]

    def bytes_sent(self, **match: Any) -> int:
        found: int = self._call("bytes_sent", **match)
        return found

    def bodies_of(self, blob: str) -> float:
        found: float = self._call("bodies_of", blob)
        return found

    def clear(self) -> None:
        self._call("clear")

    def reset(self) -> None:
        self._call("reset")

    def digest(self, id: str, path: str, type: str = "models", hub: str = "huggingface") -> str:
        found: str = self._call("digest", id, path, type, hub)
        return found

    def add_synthetic(self, id: str, path: str, size: int, **more: Any) -> str:
        found: str = self._call("add_synthetic", id, path, size, **more)
        return found

    def commit(self, id: str, files: dict[str, str | None], **more: Any) -> str:
        found: str = self._call("commit", id, files, **more)
        return found

    def rename(self, old: str, new: str, type: str = "models") -> None:
        self._call("rename", old, new, type)

    def script(self, path: str, *replies: Scripted, host: str = "plain.example") -> None:
        sent = [{**vars(r), "body": r.body if isinstance(r.body, str) else r.body.decode("latin-1")} for r in replies]
        self._call("script", path, *sent, host=host)


class HubProcess(RemoteHub):
    """`arguments` as of `python -m tests.hub`. Ends with the block."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.hub", *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the hub did not start: exit code {self.process.wait(10)}")
        told = json.loads(line)
        super().__init__(told["control"], told["port"], Path(told["ca"]))
        self.pid: int = told["pid"]
        self.splice: str = told["splice"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


class _ReadErrors(urllib.request.HTTPErrorProcessor):
    """Hand on 4xx like any reply: the reason is in the body."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response
