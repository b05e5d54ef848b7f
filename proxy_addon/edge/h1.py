"""An HTTP/1 server side that reads strictly and answers in one voice.

mitmproxy's parser forgives: a bare LF ends a line, a folded line is joined, a header block may be of any size. Two
readers that forgive differently are request smuggling (RFC 9112 §2.2, §5.2, §11.2), so here the raw block is looked
at first and anything of that kind is 400 and the end of the connection. What is buffered while a request is served is
bounded too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import http1
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import RequestHeaders, ResponseProtocolError
from mitmproxy.proxy.layers.http._http1 import Http1Server, make_body_reader

from proxy_addon.core.messages import Headers, Reply
from proxy_addon.core.status import Detail

from . import framing
from .chunks import TOKEN, Chunks
from .intake import Refusal, unreadable

HEAD_LIMIT = 64 * 1024
#: Pipelined requests that wait behind the one being served.
AHEAD_LIMIT = 256 * 1024

_SOUND = re.compile(TOKEN + rb" [!-~]++ HTTP/1\.[01]\r\n(?>" + TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+\r\n")
_END = re.compile(rb"\n\r?\n")
_UNSAFE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\x00|\n[ \t]")
_STATUS = {400: Detail.MALFORMED, 413: Detail.MALFORMED, 502: Detail.UPSTREAM}


def _message(reply: Reply) -> bytes:
    assert isinstance(reply.body, bytes)
    headers = Headers((*reply.headers.fields, ("Connection", "close")))
    return framing.head(reply.status, framing.phrase(reply), headers) + reply.body


@dataclass
class Answered(HttpEvent):
    """A reply was sent past the layers; `close` when it was the last on its connection."""

    close: bool


class StrictHttp1Server(Http1Server):
    #: Called with a Refusal for each request that never became one.
    refused: Callable[[Refusal], None] | None = None
    #: A header block has begun and not ended.
    partial = False
    #: Set from the moment a reply was sent past the layers until its request was read to the end.
    _last: bool | None = None

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, events.ConnectionClosed):
            # Without mitmproxy's word about it, which repeats what came of a header block, credentials and all.
            yield commands.CloseConnection(self.conn)
            return
        if not isinstance(event, events.DataReceived):
            yield from super().read_headers(event)
            return
        if refusal := self._fault():
            yield from self._refuse(refusal)
            return
        lines = self.buf.maybe_extract_lines()
        self.partial = lines is None and bool(self.buf)
        if not lines:
            return
        try:
            self.request = http1.read_request_head([bytes(line) for line in lines])
            validate_headers(self.request)
            size = http1.expected_http_body_size(self.request)
            coding = self.request.headers.get("transfer-encoding", "chunked").lower()
        except ValueError as fault:
            yield from self._refuse(unreadable(fault))
            return
        if coding != "chunked":
            yield from self._refuse(Refusal(501, "the transfer coding is not served"))
            return
        yield ReceiveHttp(RequestHeaders(self.stream_id, self.request, size == 0))
        self.body_reader = Chunks() if size is None else make_body_reader(size)  # type: ignore[assignment]
        self.state = self.read_body
        yield from self.state(event)

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        for command in super().read_body(event):
            # Still reading, and yet it closes: the body's own framing is broken.
            if isinstance(command, commands.CloseConnection) and self.state == self.read_body and not self.response:
                yield commands.SendData(self.conn, _message(framing.refused(Refusal(400, "the body is malformed"))))
                self.state = self.done
            yield command

    def wait(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.DataReceived) and len(self.buf) > AHEAD_LIMIT:
            yield from super().wait(events.ConnectionClosed(event.connection))
        else:
            yield from super().wait(event)

    def take(self) -> bytes:
        """What is buffered and not looked at; only between two requests."""
        if not self.buf or self.partial or self.state != self.read_headers:
            return b""
        return bytes(self.buf.maybe_extract_at_most(len(self.buf)) or b"")

    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, Answered):
            self._last = event.close
            yield from self.mark_done()
            return
        if isinstance(event, ResponseProtocolError) and self.response is None:
            status = event.code.http_status_code()
            if status is not None and self.conn.state & ConnectionState.CAN_WRITE:
                detail = _STATUS.get(status, Detail.ERROR)
                yield commands.SendData(self.conn, _message(framing.refused(Refusal(status, event.message, detail))))
                yield commands.CloseConnection(self.conn)
                return
        yield from super().send(event)

    def mark_done(self, *, request: bool = False, response: bool = False) -> layer.CommandGenerator[None]:
        """Unlike mitmproxy's, does not go on to the next request by itself: a pipeline would nest ever deeper."""
        if self._last is None:
            yield from super().mark_done(request=request, response=response)
            return
        self.request_done |= request
        if not self.request_done:
            return
        last, self._last = self._last, None
        self.request_done = False
        self.request = None
        self.stream_id += 2
        self.state = self.done if last else self.read_headers
        if last:
            yield commands.CloseConnection(self.conn)

    def _fault(self) -> Refusal | None:
        raw = bytes(self.buf)
        # An empty line or two before the request line is allowed (RFC 9112 §2.2).
        start = len(raw) - len(raw.lstrip(b"\r\n"))
        sound = _SOUND.match(raw, start)
        if sound is not None and sound.end() - start <= HEAD_LIMIT:
            return None
        end = _END.search(raw, start)
        block = raw[start : end.end() if end else len(raw)]
        if len(block) > HEAD_LIMIT:
            return Refusal(431, "the header block is too long")
        if _UNSAFE.search(block[:-1] if block.endswith(b"\r") else block):
            return Refusal(400, "bare CR or LF, NUL or a folded line in the header block")
        if end is None:
            return None
        line = block[: block.find(b"\r\n")]
        if line.count(b" ") == 2 and not line.endswith((b" HTTP/1.1", b" HTTP/1.0")):
            return Refusal(505, "the version is not served")
        return Refusal(400, "the header block is malformed")

    def _refuse(self, refusal: Refusal) -> layer.CommandGenerator[None]:
        if self.refused is not None:
            self.refused(refusal)
        yield commands.SendData(self.conn, _message(framing.refused(refusal)))
        yield commands.CloseConnection(self.conn)
        self.state = self.done


def response(reply_status: int, reason: str, headers: Headers) -> http.Response:
    """A head for mitmproxy to send; its content goes separately."""
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return http.Response(
        b"HTTP/1.1", reply_status, reason.encode("latin-1"), http.Headers(fields), None, None, 0.0, 0.0
    )
