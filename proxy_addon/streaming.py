"""Answers to requests inside mitmproxy's layers: the only module, with `edge`, that knows their insides.

`GateLayer` takes the place of mitmproxy's `HttpLayer` and makes a `GateStream` for each request. A request that the
engine takes never sees mitmproxy's own hooks: one hook of ours asks the engine, a second one moves a long body (see
`edge.pump`), and while it waits only this stream is paused. What is passed through goes mitmproxy's own way, streamed
in both directions. Anything unexpected ends in a 503 with an id; no path leads from a fault to a request upstream.

mitmproxy's private parts this rests on, to be looked at when it changes: `HttpLayer.connections/streams/make_stream`,
the states of `HttpStream`, `Http1Server.state/buf`, `BufferedH2Connection`, `ConnectionHandler.transports`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

from mitmproxy import http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import DropStream, HttpLayer, HTTPMode, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from proxy_addon.core.errors import BodyLost, UpstreamFailed
from proxy_addon.core.messages import Headers, Pass, Reply, Request
from proxy_addon.core.status import Outcome
from proxy_addon.edge import framing, intake
from proxy_addon.edge.contract import BODY_LIMIT, Engine
from proxy_addon.edge.h1 import StrictHttp1Server, response
from proxy_addon.edge.h2 import PacedHttp2Server
from proxy_addon.edge.held import HeldBody
from proxy_addon.edge.intake import Place, Refusal
from proxy_addon.edge.pump import Exchange
from proxy_addon.edge.relay import Tunnel
from proxy_addon.edge.wire import STEP, Wire
from proxy_addon.front import Front

logger = logging.getLogger(__name__)


class Gate(Protocol):
    """What the layers need of the addon."""

    engine: Engine
    draining: bool

    def wire(self, context: Context) -> Wire: ...

    def deadline(self, context: Context, *, armed: bool) -> None:
        """Start, or call off, the time within which a header block has to be finished."""
        ...


@dataclass
class HubgateAnswerHook(StartHook):
    """Asks the engine; the exchange then holds a reply, a Pass or a fault."""

    exchange: Exchange


@dataclass
class HubgateBodyHook(StartHook):
    """Sends a reply's body to its end; the exchange then holds a fault if it was not reached."""

    exchange: Exchange


class GateLayer(HttpLayer):
    def __init__(self, context: Context, mode: HTTPMode, gate: Gate) -> None:
        super().__init__(context, mode)
        client, server = context.client, context.server
        self.gate = gate
        address = server.address if mode is HTTPMode.transparent else None
        scheme = "https" if client.tls and mode is HTTPMode.transparent else "http"
        self.place = Place(
            scheme,
            intake.normal(address[0]) if address else None,
            address[1] if address else 0,
            client.sni if scheme == "https" else None,
            client.peername[0],
        )
        self.h1: StrictHttp1Server | None = None
        self.h2: PacedHttp2Server | None = None
        self.front: Front | None = None

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        client = self.context.client
        if isinstance(event, events.DataReceived) and event.connection is client and self.h1 is not None:
            if not self.streams:
                data = event.data
                if self.front is not None and not self.h1.buf and self.h1.state == self.h1.read_headers:
                    out, data = self.front.answer(data)
                    if out:
                        yield commands.SendData(client, out)
                    if not data:
                        return
                    event = events.DataReceived(client, data)
                yield from super()._handle_event(event)
                self.gate.deadline(self.context, armed=self.h1.partial)
                return
        elif isinstance(event, events.Start):
            if client.alpn == b"h2":
                self.h2 = PacedHttp2Server(self.context.fork())
                self.connections[client] = self.h2
            else:
                self.h1 = StrictHttp1Server(self.context.fork())
                self.h1.refused = self.refused
                self.connections[client] = self.h1
                self.front = Front(self.gate.engine, self.place)
            self.gate.deadline(self.context, armed=False)
        yield from super()._handle_event(event)
        if isinstance(event, events.CommandCompleted) and self.h1 is not None and not self.streams:
            self.gate.deadline(self.context, armed=self.h1.partial)

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        self.streams[stream_id] = GateStream(self.context.fork(), stream_id, self)
        yield from self.event_to_child(self.streams[stream_id], events.Start())

    def refused(self, refusal: Refusal) -> None:
        reply = framing.refused(refusal)
        self.gate.engine.completed(self.unread(), reply.status, reply.outcome, "-", "-", 0, 0.0, False)

    def unread(self) -> Request:
        """Stands in the access log for a request that could not be understood."""
        place = self.place
        return Request("-", place.scheme, place.host or "-", place.port, "-", client=place.client)


