"""A mitmproxy master with only what a cache needs, and its life: bind, serve, drain.

mitmproxy logs what goes wrong when it binds and carries on; here it is an OSError and nothing has started. Everything
that is alive once serving begins is frozen out of the garbage collector, which saves a sixth of the processor time.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from pathlib import Path

from mitmproxy import options
from mitmproxy.addons.core import Core
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.master import Master
from mitmproxy.utils import asyncio_utils

from proxy_addon.addon import Hubgate
from proxy_addon.edge.thrift import give_back


class Proxy:
    """One proxy in one event loop: `bind`, then `run` until `stop`."""

    def __init__(
        self, addon: Hubgate, *, listen: Sequence[tuple[str, int]], confdir: Path, tls: object | None = None
    ) -> None:
        self.addon = addon
        self._master = Master(options.Options(confdir=str(confdir)))
        self._server = Proxyserver()
        self._master.addons.add(Core(), NextLayer(), self._server, tls or TlsConfig(), addon)
        self._master.options.update(
            mode=[f"regular@{f'[{host}]' if ':' in host else host}:{port}" for host, port in listen],
            connection_strategy="lazy",
            upstream_cert=False,
            validate_inbound_headers=True,
            http2=True,
            http3=False,
            websocket=False,
            rawtcp=False,
            http2_ping_keepalive=0,
            tcp_timeout=max(1, round(addon.limits.stall)),
        )
        self._stopping, self._hurried = asyncio.Event(), asyncio.Event()

    async def bind(self) -> list[tuple[str, int]]:
        """The addresses listened on. Raises OSError, with the system's errno, when one cannot be had."""
        self._tasks = asyncio_utils.set_eager_task_factory()
        self._tasks.__enter__()
        try:
            if not await self._server.setup_servers():
                for instance in self._server.servers:
                    if isinstance(instance.last_exception, OSError):
                        raise instance.last_exception
                raise OSError("cannot listen")
        except BaseException:
            await self._server.servers.update([])
            self._tasks.__exit__(None, None, None)
            raise
        return [(address[0], address[1]) for address in self._server.listen_addrs()]

    async def run(self, drain: float) -> None:
        """Serves until `stop`; then lets what is open finish for `drain` seconds at most."""
        try:
            await self._master.running()
            gc.collect()
            gc.freeze()
            thrift = asyncio.create_task(give_back(self.addon.open), name="thrift")
            await self._stopping.wait()
            thrift.cancel()
            await self._drain(drain)
        finally:
            gc.unfreeze()
            await self._master.done()
            self._tasks.__exit__(None, None, None)

    def stop(self) -> None:
        """Begin to drain; said again, wait no longer."""
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()

    async def _drain(self, seconds: float) -> None:
        self.addon.draining = True
        await self._server.servers.update([])
        waits = [asyncio.ensure_future(each) for each in (self.addon.open.none(), self._hurried.wait())]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        tasks = [io.handler for each in self._server.connections.values() for io in each.transports.values()]
        alive = [task for task in tasks if task is not None]
        for task in alive:
            task.cancel("shutting down")
        if alive:
            await asyncio.wait(alive, timeout=1)
