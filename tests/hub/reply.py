"""From an `Answer` to bytes on the wire: conditions, ranges, throttle and faults; the same for every host.

The order is the one of RFC 9110 §13.2.2. Faults come last and change only what is sent, never what was decided.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from .content import Memory, Source
from .exchange import Answer, Exchange, redirect
from .knobs import Effect
from .log import Log, Record

PIECE = 512 * 1024
FOREVER = 3600.0
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


class Cut(Exception):
    """The reply ends here, on purpose."""


def span_of(header: str, size: int) -> tuple[int, int] | bool | None:
    """Half-open span of a Range header; None: to be ignored; False: cannot be satisfied (416)."""
    match = _RANGE.match(header.strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else False
    if last and int(last) < int(first):
        return None
    return (int(first), min(int(last) + 1 if last else size, size)) if int(first) < size else False


def decide(ex: Exchange, answer: Answer) -> tuple[Answer, int, int]:
    """The answer after conditions and ranges, and the half-open span of its body that is to be sent."""
    size = answer.source.size
    etag = answer.get("ETag")
    if answer.conditional and answer.status == 200 and etag:
        wanted = [t.strip().removeprefix("W/") for t in ex.header("if-none-match").split(",")]
        if "*" in wanted or etag.removeprefix("W/") in wanted:
            kept = [(k, v) for k, v in answer.headers if k.lower() not in ("content-type", "content-length")]
            return Answer(304, kept, repo=answer.repo), 0, 0
    if not answer.ranges or answer.status != 200 or ex.effect.range_ignored or not ex.header("range"):
        return answer, 0, size
    guard = ex.header("if-range")
    if guard and (guard != etag or guard.startswith("W/")) and guard != answer.get("Last-Modified"):
        return answer, 0, size
    span = span_of(ex.header("range"), size)
    if span is None or span is True:
        return answer, 0, size
    if span is False:
        return Answer(416, [("Content-Range", f"bytes */{size}"), ("Content-Type", "text/plain")]), 0, 0
    answer.status = 206
    answer.put("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{size}")
    return answer, *span


def bend(ex: Exchange, answer: Answer) -> Answer:
    """What the knobs change before conditions and ranges are looked at."""
    effect = ex.effect
    if effect.redirect:
        answer = redirect(302, ex.record.url if effect.redirect == "self" else effect.redirect)
    elif effect.status is not None:
        body = effect.body if effect.body is not None else f'{{"error":"status {effect.status} by a knob"}}'
        answer = Answer(effect.status, [("Content-Type", effect.content_type)], body.encode())
        if effect.retry_after is not None:
            answer.put("Retry-After", str(effect.retry_after))
            answer.put("RateLimit", f'"resolvers";r=0;t={effect.retry_after}')
            answer.put("RateLimit-Policy", '"fixed window";"resolvers";q=3000;w=300')
    if effect.etag:
        answer.put("ETag", f'"{effect.etag}"')
        answer.put("Last-Modified", None)
    small = answer.status == 200 and answer.get("Content-Disposition") is not None and answer.source.size < 1 << 20
    if effect.gzip_small and small and ex.method == "GET" and "gzip" in ex.header("accept-encoding"):
        answer.body = gzip.compress(bytes(answer.source.read(0, answer.source.size)), mtime=0)
        answer.put("Content-Encoding", "gzip")
        answer.put("Vary", "Accept-Encoding")
        answer.put("ETag", f"W/{answer.get('ETag')}")
        answer.ranges = False
    for name, value in effect.headers.items():
        answer.put(name, value)
    for name in effect.drop_headers:
        answer.put(name, None)
    return answer


async def send(
    request: web.BaseRequest, ex: Exchange, answer: Answer, log: Log, held: Callable[[str], Awaitable[Any]]
) -> web.StreamResponse:
    """`held` waits until a test releases the hold of that name."""
    effect, record = ex.effect, ex.record
    answer, start, end = decide(ex, bend(ex, answer))
    record.status, record.repo = answer.status, answer.repo
    record.blob, record.blob_size = answer.blob, answer.blob_size
    log.changed()
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers:
        response.headers.add(name, value)
    if not (answer.status in (204, 304) or "content-length" in {n.lower() for n, _ in answer.headers}):
        if effect.chunked and ex.method != "HEAD":
            response.enable_chunked_encoding()
        else:
            response.content_length = max(0, end - start + effect.length_lie)
    if effect.latency:
        await asyncio.sleep(effect.latency)
    if effect.hold and effect.hold_at < 0:
        await held(effect.hold)
    await response.prepare(request)
    if ex.method == "HEAD" or answer.status in (204, 304):
        await response.write_eof()
        return response
    writer = _Writer(response, record, effect, log, held)
    try:
        await writer.body(_corrupted(answer.source, effect.corrupt_at), start, end)
        if effect.length_lie > 0:
            raise Cut
    except Cut:
        record.cut = True
        await _cut(request, reset=effect.drop_rst)
        return response
    await response.write_eof()
    return response


@dataclass
class _Writer:
    response: web.StreamResponse
    record: Record
    effect: Effect
    log: Log
    held: Callable[[str], Awaitable[Any]]

    async def body(self, source: Source, start: int, end: int) -> None:
        effect = self.effect
        piece = PIECE if effect.bandwidth is None else max(effect.sip, min(PIECE, int(effect.bandwidth / 50)))
        stops = sorted(
            start + at
            for at in (effect.drop_after, effect.stall_after, effect.hold_at if effect.hold else None)
            if at is not None and at >= 0
        )
        at, due = start, time.monotonic()
        while True:
            while stops and stops[0] <= at:
                await self._stop(stops.pop(0) - start)
            if at >= end:
                return
            data = source.read(at, min(piece, end - at, *([stops[0] - at] if stops else [])))
            self.record.sent += len(data)
            await self.response.write(data)
            at += len(data)
            if effect.bandwidth is not None:
                due = max(due, time.monotonic() - 0.1) + len(data) / effect.bandwidth
                await asyncio.sleep(due - time.monotonic())

    async def _stop(self, at: int) -> None:
        await self.response.write(b"")  # sends a head that still waits for its first piece
        self.log.changed()
        effect = self.effect
        if effect.hold and effect.hold_at == at:
            await self.held(effect.hold)
        if effect.drop_after == at:
            raise Cut
        if effect.stall_after == at:
            await asyncio.sleep(FOREVER)


async def _cut(request: web.BaseRequest, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if reset:
        transport.set_write_buffer_limits(high=1)  # so that drain waits for all that was written
        await request.writer.drain()
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()


def _corrupted(source: Source, at: int | None) -> Source:
    return source if at is None else _Flipped(source, at)


@dataclass
class _Flipped:
    source: Source
    at: int

    @property
    def size(self) -> int:
        return self.source.size

    @property
    def sha256(self) -> str:
        return Memory(bytes(self.read(0, self.size))).sha256

    def read(self, offset: int, limit: int) -> bytes | memoryview:
        data = self.source.read(offset, limit)
        if not offset <= self.at < offset + len(data):
            return data
        wrong = bytearray(data)
        wrong[self.at - offset] ^= 0x01
        return bytes(wrong)
