"""What the client of one connection owes, looked at after every event; and when it has to wait.

mitmproxy keeps in memory what comes while a stream is paused, without bound: a body that is sent while upstream is not
there yet. So once a stream has so much waiting, or its client all that may wait of it, nothing more is read until
it goes on.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from mitmproxy.proxy import events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer

from .h1 import StrictHttp1Server
from .h2 import PacedHttp2Server
from .holding import Holding

#: Events that may wait for a paused stream; one is 64 KiB of a body at most.
WAITING = 16
_EVENT = 512  # bytes of one that brings none


class Creditor(Protocol):
    waiting: Holding

    def deadline(self, context: Context, *, armed: bool) -> None:
        """Start, or call off, the time within which a header block has to be finished."""
        ...

    def owed(self, context: Context, *, body: bool, came: int) -> None:
        """`came` bytes came from the client; whether it still owes more of a `body`."""
        ...

    def wait(self, context: Context, *, held: bool) -> None:
        """Read nothing more from the client, or go on."""
        ...


class Owing:
    def __init__(self, gate: Creditor, context: Context) -> None:
        self._gate, self._context = gate, context
        self._begun: tuple[str, int] | None = None
        self._held = False
        self._waits = gate.waiting.begin(context.client.peername[0])

    def after(
        self,
        event: events.Event,
        server: StrictHttp1Server | PacedHttp2Server | None,
        streams: Collection[Layer],
        uploads: bool,
    ) -> None:
        """`uploads`: a stream waits for more of its request's body."""
        if isinstance(server, StrictHttp1Server) and server.state == server.passthrough:
            return  # a tunnel: the layer inside it knows
        if isinstance(server, PacedHttp2Server):
            if server.begun != self._begun:
                self._gate.deadline(self._context, armed=False)
                self._begun = server.begun
            self._gate.deadline(self._context, armed=self._begun is not None)
        elif server is not None:
            uploads = server.state == server.read_body
        came = len(event.data) if isinstance(event, events.DataReceived) else 0
        self._gate.owed(self._context, body=uploads, came=came)
        queues = [each._paused_event_queue for each in streams if each._paused_event_queue]
        self._waits.resize(sum(_EVENT + len(getattr(one, "data", b"")) for queue in queues for one in queue))
        held = any(len(queue) > WAITING for queue in queues) or (bool(queues) and self._waits.over)
        if held != self._held:
            self._held = held
            self._gate.wait(self._context, held=held)
