"""Sends one `Reply` on one stream: the head, what is at hand of the body, and an end, or a break that looks like one.

Over HTTP/1 head and small bodies go past the layers in one write; over HTTP/2 they go through them, which keep its
state. A body that is not at hand is moved by `pump`, and the stream is paused by a hook only while something is
waited for. Whatever happens, the body is closed and the request is on record once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mitmproxy import http
from mitmproxy.proxy import layer
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import DropStream, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)

from proxy_addon.auth import Door, Login, Turned
from proxy_addon.core.errors import BodyLost, UpstreamFailed
from proxy_addon.core.messages import BytesBody, Finished, Headers, Reply, Request
from proxy_addon.core.status import Detail, Outcome

from . import framing, owing
from .contract import Engine
from .framing import Framing
from .h1 import Answered, response
from .h2 import PacedHttp2Server
from .holding import Holding
from .intake import Place, Refusal
from .pump import Exchange
from .relay import PacedReader
from .wire import STEP, Wire

logger = logging.getLogger(__name__)


class Addon(owing.Creditor, Protocol):
    """What the layers need of the addon."""

    engine: Engine
    holding: Holding
    draining: bool
    door: Door | None

    def wire(self, context: Context) -> Wire: ...

    def reader(self, context: Context) -> PacedReader | None:
        """That of the upstream connection a stream is relayed from."""
        ...


class Connection(Protocol):
    """The layer that a stream belongs to; `h2` is None over HTTP/1."""

    gate: Addon
    h2: PacedHttp2Server | None
    place: Place
    login: Login | None

    @property
    def wire(self) -> Wire: ...

    def unread(self) -> Request: ...


@dataclass
class HubgateAnswerHook(StartHook):
    """Asks the engine; the exchange then holds a reply, a Pass or a fault."""

    exchange: Exchange


@dataclass
class HubgateBodyHook(StartHook):
    """Sends a reply's body to its end; the exchange then holds a fault if it was not reached."""

    exchange: Exchange


