"""An HTTP/2 server side that sends a body only as far as the client's windows are open.

mitmproxy keeps what a closed window holds back, without bound. Here the sender asks for the room first (RFC 9113
§5.2) and waits for it, so nothing is kept but the body's own buffer. DATA frames of a body are laid out here in one
go, which leaves their price close to HTTP/1.1's; both windows are charged as h2 itself charges them. What a client may
send to no purpose is in `calm`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from h2 import events as h2_events
from h2.errors import ErrorCodes
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.events import ConnectionClosed, DataReceived, Event
from mitmproxy.proxy.layers.http._events import ResponseData, ResponseEndOfMessage, ResponseHeaders
from mitmproxy.proxy.layers.http._http2 import Http2Server, StreamState

from .calm import Calm, CalmBuffer, TooMuch
from .wire import STEP

logger = logging.getLogger(__name__)

_FRAME, _DATA = 9, 0  # bytes of a frame's head; the type that a body comes in (RFC 9113 §4.1, §6.1)

#: One buffer for the frames of all streams: a fresh one each time is paid in page faults. Frame limits start at 16 KiB.
_frames = memoryview(bytearray(STEP + 9 * (STEP // 16384 + 1)))


class PacedHttp2Server(Http2Server):
    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._calm = Calm()
        self.h2_conn.incoming_buffer = CalmBuffer(self._calm, self.h2_conn.streams)
        self._waiting: list[asyncio.Future[None]] = []
        self._flushing: dict[int, Callable[[], None]] = {}
        self._came = 0  # bytes

    @property
    def begun(self) -> tuple[str, int] | None:
        """What of a header block, or of a frame that is no DATA, has come and is not complete."""
        buffer = self.h2_conn.incoming_buffer
        if buffer._headers_buffer:
            return "block", buffer._headers_buffer[0].stream_id
        waits = len(buffer._data)
        if buffer._preamble_len or (waits and (waits < _FRAME or buffer._data[3] != _DATA)):
            return "frame", self._came - waits
        return None

    def _overlong(self) -> bool:
        """h2 itself says so only when the whole of such a frame has come, which may be 16 MiB."""
        data = self.h2_conn.incoming_buffer._data
        return len(data) >= _FRAME and int.from_bytes(data[:3]) > self.h2_conn.max_inbound_frame_size

    def _handle_event(self, event: Event) -> layer.CommandGenerator[None]:
        if isinstance(event, DataReceived):
            self._came += len(event.data)
        elif isinstance(event, ResponseData):
            self._calm.sent(1 + len(event.data) // self.h2_conn.max_outbound_frame_size)
        elif isinstance(event, (ResponseHeaders, ResponseEndOfMessage)):
            self._calm.sent(1)
        yield from super()._handle_event(event)
        if isinstance(event, DataReceived) and self._overlong():
            self.h2_conn.incoming_buffer._data.clear()
            yield from self.protocol_error("a frame is too long", ErrorCodes.FRAME_SIZE_ERROR)
        if isinstance(event, (DataReceived, ConnectionClosed)) and self._waiting:
            self._wake()
        for stream_id in [stream_id for stream_id in self._flushing if not self.holds_back(stream_id)]:
            self._flushing.pop(stream_id)()

    def handle_h2_event(self, event: h2_events.Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, h2_events.StreamReset) and event.stream_id is not None:
            # Of a request that came in one read with its reset, mitmproxy has forgotten by now that it was begun.
            self.streams.setdefault(event.stream_id, StreamState.HEADERS_RECEIVED)
        if not isinstance(event, TooMuch):
            return (yield from super().handle_h2_event(event))
        # mitmproxy's own way would say PROTOCOL_ERROR behind what h2 has said already.
        logger.info("closed: %s from %s", event, self.conn.peername[0])  # type: ignore[index]
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())
        yield from self.close_connection(str(event))
        return True

    def holds_back(self, stream_id: int) -> bool:
        """Whether something that was sent the usual way is still waiting for a window."""
        return bool(self.h2_conn.stream_buffers.get(stream_id))

    def when_flushed(self, stream_id: int, then: Callable[[], None]) -> None:
        self._flushing[stream_id] = then

    def room(self, stream_id: int) -> int:
        """Bytes of DATA that may go out now. Raises ConnectionError when the stream is no longer open."""
        if not self.is_open_for_us(stream_id):
            raise ConnectionResetError("the stream was reset")
        return max(0, self.h2_conn.local_flow_control_window(stream_id))

    async def more_room(self) -> None:
        """Returns when the client has sent something; ask `room` again then."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            if not future.done() or future.cancelled():
                self._waiting = [other for other in self._waiting if other is not future]

    def data(self, stream_id: int, payload: memoryview) -> memoryview:
        """DATA frames for `payload`, at most `STEP` bytes that fit into `room`; the windows are charged.

        What is returned is good until the next call.
        """
        size = len(payload)
        stream = self.h2_conn.streams[stream_id]
        stream.outbound_flow_control_window -= size
        self.h2_conn.outbound_flow_control_window -= size
        most = self.h2_conn.max_outbound_frame_size
        ident = stream_id.to_bytes(4)
        at = 0
        for start in range(0, size, most):
            part = payload[start : start + most]
            _frames[at : at + 9] = len(part).to_bytes(3) + b"\0\0" + ident
            at += 9
            _frames[at : at + len(part)] = part
            at += len(part)
        self._calm.sent(1 + size // most)
        return _frames[:at]

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
