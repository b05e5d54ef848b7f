"""Calls that block and cannot be ended, each in a thread that the end of the process does not wait for.

Threads of `concurrent.futures` are joined when Python ends, so that one call that hangs (a name server that is silent)
would keep a process that has written all it had to. A call has its place until it returns, also when nobody waits for
it any more: there are never more threads than places.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable


class Aside:
    """For one event loop. `places`: calls at once; further ones wait their turn."""

    def __init__(self, places: int, name: str) -> None:
        self._places, self._name = asyncio.Semaphore(places), name
        self._closed = False

    async def run[T](self, call: Callable[[], T]) -> T:
        """What `call` returns or raises. Raises OSError when this is closed."""
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def ended(result: T | None, fault: BaseException | None) -> None:
            self._places.release()
            if future.done():
                return
            if fault is not None:
                future.set_exception(fault)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result: T | None = None
            fault: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:
                fault = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(ended, result, fault)

        try:
            if self._closed:
                raise OSError("closed")
            threading.Thread(target=work, name=self._name, daemon=True).start()
        except BaseException:
            self._places.release()
            raise
        return await future

    def close(self) -> None:
        """No call is begun any more."""
        self._closed = True