class ReplyStream(HttpStream):
    exchange: Exchange | None = None
    message: http.Request | None = None

    def __init__(self, context: Context, stream_id: int, parent: Connection) -> None:
        super().__init__(context, stream_id)
        self.parent = parent
        self.gate = parent.gate

    def enter(self, exchange: Exchange, shown: Sequence[str], *, close: bool) -> layer.CommandGenerator[bool]:
        """Whether the request may go on, as whose is in it then; else it was answered. `shown`: the lines of
        Proxy-Authorization, which count outside a tunnel. `close`: what follows is not to be read."""
        door, place = self.gate.door, self.parent.place
        if door is None:
            return True
        if place.host is not None:
            if (turned := door.turned(self.parent.login)) is None:
                return True
            yield from self.send_reply(framing.turned(turned), close=True)
            return False
        if not exchange.begin(self._entered(door, exchange, shown)):
            yield HubgateAnswerHook(exchange)
        if exchange.aborted:
            self.left(exchange)
        elif exchange.fault is not None:
            cause, exchange.fault = exchange.fault, None
            yield from self.send_reply(self.failed(cause), close=True)
        elif isinstance(exchange.reply, Reply):
            yield from self.send_reply(exchange.reply, close=close)
        else:
            return True
        return False

    async def _entered(self, door: Door, exchange: Exchange, shown: Sequence[str]) -> Reply | None:
        login = await door.enter(shown, self.parent.place.client)
        if isinstance(login, Turned):
            return framing.turned(login)
        exchange.request = replace(exchange.request, user=login.user)
        return None

    def send_reply(self, reply: Reply, *, close: bool = False) -> layer.CommandGenerator[None]:
        """Sends the whole of `reply`; `close` also ends an HTTP/1 connection."""
        exchange = self.exchange
        assert exchange is not None and self.message is not None
        version = self.message.http_version
        try:
            frame = framing.frame(reply, self.message.method, version)
            close = (
                close or frame.until_close or self.gate.draining or framing.closes(exchange.request.headers, version)
            )
            if close and self.parent.h2 is None:
                frame = replace(frame, headers=Headers((*frame.headers.fields, ("Connection", "close"))))
            head = framing.head(reply.status, framing.phrase(reply), frame.headers)
        except Exception as fault:
            reply.close()
            yield from self.send_reply(self.failed(fault), close=True)
            return
        if isinstance(reply.body, bytes) and len(reply.body) > STEP and not frame.bodiless:
            reply.body = BytesBody(reply.body)
        exchange.reply, exchange.framing = reply, frame
        yield from self.send_head(exchange, reply, frame, head)
        if frame.bodiless:
            reply.close()
        elif not isinstance(reply.body, bytes) and not exchange.begin(exchange.send_body()):
            yield HubgateBodyHook(exchange)
        lost = exchange.aborted or exchange.fault is not None
        self.completed(exchange, lost)
        if self.client_state != self.state_done:
            self.client_state = self.state_errored
        self.server_state = self.state_done
        if lost:
            yield from self.cut(exchange)
            return
        yield DropStream(self.stream_id)
        http2 = self.parent.h2 is not None
        end = ResponseEndOfMessage(self.stream_id) if http2 else Answered(self.stream_id, close)
        yield SendHttp(end, self.context.client)

    def send_head(self, exchange: Exchange, reply: Reply, frame: Framing, head: bytes) -> layer.CommandGenerator[None]:
        """The head, with a body that is at hand."""
        content = reply.body if isinstance(reply.body, bytes) and not frame.bodiless else b""
        if self.parent.h2 is None:
            with contextlib.suppress(ConnectionError):
                exchange.wire.send(head + content)
        else:
            exchange.h2 = (self.parent.h2, self.stream_id)
            message = response(reply.status, framing.phrase(reply), frame.headers)
            yield SendHttp(ResponseHeaders(self.stream_id, message, frame.bodiless), self.context.client)
            if content:
                yield SendHttp(ResponseData(self.stream_id, content), self.context.client)
        exchange.sent = len(content)

    def cut(self, exchange: Exchange) -> layer.CommandGenerator[None]:
        """Ends a reply so that nobody takes the part for the whole."""
        if exchange.fault is not None and not isinstance(exchange.fault, (ConnectionError, BodyLost, TimeoutError)):
            if not exchange.aborted:
                self.failed(exchange.fault)
        elif isinstance(exchange.fault, BodyLost):
            logger.warning("body lost after %d bytes of %s: %s", exchange.sent, _place(exchange), exchange.fault)
        if exchange.framing is not None and exchange.framing.until_close:
            exchange.wire.reset()
        if not exchange.aborted:
            yield SendHttp(ResponseProtocolError(self.stream_id, "cut", ErrorCode.KILL), self.context.client)
            yield DropStream(self.stream_id)

    def left(self, exchange: Exchange) -> None:
        """The client has gone before there was anything to send."""
        reply = exchange.reply
        if isinstance(reply, Reply):
            reply.close()
        self.server_state = self.state_done
        self.completed(exchange, True)

    def completed(self, exchange: Exchange, aborted: bool) -> None:
        reply, promised = exchange.reply, exchange.framing
        if promised is not None and promised.length == exchange.sent:
            aborted = False  # who leaves with the last byte has it all
        status, outcome, hub, kind, ruling = 0, Outcome(), "-", "-", None
        if isinstance(reply, Reply):
            status, outcome, hub, kind, ruling = reply.status, reply.outcome, reply.hub, reply.kind, reply.ruling
        sent, seconds, first = exchange.sent, exchange.seconds, exchange.first_byte
        try:
            self.gate.engine.completed(
                Finished(exchange.request, status, outcome, hub, kind, sent, seconds, aborted, first, ruling)
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


def connect_failed(error: str) -> http.Response:
    reply = framing.refused(Refusal(502, error.removeprefix("Connection killed: "), Detail.UPSTREAM))
    assert isinstance(reply.body, bytes)
    made = response(reply.status, framing.phrase(reply), reply.headers)
    made.data.content = reply.body
    return made


def at_hand(reply: Reply) -> bool:
    """Whether the body is in memory; one that is not is given back, for the slow road to ask again."""
    reply.close()
    return isinstance(reply.body, bytes)


def _place(exchange: Exchange) -> str:
    request = exchange.request
    return f"{request.method} {request.origin}{request.path}"