class GateStream(HttpStream):
    def __init__(self, context: Context, stream_id: int, parent: GateLayer) -> None:
        super().__init__(context, stream_id)
        self.parent = parent
        self.gate = parent.gate
        self.exchange: Exchange | None = None

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, RequestProtocolError) and self.exchange is not None:
            self.exchange.abort()
        yield from super().handle_event(event)

    def state_wait_for_request_headers(self, event: RequestHeaders) -> layer.CommandGenerator[None]:
        if event.request.data.method == b"CONNECT":
            yield from super().state_wait_for_request_headers(event)
            return
        self.flow = http.HTTPFlow(self.context.client, self.context.server)
        self.flow.request = event.request
        self.flow.live = True
        request = intake.read(event.request, self.parent.place)
        if isinstance(request, Refusal):
            self.exchange = Exchange(self.parent.unread(), self.gate.wire(self.context))
            yield from self.send_reply(framing.refused(request), close=True)
            return
        self.exchange = Exchange(request, self.gate.wire(self.context))
        try:
            taken = self.gate.engine.takes(request)
        except Exception as fault:
            yield from self.send_reply(self.failed(fault), close=True)
            return
        if not taken:
            self.flow.metadata["hubgate"] = self.exchange
            self.exchange.reply = Pass()
            event.replay_flow = self.flow
            yield from super().state_wait_for_request_headers(event)
            return
        if "expect" in request.headers and not event.end_stream:
            hundred = http.Response.make(100)
            hundred.headers.clear()
            yield SendHttp(ResponseHeaders(self.stream_id, hundred), self.context.client)
        self.client_state = self.state_collect

    def state_collect(self, event: events.Event) -> layer.CommandGenerator[None]:
        assert self.exchange is not None
        if isinstance(event, RequestData):
            self.request_body_buf += event.data
            if len(self.request_body_buf) > BODY_LIMIT:
                self.request_body_buf.clear()
                yield from self.send_reply(framing.refused(Refusal(413, "the request body is too long")), close=True)
        elif isinstance(event, RequestEndOfMessage):
            self.client_state = self.state_done
            if body := bytes(self.request_body_buf):
                self.exchange.request = _with_body(self.exchange.request, body)
                self.request_body_buf.clear()
            yield from self.respond(self.exchange)

    def respond(self, exchange: Exchange) -> layer.CommandGenerator[None]:
        if self.parent.h2 is not None:
            try:
                exchange.reply = self.gate.engine.quick(exchange.request)
            except Exception as fault:
                exchange.fault = fault
        if exchange.reply is None and exchange.fault is None:
            yield HubgateAnswerHook(exchange)
        match exchange.reply:
            case _ if exchange.aborted:
                self.left(exchange)
            case None:
                fault, exchange.fault = exchange.fault, None
                yield from self.send_reply(self.failed(fault))
            case Pass():
                yield from self.forward(exchange)
            case Reply() as reply:
                yield from self.send_reply(reply)

    def send_reply(self, reply: Reply, *, close: bool = False) -> layer.CommandGenerator[None]:
        """Sends the whole of `reply`; `close` also ends an HTTP/1 connection."""
        exchange = self.exchange
        assert exchange is not None
        version = self.flow.request.http_version
        try:
            frame = framing.frame(reply, self.flow.request.method, version)
            head_fields = frame.headers
            if (close or frame.until_close or self.gate.draining) and self.parent.h2 is None:
                head_fields = Headers((*head_fields.fields, ("Connection", "close")))
            head = response(reply.status, framing.phrase(reply), head_fields)
        except Exception as fault:
            _release(reply)
            yield from self.send_reply(self.failed(fault), close=True)
            return
        exchange.reply, exchange.framing = reply, frame
        if isinstance(reply.body, bytes) and len(reply.body) > STEP and not frame.bodiless:
            reply.body = HeldBody(reply.body)
        self.server_state = self.state_done
        yield SendHttp(ResponseHeaders(self.stream_id, head, frame.bodiless), self.context.client)
        if frame.bodiless:
            _release(reply)
        elif isinstance(reply.body, bytes):
            yield SendHttp(ResponseData(self.stream_id, reply.body), self.context.client)
            exchange.sent = len(reply.body)
        else:
            if self.parent.h2 is not None:
                exchange.h2 = (self.parent.h2, self.stream_id)
            yield HubgateBodyHook(exchange)
        lost = exchange.aborted or exchange.fault is not None
        self.completed(exchange, lost)
        if self.client_state != self.state_done:
            self.client_state = self.state_errored
        if lost:
            yield from self.cut(exchange)
        else:
            self.flow.live = False
            yield DropStream(self.stream_id)
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def cut(self, exchange: Exchange) -> layer.CommandGenerator[None]:
        """Ends a reply so that nobody takes the part for the whole."""
        if exchange.fault is not None and not isinstance(exchange.fault, (ConnectionError, BodyLost, TimeoutError)):
            if not exchange.aborted:
                self.failed(exchange.fault)
        elif isinstance(exchange.fault, BodyLost):
            logger.warning("body lost after %d bytes of %s: %s", exchange.sent, _place(exchange), exchange.fault)
        self.flow.live = False
        if exchange.framing is not None and exchange.framing.until_close:
            exchange.wire.reset()
        if not exchange.aborted:
            yield SendHttp(ResponseProtocolError(self.stream_id, "cut", ErrorCode.KILL), self.context.client)
            yield DropStream(self.stream_id)

    def left(self, exchange: Exchange) -> None:
        """The client has gone before there was anything to send."""
        reply = exchange.reply
        if isinstance(reply, Reply):
            _release(reply)
        self.server_state = self.state_done
        self.completed(exchange, True)

    def completed(self, exchange: Exchange, aborted: bool) -> None:
        reply = exchange.reply
        status, outcome, hub, kind = 0, Outcome(), "-", "-"
        if isinstance(reply, Reply):
            status, outcome, hub, kind = reply.status, reply.outcome, reply.hub, reply.kind
        try:
            self.gate.engine.completed(
                exchange.request, status, outcome, hub, kind, exchange.sent, exchange.seconds, aborted
            )
        except Exception:
            logger.exception("the access log failed")

    def failed(self, fault: BaseException | None) -> Reply:
        if isinstance(fault, UpstreamFailed):
            return framing.refused(Refusal(fault.status, fault.reason))
        ident = framing.error_id()
        assert self.exchange is not None
        logger.error("%s: %s", ident, _place(self.exchange), exc_info=fault)
        return framing.failed(ident)

    def forward(self, exchange: Exchange) -> layer.CommandGenerator[None]:
        """Relays a request whose body is here already; the rest is mitmproxy's, as for one that was never taken."""
        request, message = exchange.request, self.flow.request
        self.flow.metadata["hubgate"] = exchange
        message.data.host, message.data.port, message.scheme = request.host, request.port, request.scheme
        if not message.is_http2:
            message.authority = ""
        message.headers.pop("expect", None)
        message.data.content = request.body
        self.server_state = self.state_wait_for_response_headers
        if not (yield from self.make_server_connection()):
            return
        server = self.context.server
        yield SendHttp(RequestHeaders(self.stream_id, message, not request.body), server)
        if request.body:
            yield SendHttp(RequestData(self.stream_id, request.body), server)
        yield SendHttp(RequestEndOfMessage(self.stream_id), server)

    def handle_connect_regular(self) -> layer.CommandGenerator[None]:
        server = self.context.server
        ours = self.flow.metadata.get("hubgate-ours", False)
        if not self.flow.response and not ours:
            # The far end is reached first, so that a failure is an answer and not a tunnel that dies.
            port = self.flow.request.port
            error = yield commands.OpenConnection(server)
            if error:
                self.flow.response = connect_failed(error)
            else:
                self.child_layer = Tunnel(self.context, self.gate.engine, port)
        if ours:
            self.child_layer = layer.NextLayer(self.context)
            self.gate.deadline(self.context, armed=True)
        yield from self.handle_connect_finish()


def connect_failed(error: str) -> http.Response:
    reply = framing.refused(Refusal(502, error))
    assert isinstance(reply.body, bytes)
    made = response(reply.status, framing.phrase(reply), reply.headers)
    made.data.content = reply.body
    return made


def _release(reply: Reply) -> None:
    if not isinstance(reply.body, bytes):
        reply.body.close()


def _with_body(request: Request, body: bytes) -> Request:
    return Request(
        request.method,
        request.scheme,
        request.host,
        request.port,
        request.path,
        request.query,
        request.headers,
        body,
        request.client,
    )


def _place(exchange: Exchange) -> str:
    request = exchange.request
    return f"{request.method} {request.origin}{request.path}"
