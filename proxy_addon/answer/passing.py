"""Links in JSON that goes by: each is told as soon as the client has it, however long the body is.

Found by their name, not by parsing: `"url"` and a text. What is longer than `LONGEST` is no link.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from ..core.messages import Body, Buffer

LONGEST = 16 * 1024  # bytes of a link as JSON writes it
_URL = re.compile(rb'"url"[ \t\r\n]{0,64}:[ \t\r\n]{0,64}("(?:[^"\\]|\\.){1,%d}")' % LONGEST)
_KEPT = LONGEST + 256


class Passing:
    """A body passed on; `told` is given every link in it."""

    def __init__(self, body: Body, told: Callable[[str], None]) -> None:
        self.length, self._body, self._told = body.length, body, told
        self._tail = b""

    async def read(self, limit: int) -> Buffer:
        data = await self._body.read(limit)
        text, end = self._tail + data, 0
        for found in _URL.finditer(text):
            end = found.end()
            try:
                self._told(str(json.loads(found[1])).partition("#")[0])
            except ValueError:
                continue
        self._tail = text[max(end, len(text) - _KEPT) :]
        return data

    def close(self) -> None:
        self._body.close()
