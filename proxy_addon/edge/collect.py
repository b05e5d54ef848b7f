"""The body of a request that the engine takes: collected whole, in its place (`holding`), and let go in time.

A stream lies in cycles, which are taken apart late: who broke off three thousand uploads left a gigabyte behind. So the
body is let go of by hand once there is an answer, or the stream ends in whatever way.
"""

from __future__ import annotations

from dataclasses import replace

from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers.http import DropStream
from mitmproxy.proxy.layers.http._events import RequestData, RequestEndOfMessage, RequestProtocolError

from proxy_addon.core.messages import BODY_LIMIT, Request
from proxy_addon.core.status import Detail

from . import framing
from .holding import Held, Whole
from .intake import Refusal
from .pump import Exchange
from .reply import ReplyStream

TOO_LONG = Refusal(413, "the request body is too long")
NO_ROOM = Refusal(503, "too many request bodies are under way, try again", Detail.DENIED, wait=5)


class CollectStream(ReplyStream):
    held: Held | None = None
    bodiless: Request | None = None  # the request without its body, once that has come

    def respond(self, exchange: Exchange) -> layer.CommandGenerator[None]:
        """The request is whole."""
        raise NotImplementedError

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, RequestProtocolError) and self.exchange is not None:
            self.exchange.abort()
        for command in super().handle_event(event):
            if isinstance(command, DropStream):
                self.let_go()
            yield command

    def state_collect(self, event: events.Event) -> layer.CommandGenerator[None]:
        assert self.exchange is not None
        if isinstance(event, RequestData):
            self.held = self.held or self.gate.holding.begin(self.exchange.request.client)
            refusal = None if self.held.more(len(event.data)) else NO_ROOM
            self.request_body_buf += event.data
            if len(self.request_body_buf) > BODY_LIMIT:
                refusal = TOO_LONG
            if refusal is not None:
                yield from self.send_reply(framing.refused(refusal), close=True)
        elif isinstance(event, RequestEndOfMessage):
            self.client_state = self.state_done
            if self.held is not None:  # no name for the body here: it would be held until the answer is sent
                self.bodiless = self.exchange.request
                self.exchange.request = replace(self.bodiless, body=Whole.of(bytes(self.request_body_buf), self.held))
                self.request_body_buf.clear()
            yield from self.respond(self.exchange)

    def let_go(self) -> None:
        """Of the body, wherever this stream has it."""
        self.request_body_buf.clear()
        if self.held is None or self.exchange is None or self.message is None:
            return
        self.held = self.message.data.content = None
        self.exchange.request = self.bodiless or self.exchange.request
