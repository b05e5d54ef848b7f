"""A CONNECT proxy that joins every host to the test hub, whatever its name.

With it, real clients reach the hub under its real host names with nothing but HTTPS_PROXY and a CA set, and without
the proxy under test: what they get then is the reference.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Any, Self


class Splice:
    def __init__(self, hub_port: int, port: int = 0) -> None:
        self.hub_port = hub_port
        self.port = port
        self.targets: list[str] = []  #: "host:port" of every CONNECT, in order
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="splice", daemon=True)
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        self._listener = await asyncio.start_server(self._client, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._listener:
            self._listener.close()
        mine = asyncio.current_task()
        open_ = [task for task in asyncio.all_tasks() if task is not mine]
        for task in open_:
            task.cancel()
        await asyncio.gather(*open_, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, *_ = head.decode("latin-1").split(" ")
            if method != "CONNECT":
                writer.write(b"HTTP/1.1 405 CONNECT only\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            self.targets.append(target)
            try:
                hub_reader, hub_writer = await asyncio.open_connection("127.0.0.1", self.hub_port)
            except OSError:
                writer.write(b"HTTP/1.1 502 the hub is down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, hub_writer), _pump(hub_reader, writer))
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(256 * 1024):
            sink.write(data)
            await sink.drain()
    finally:
        sink.close()
