"""Answers to requests inside mitmproxy's layers: the only module, with `edge`, that knows their insides.

`GateLayer` takes the place of mitmproxy's `HttpLayer` and makes a `GateStream` for each request. A request that the
engine takes never sees mitmproxy's own hooks: one hook of ours asks the engine, a second one moves a long body (see
`edge.pump`), and while it waits only this stream is paused. What is passed through goes mitmproxy's own way, streamed
in both directions. Anything unexpected ends in a 503 with an id; no path leads from a fault to a request upstream.

mitmproxy's private parts this rests on, to be looked at when it changes: `HttpLayer.connections/streams/make_stream`,
the states of `HttpStream`, `Http1Server.state/buf`, `BufferedH2Connection`,
`ConnectionHandler.transports/max_conns`.
"""

from __future__ import annotations

import contextlib

from mitmproxy import http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import DropStream, HttpLayer, HTTPMode, SendHttp
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpRequestHeadersHook

from proxy_addon.auth import FIELD, Login
from proxy_addon.core.messages import Finished, Pass, Reply, Request
from proxy_addon.edge import framing, intake, outward
from proxy_addon.edge.collect import CollectStream
from proxy_addon.edge.h1 import StrictHttp1Server
from proxy_addon.edge.h2 import PacedHttp2Server
from proxy_addon.edge.intake import Place, Refusal
from proxy_addon.edge.owing import Owing
from proxy_addon.edge.pump import Exchange
from proxy_addon.edge.relay import Tunnel
from proxy_addon.edge.reply import Addon, HubgateAnswerHook, HubgateBodyHook, at_hand, connect_failed
from proxy_addon.edge.wire import STEP, Wire
from proxy_addon.front import Front

__all__ = ["GateLayer", "GateStream", "HubgateAnswerHook", "HubgateBodyHook"]


class GateLayer(HttpLayer):
    def __init__(self, context: Context, mode: HTTPMode, gate: Addon) -> None:
        super().__init__(context, mode)
        client, server = context.client, context.server
        self.gate = gate
        opened = next((above for above in reversed(context.layers) if isinstance(above, GateStream)), None)
        self.login = opened.login if opened is not None else None
        address = server.address if mode is HTTPMode.transparent else None
        scheme = "https" if client.tls and mode is HTTPMode.transparent else "http"
        self.place = Place(
            scheme,
            intake.normal(address[0]) if address else None,
            address[1] if address else 0,
            client.sni if scheme == "https" else None,
            client.peername[0],
            self.login.user if self.login is not None else "",
        )
        self.h1: StrictHttp1Server | None = None
        self.h2: PacedHttp2Server | None = None
        self.front: Front | None = None
        self._wire: Wire | None = None
        self._owing = Owing(gate, context)

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            self._start()
        elif self._between() and isinstance(event, events.DataReceived) and event.connection is self.context.client:
            rest = yield from self._at_once(event.data)
            if not rest:
                return
            event = events.DataReceived(self.context.client, rest)
        yield from super()._handle_event(event)
        if self.h1 is not None and not self.streams:
            while self._between() and (ahead := self.h1.take()) and (rest := (yield from self._at_once(ahead))):
                yield from super()._handle_event(events.DataReceived(self.context.client, rest))
            self.gate.deadline(self.context, armed=self.h1.partial)
        uploads = any(isinstance(each, GateStream) and each.uploads for each in self.streams.values())
        self._owing.after(event, self.h1 or self.h2, self.streams.values(), uploads)

    def _start(self) -> None:
        client = self.context.client
        if client.alpn == b"h2":
            self.connections[client] = self.h2 = PacedHttp2Server(self.context.fork())
        else:
            self.connections[client] = self.h1 = StrictHttp1Server(self.context.fork())
            self.h1.refused = self.refused
            self.front = Front(self.gate.engine, self.place, self.gate.door, self.login)

    def _between(self) -> bool:
        """Nothing is being served, and no part of a request was read."""
        return (
            not self.streams and self.h1 is not None and not self.h1.partial and self.h1.state == self.h1.read_headers
        )

    def _at_once(self, data: bytes) -> layer.CommandGenerator[bytes]:
        """Sends what memory, or one look at the disk, can answer, past the layers above: they have nothing to add.

        Returns the rest."""
        front = self.front
        if front is None or self.gate.draining:
            return data
        out, rest, asked = front.answer(data)
        while True:
            self._send(out)
            if asked is None:
                return rest
            glance = Exchange(asked.request, self.wire)
            if not glance.begin(self.gate.engine.glance(asked.request)):
                yield HubgateAnswerHook(glance)
            if not isinstance(glance.reply, Reply) or self.gate.draining or not at_hand(glance.reply):
                return rest
            sent = front.reply(asked, glance.reply)
            out, rest, asked = front.answer(rest[asked.size :])
            out = sent + out

    def _send(self, out: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(out), STEP):
                self.wire.send(out[start : start + STEP])

    @property
    def wire(self) -> Wire:
        if self._wire is None:
            self._wire = self.gate.wire(self.context)
        return self._wire

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        self.streams[stream_id] = GateStream(self.context.fork(), stream_id, self)
        yield from self.event_to_child(self.streams[stream_id], events.Start())

    def refused(self, refusal: Refusal) -> None:
        reply = framing.refused(refusal)
        self.gate.engine.completed(Finished(self.unread(), reply.status, reply.outcome))

    def unread(self) -> Request:
        """Stands in the access log for a request that could not be understood."""
        place = self.place
        return Request("-", place.scheme, place.host or "-", place.port, "-", client=place.client, user=place.user)


