"""What a client may send over HTTP/2 that brings nothing forward: so much at once, and then so much a second.

Such a frame costs its sender a dozen bytes and us a request begun in vain, or a reply to it: a stream that is reset
before it is answered (CVE-2023-44487), PING, SETTINGS, PRIORITY, DATA without data, CONTINUATION, types that nobody
knows, whatever is for a stream that is over (CVE-2019-9511 to 9518, CVE-2024-27316, CVE-2025-8671). Each takes from
one bucket, as in nghttp2, which calls them stream resets and glitches, and has 1000 and 33 a second of each
(`nghttp2_option_set_stream_reset_rate_limit`, `..._glitch_rate_limit`); ours cost more, so that it is twice the streams
that may be open at once. Free is what brings something: a request, bytes of a body, a reset of what is being answered
or, one for each frame of an answer, of what is over, and WINDOW_UPDATE in the measure that Envoy has, two for each
request and ten for each DATA frame that was sent (`max_inbound_window_update_frames_per_data_frame_sent`). Whoever has
an empty bucket is sent away before anything of what came with that frame is begun: GOAWAY, ENHANCE_YOUR_CALM (RFC 9113
§10.5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeGuard

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.frame_buffer import FrameBuffer
from h2.stream import H2Stream
from hyperframe.frame import DataFrame, Frame, HeadersFrame, RstStreamFrame, WindowUpdateFrame

AT_ONCE = 200
A_SECOND = 33.0
_UPDATES_A_REQUEST, _UPDATES_A_FRAME = 2, 20  # Envoy counts both ways: of the stream, and of the connection
#: DATA of fewer bytes costs a part of a frame that brings nothing: somebody may write line by line. More is free
#: whatever becomes of it: what is on its way to a stream that was just reset is no fault of who sent it.
_THIN, _THIN_PRICE = 256, 0.1


class TooMuch(ProtocolError):
    error_code = ErrorCodes.ENHANCE_YOUR_CALM


class Calm:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._at, self._left = clock, clock(), float(AT_ONCE)
        self._updates = 1  # WINDOW_UPDATE that are free
        self._last = 0  # the request that was begun last
        self._late = 0  # resets of what is over that are free

    def sent(self, frames: int) -> None:
        """Of replies. Each may be on its way to a client that has left: then many answer it with a reset of their own
        (RFC 9113 §5.1, STREAM_CLOSED)."""
        self._updates += _UPDATES_A_FRAME * frames
        self._late += frames

    def came(self, frame: Frame, streams: Mapping[int, H2Stream]) -> None:
        """Raises TooMuch. `streams`: as they are before the frame."""
        price = self._price(frame, streams)
        if price:
            now = self._clock()
            self._left = min(AT_ONCE, self._left + A_SECOND * (now - self._at)) - price
            self._at = now
            if self._left < 0:
                raise TooMuch(f"more than {AT_ONCE} frames at once, or {A_SECOND:.0f} a second, that bring nothing")

    def _price(self, frame: Frame, streams: Mapping[int, H2Stream]) -> float:
        match frame:
            case HeadersFrame():
                begins = frame.stream_id > self._last
                if begins:
                    self._last = frame.stream_id
                    self._updates += _UPDATES_A_REQUEST
                free = begins
            case WindowUpdateFrame():
                self._updates -= 1
                free = self._updates >= 0
            case DataFrame():
                size, alive = len(frame.data), _alive(streams.get(frame.stream_id))
                if alive and 0 < size < _THIN:
                    return _THIN_PRICE
                free = size >= _THIN or (alive and "END_STREAM" in frame.flags)
            case RstStreamFrame():
                stream = streams.get(frame.stream_id)
                free = _alive(stream) and bool(stream.state_machine.headers_sent)
                if not _alive(stream) and self._late:
                    self._late -= 1
                    free = True
            case _:
                free = False
        return 0.0 if free else 1.0


def _alive(stream: H2Stream | None) -> TypeGuard[H2Stream]:
    return stream is not None and not stream.closed


class CalmBuffer(FrameBuffer):
    """h2 asks it for each frame; this is where all of them pass, CONTINUATION too."""

    def __init__(self, calm: Calm, streams: Mapping[int, H2Stream]) -> None:
        super().__init__(server=True)
        self._calm, self._streams = calm, streams

    def _update_header_buffer(self, f: Frame | None) -> Frame | None:
        if f is not None:
            self._calm.came(f, self._streams)
        return super()._update_header_buffer(f)
