"""mitmproxy's hooks on one side, the engine on the other; decides nothing, and fails closed.

mitmproxy swallows what a hook raises and carries on, which for a proxy means: upstream. So every hook here that could
let something through catches everything and turns it into a refusal, and until an engine is there all is refused.
As a script it builds its own engine: `mitmdump -s proxy_addon/addon.py --set hubgate_config=hubgate.yaml`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from mitmproxy import connection, ctx, http
from mitmproxy.addonmanager import Loader
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.proxy import layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import ClientTLSLayer, HttpLayer, ServerTLSLayer
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tls import TlsData

if __name__.startswith("__mitmproxy_script__"):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from proxy_addon.auth import FIELD, Door, Turned
from proxy_addon.config import Limits
from proxy_addon.core.errors import UpstreamFailed
from proxy_addon.core.messages import Finished, Pass, Reply, Request
from proxy_addon.core.status import Detail, Fwd, Outcome
from proxy_addon.edge import connections, framing, intake, outward, relay
from proxy_addon.edge.admission import Admission, Open
from proxy_addon.edge.contract import Engine
from proxy_addon.edge.h1 import response
from proxy_addon.edge.holding import Holding
from proxy_addon.edge.not_yet import NotYet
from proxy_addon.edge.patience import Patience
from proxy_addon.edge.pump import Exchange
from proxy_addon.edge.wire import Wire
from proxy_addon.streaming import GateLayer, HubgateAnswerHook, HubgateBodyHook

logger = logging.getLogger(__name__)

__all__ = ["Hubgate", "HubgateAnswerHook", "HubgateBodyHook", "Served"]


class Served(NamedTuple):  # not a dataclass: mitmproxy loads scripts outside `sys.modules`, where those cannot be made
    """What `proxy_addon.serve.build` hands over; `close` gives back all that the engine holds."""

    engine: Engine
    admission: Admission
    close: Callable[[], Awaitable[None]]
    door: Door | None = None
    limits: Limits = Limits()


class Hubgate:
    name = "hubgate"

    def __init__(
        self,
        engine: Engine | None = None,
        admission: Admission | None = None,
        limits: Limits | None = None,
        door: Door | None = None,
    ) -> None:
        """`door`: who asks clients for a password; None lets in whom `admission` does."""
        self.engine: Engine = engine or NotYet()
        self.admission = admission or Admission()
        self.door = door
        self.draining = False
        self.open = Open()
        self.holding, self.waiting = Holding(self.open), Holding(self.open)
        self.limits = limits or Limits()
        self._patience = Patience(self.limits, connections.cut, connections.waits_for_us)
        self._admitted: dict[str, asyncio.WriteTransport | None] = {}
        self._close: Callable[[], Awaitable[None]] | None = None

    # As a plugin of mitmdump

    def load(self, loader: Loader) -> None:
        loader.add_option("hubgate_config", str, "", "The configuration file of hubgate.")

    async def running(self) -> None:
        if not isinstance(self.engine, NotYet) or __name__.startswith("proxy_addon"):
            return
        from proxy_addon import serve

        ctx.options.update(connection_strategy="lazy", upstream_cert=False, validate_inbound_headers=True)
        try:
            served: Served = await serve.build(ctx.options.hubgate_config)
        except Exception as fault:
            logger.error("%s", fault)
            ctx.master.shutdown()
            return
        self.admission, self.door, self._close = served.admission, served.door, served.close
        self.limits = served.limits
        self._patience = Patience(self.limits, connections.cut, connections.waits_for_us)
        self.engine = served.engine

    async def done(self) -> None:
        if self._close is not None:
            await self._close()

    # What the layers ask for

    def wire(self, context: Context) -> Wire:
        return Wire(connections.of(context.client), context.layers, self.limits.stall)

    def reader(self, context: Context) -> relay.PacedReader | None:
        return connections.reader(context)

    def deadline(self, context: Context, *, armed: bool) -> None:
        self._patience.head(context.client.id, armed=armed)

    def owed(self, context: Context, *, body: bool, came: int) -> None:
        self._patience.body(context.client.id, owed=body, came=came)

    def wait(self, context: Context, *, held: bool) -> None:
        connections.wait(context.client, held=held)

    # Connections

    def client_connected(self, client: connection.Client) -> None:
        try:
            reason = self.admission.enter(client.peername[0])
            if reason is None:
                self._admitted[client.id] = connections.begin(client)
                self._patience.head(client.id, armed=True)
        except Exception:
            logger.exception("admission failed")
            reason = "internal error"
        if reason is not None:
            logger.warning("connection from %s refused: %s", client.peername[0], reason)
            client.error = reason

    def client_disconnected(self, client: connection.Client) -> None:
        self._patience.forget(client.id)
        if client.id in self._admitted:
            connections.end(self._admitted.pop(client.id))
            self.admission.leave(client.peername[0])
            self.open.left += 1

    async def http_connect(self, flow: http.HTTPFlow) -> None:
        user = ""
        try:
            shown = flow.request.headers.get_all(FIELD)
            flow.request.headers.pop(FIELD, None)
            login = await self.door.enter(shown, _peer(flow)) if self.door is not None else None
            if isinstance(login, Turned):
                reply: Reply | None = framing.turned(login)
            else:
                flow.metadata["hubgate-login"] = login
                user = login.user if login is not None else ""
                reply = self._connect(flow)
        except Exception as fault:
            ident = framing.error_id()
            logger.error("%s: CONNECT %s", ident, flow.request.authority, exc_info=fault)
            reply = framing.failed(ident)
        if reply is not None:
            assert isinstance(reply.body, bytes)
            flow.response = response(reply.status, framing.phrase(reply), reply.headers)
            flow.response.data.content = reply.body
            host, port = flow.request.host, flow.request.port
            request = Request("CONNECT", "https", host, port, "", client=_peer(flow), user=user)
            self.engine.completed(Finished(request, reply.status, reply.outcome, kind="tunnel", sent=len(reply.body)))

    def _connect(self, flow: http.HTTPFlow) -> Reply | None:
        named = intake.connect(flow.request)
        if isinstance(named, intake.Refusal):
            return framing.refused(named)
        host, port = named
        # From here on the tunnel is known by this one spelling.
        flow.request.data.host, flow.request.data.port = host, port
        if self.engine.intercepts(host, port):
            flow.metadata["hubgate-ours"] = True
            return None
        phrase = self.engine.tunnel(host, port)
        if phrase is None:
            return None
        refused = framing.refused(intake.Refusal(403, phrase, Detail.DENIED))
        refused.reason = phrase
        return refused

    def next_layer(self, ask: layer.NextLayer) -> None:
        try:
            self._next_layer(ask)
        except Exception:
            logger.exception("no layer for this connection")
            ask.layer = relay.TurnedAway(ask.context)

    def _next_layer(self, ask: layer.NextLayer) -> None:
        context = ask.context
        inside = any(isinstance(above, GateLayer) for above in context.layers)
        if ask.layer is None:
            usual: NextLayer = ctx.master.addons.get("nextlayer")
            usual.next_layer(ask)
        above: layer.Layer | None = None
        chosen = ask.layer
        while isinstance(chosen, (ClientTLSLayer, ServerTLSLayer)):
            if type(chosen) is ClientTLSLayer:
                chosen.__class__ = relay.ShortHello
            above, chosen = chosen, chosen.child_layer
        if type(chosen) is HttpLayer:
            context.layers.remove(chosen)
            ours = GateLayer(context, HTTPMode.transparent if inside else HTTPMode.regular, self)
            if above is None:
                ask.layer = ours
            else:
                above.child_layer = ours  # type: ignore[attr-defined]

    def tls_established_client(self, data: TlsData) -> None:
        self._patience.head(data.context.client.id, armed=False)

    # Exchanges with the engine

    async def hubgate_answer(self, exchange: Exchange) -> None:
        with self.open:
            await exchange.finish()

    async def hubgate_body(self, exchange: Exchange) -> None:
        with self.open:
            await exchange.finish()

    # What is passed through

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        try:
            assert data.server.address is not None
            host, port = intake.normal(data.server.address[0]), data.server.address[1]
            data.server.address = self.engine.connect_to(host, port) or await self.engine.resolve(host, port)
            connections.go_out(data.client, data.server, self.admission.limit)
        except UpstreamFailed as fault:
            data.server.error = fault.reason
        except Exception:
            logger.exception("no address to connect to")
            data.server.error = "internal error"

    def server_connected(self, data: ServerConnectionHookData) -> None:
        io = connections.of(data.client).transports[data.server]
        if isinstance(io.reader, asyncio.StreamReader):
            io.reader = relay.PacedReader(io.reader, self.limits.stall)  # type: ignore[assignment]

    def server_disconnected(self, data: ServerConnectionHookData) -> None:
        connections.left(data.client, data.server)

    server_connect_error = server_disconnected

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if "hubgate" in flow.metadata:
            flow.request.stream = True
            outward.streamed(flow.request, ended=flow.metadata["hubgate"].ended)
            self.open.begin()

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = flow.metadata.get("hubgate")
        if exchange is None or flow.response is None:
            return
        outward.end_to_end(flow.response.headers)
        if isinstance(exchange.reply, Pass):
            for name, value in exchange.reply.told:
                flow.response.headers[name] = value

        def count(data: bytes) -> bytes:
            exchange.sent += len(data)
            return data

        flow.response.stream = count

    def response(self, flow: http.HTTPFlow) -> None:
        self._passed(flow, aborted=False)

    def error(self, flow: http.HTTPFlow) -> None:
        self._passed(flow, aborted=True)

    def _passed(self, flow: http.HTTPFlow, *, aborted: bool) -> None:
        exchange: Exchange | None = flow.metadata.pop("hubgate", None)
        if exchange is None:
            return
        self.open.end()
        passed = exchange.reply if isinstance(exchange.reply, Pass) else Pass()
        status = flow.response.status_code if flow.response else 502
        outcome = Outcome(fwd=Fwd.BYPASS, fwd_status=status if flow.response else None)
        went = exchange.request, status, outcome, passed.hub, passed.kind, exchange.sent, exchange.seconds, aborted
        self.engine.completed(Finished(*went, ruling=passed.ruling))


def _peer(flow: http.HTTPFlow) -> str:
    peer = flow.client_conn.peername
    return peer[0] if peer else ""


if __name__.startswith("__mitmproxy_script__"):
    addons = [Hubgate()]
