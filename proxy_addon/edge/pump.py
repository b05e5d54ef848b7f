"""One exchange between a client and the engine, and the loop that moves its body.

The loop holds one unit of the body at most and sends it in steps, each waiting for the client: constant memory whatever
the size and however slow the reader. Exactly the promised bytes go out, or `BodyLost` is raised before an end that
would look like one. Whoever stops the exchange cancels its task; the body is closed in any case, exactly once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from proxy_addon.core.errors import BodyLost
from proxy_addon.core.messages import Body, Buffer, Pass, Reply, Request

from .framing import Framing
from .h2 import PacedHttp2Server
from .wire import STEP, Wire

#: What is asked of a body at once, in bytes.
UNIT = 1024 * 1024
#: Seconds between two signs of life while the engine or a body is waited for: mitmproxy closes idle connections.
_TICK = 30.0


@dataclass(eq=False, slots=True)
class Exchange:
    request: Request
    wire: Wire
    started: float = field(default_factory=time.perf_counter)
    reply: Reply | Pass | None = None
    framing: Framing | None = None
    h2: tuple[PacedHttp2Server, int] | None = None
    sent: int = 0
    first_byte: float | None = None  # seconds until the first of the body was ready to go
    aborted: bool = False
    fault: BaseException | None = None
    ended: bool = True  # no body of the request is still to come
    ours: bool = True  # it is not the client that is waited for
    _task: asyncio.Task[Reply | Pass | None] | None = None

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def abort(self) -> None:
        """The client has left: whatever is being awaited for it is cancelled."""
        self.aborted = True
        if self._task is not None:
            self._task.cancel()

    def begin(self, work: Coroutine[Any, Any, Reply | Pass | None]) -> bool:
        """Runs `work` as far as it goes without waiting; whether that was to its end."""
        self._task = asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)
        return self._ended()

    async def finish(self) -> None:
        """Waits for what `begin` began. What it returned is in `reply` then, what it raised in `fault`."""
        assert self._task is not None
        while not self._ended():
            if self.ours:
                self.wire.alive()
            await asyncio.wait((self._task,), timeout=_TICK)

    def _ended(self) -> bool:
        task = self._task
        if task is None or not task.done():
            return task is None
        self._task = None
        if task.cancelled():
            self.fault = asyncio.CancelledError()
        elif (fault := task.exception()) is not None:
            self.fault = fault
        else:
            self.reply = task.result() or self.reply
        return True

    async def send_body(self) -> Reply | None:
        assert isinstance(self.reply, Reply) and not isinstance(self.reply.body, bytes) and self.framing is not None
        body: Body = self.reply.body
        try:
            await self._pump(body, self.framing)
        finally:
            body.close()
        return None

    async def _pump(self, body: Body, framing: Framing) -> None:
        left = framing.length
        last = b""
        while True:
            # One byte more than is due is asked for: a body which overruns must not end as if it were right.
            piece = await body.read(UNIT if left is None else min(UNIT, left + 1))
            self.ours = False
            if not piece:
                break
            if self.first_byte is None:
                self.first_byte = self.seconds
            if left is not None:
                left -= len(piece)
                if left < 0:
                    raise BodyLost(f"body is longer than its {framing.length} bytes")
                if left == 0 and self.h2 is None:
                    # Over HTTP/1 the last byte is the end. It waits until the body has said so too.
                    last, piece = bytes(piece[-1:]), piece[:-1]
            await (self._paced(piece) if self.h2 else self._steps(piece, framing.chunked))
            self.ours = True
        if left:
            raise BodyLost(f"body ended {left} bytes short")
        if last:
            await self._steps(last, chunked=False)
        if framing.chunked:
            self.wire.send(b"0\r\n\r\n")

    async def _steps(self, piece: Buffer, chunked: bool) -> None:
        send, drain = self.wire.send, self.wire.drain
        view = memoryview(piece)
        for start in range(0, len(view), STEP):
            step = view[start : start + STEP]
            if chunked:
                send(b"%x\r\n" % len(step), step, b"\r\n")
            else:
                send(step)
            self.sent += len(step)
            await drain()
        # A client as fast as we are never makes `drain` wait: let the others have their turn.
        await asyncio.sleep(0)

    async def _paced(self, piece: Buffer) -> None:
        assert self.h2 is not None
        server, stream_id = self.h2
        view = memoryview(piece)
        now = asyncio.get_running_loop().time
        start, due, until = 0, STEP, now() + self.wire.stall
        while start < len(view):
            room = server.room(stream_id)
            if not room:
                async with asyncio.timeout_at(until):  # that a client says something else does not extend it
                    await server.more_room()
                continue
            step = view[start : start + min(room, STEP)]
            self.wire.send(server.data(stream_id, step))
            start += len(step)
            self.sent += len(step)
            await self.wire.drain()
            if start >= due:
                due, until = start + STEP, now() + self.wire.stall
        await asyncio.sleep(0)