class GateStream(CollectStream):
    login: Login | None = None  # of who opened the tunnel that begins here

    @property
    def uploads(self) -> bool:
        return self.client_state in (self.state_collect, self.state_stream_request_body)

    def state_wait_for_request_headers(self, event: RequestHeaders) -> layer.CommandGenerator[None]:
        if event.request.data.method == b"CONNECT":
            yield from super().state_wait_for_request_headers(event)
            return
        self.message = event.request
        shown = event.request.headers.get_all(FIELD)
        event.request.headers.pop(FIELD, None)  # from here on nobody can send it upstream, or log it
        request = intake.read(event.request, self.parent.place, ended=event.end_stream)
        if isinstance(request, Refusal):
            self.exchange = Exchange(self.parent.unread(), self.parent.wire)
            yield from self.send_reply(framing.refused(request), close=True)
            return
        self.exchange = Exchange(request, self.parent.wire)
        if not (yield from self.enter(self.exchange, shown, close=not event.end_stream)):
            return
        request = self.exchange.request
        try:
            taken = self.gate.engine.takes(request)
            refusal = None if event.end_stream else self.gate.engine.refuses(request)
        except Exception as fault:
            yield from self.send_reply(self.failed(fault), close=True)
            return
        if refusal is not None:
            yield from self.send_reply(refusal, close=True)
            return
        if not taken:
            self.exchange.reply, self.exchange.ended = Pass(), event.end_stream
            event.replay_flow = self.make_flow(self.exchange)
            yield from super().state_wait_for_request_headers(event)
            return
        if "expect" in request.headers and not event.end_stream:
            hundred = http.Response.make(100)
            hundred.headers.clear()
            yield SendHttp(ResponseHeaders(self.stream_id, hundred), self.context.client)
        self.client_state = self.state_collect

    async def _asked(self, request: Request) -> Reply | Pass:
        engine = self.gate.engine
        seen = await engine.glance(request) if self.parent.h2 is not None else None
        return seen or await engine.handle(request)

    def make_flow(self, exchange: Exchange) -> http.HTTPFlow:
        """What mitmproxy needs for a request that it relays."""
        assert self.message is not None
        self.flow = http.HTTPFlow(self.context.client, self.context.server)
        self.flow.request = self.message
        self.flow.live = True
        self.flow.metadata["hubgate"] = exchange
        return self.flow

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        if self.exchange is None or isinstance(self.exchange.reply, Pass):
            yield from super().handle_protocol_error(event)
        else:
            self.client_state = self.server_state = self.state_errored
            yield DropStream(self.stream_id)

    def respond(self, exchange: Exchange) -> layer.CommandGenerator[None]:
        try:
            if self.parent.h2 is not None:
                exchange.reply = self.gate.engine.quick(exchange.request)
            if exchange.reply is None and not exchange.begin(self._asked(exchange.request)):
                yield HubgateAnswerHook(exchange)
        except Exception as fault:
            exchange.fault = fault
        match exchange.reply:
            case _ if exchange.aborted:
                self.left(exchange)
            case None:
                cause, exchange.fault = exchange.fault, None
                yield from self.send_reply(self.failed(cause))
            case Pass():
                yield from self.forward(exchange)
            case Reply() as reply:
                self.let_go()
                yield from self.send_reply(reply)

    def forward(self, exchange: Exchange) -> layer.CommandGenerator[None]:
        """Relays a request whose body is here already; the rest is mitmproxy's, as for one that was never taken."""
        request, message = exchange.request, self.make_flow(exchange).request
        outward.whole(message, request)
        yield HttpRequestHeadersHook(self.flow)
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

    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield from super().state_stream_response_body(event)
        http2, reader = self.parent.h2, self.gate.reader(self.context)
        if http2 is not None and reader is not None and http2.holds_back(self.stream_id):
            reader.hold(self.stream_id)
            http2.when_flushed(self.stream_id, lambda: reader.release(self.stream_id))

    def handle_connect_regular(self) -> layer.CommandGenerator[None]:
        server = self.context.server
        ours = self.flow.metadata.get("hubgate-ours", False)
        self.login = self.flow.metadata.get("hubgate-login")
        if not self.flow.response and not ours:
            # The far end is reached first, so that a failure is an answer and not a tunnel that dies.
            port = self.flow.request.port
            error = yield commands.OpenConnection(server)
            if error:
                self.flow.response = connect_failed(error)
            else:
                self.child_layer = Tunnel(self.context, self.gate.engine, port, self.may)
        if ours:
            self.child_layer = layer.NextLayer(self.context)
            self.gate.deadline(self.context, armed=True)
        yield from self.handle_connect_finish()  # type: ignore[no-untyped-call]
        if self.child_layer is None:
            yield DropStream(self.stream_id)

    def may(self) -> bool:
        """Whether who opened this tunnel may go on."""
        return self.gate.door is None or self.gate.door.turned(self.login) is None
