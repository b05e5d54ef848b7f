"""Asks every client for its password, once for as long as may be, and never on the event loop.

A password that was right is remembered for `REMEMBERED` seconds as an HMAC under a key that this process alone has and
forgets when it ends; one that was wrong, for `WRONG` seconds. Invariants: a proof holds for one line of the file, so
who is removed or gets another password is out at the next request, whatever is remembered; equal attempts that come
together are verified once; only wrong answers are counted against an address, and who was right before, by the same
line, is never turned away for what others guess. A name that nobody has costs the same time as a wrong password.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from . import credentials, schemes
from .attempts import Attempts, TooMany
from .credentials import Credentials
from .users import Users

REMEMBERED = 300.0  # seconds
WRONG = 5.0  # seconds
MOST_WRONG = 1024

_NO_PASSWORD = "this proxy wants a user and a password: set HTTPS_PROXY to http://USER:PASSWORD@host:port"
_UNREADABLE = "this proxy wants one `Proxy-Authorization: Basic` with a user and a password"
_WRONG = "the user or the password for this proxy is wrong"
_LATER = "too many wrong passwords for this proxy came from this address; wait {wait} s"
_GONE = "the user of this connection may not use this proxy any more, or has another password; connect again"


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody who has shown his password; `kept` is the one it was compared with."""

    user: str
    kept: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Turned:
    """Why a client is not let in. `wait`: seconds after which it may try again."""

    status: int
    words: str
    wait: int = 0


@dataclass(frozen=True, slots=True)
class _Proof:
    mark: bytes
    kept: str
    at: float


class Door:
    def __init__(self, users: Users, timer: Callable[[], float] = time.monotonic) -> None:
        self.users, self._timer = users, timer
        self._key = secrets.token_bytes(32)
        self._attempts = Attempts(timer)
        self._proofs: dict[str, _Proof] = {}
        self._wrong: OrderedDict[bytes, tuple[float, str | None]] = OrderedDict()
        self._under_way: dict[tuple[bytes, str], asyncio.Task[Login | Turned]] = {}
        self._threads = ThreadPoolExecutor(max(1, min(4, (os.cpu_count() or 2) // 2)), "passwords")
        self.verified = self.refused = 0  # hashes that were computed; attempts that were wrong or too many

    def known(self, fields: Sequence[str]) -> Login | None:
        """By memory alone; None if there is more to do. `fields`: the lines of Proxy-Authorization."""
        shown = credentials.read(fields)
        return None if shown is None else self._remembered(shown, self._mark(shown))

    async def enter(self, fields: Sequence[str], address: str) -> Login | Turned:
        if not fields:
            return Turned(407, _NO_PASSWORD)
        shown = credentials.read(fields)
        if shown is None:
            return Turned(407, _UNREADABLE)
        mark = self._mark(shown)
        if (login := self._remembered(shown, mark)) is not None:
            return login
        kept = self.users.current.get(shown.user)
        until, against = self._wrong.get(mark, (0.0, None))
        if self._timer() < until and against == kept:
            return Turned(407, _WRONG)
        task = self._under_way.get((mark, address))
        if task is None:  # of its own, for it is not only the first client that waits
            task = self._under_way[mark, address] = asyncio.ensure_future(self._verified(shown, mark, address))
            task.add_done_callback(lambda _: self._under_way.pop((mark, address), None))
        return await asyncio.shield(task)

    def stands(self, login: Login) -> bool:
        """Whether the file still says what it said when he came in."""
        return self.users.current.get(login.user) == login.kept

    def turned(self, login: Login | None) -> Turned | None:
        """For a request on a connection that somebody has opened; None if he may go on. No 407: inside a tunnel that
        would be the hub's own word, and a client that believed it would send its password there."""
        return None if login is not None and self.stands(login) else Turned(403, _GONE)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _mark(self, shown: Credentials) -> bytes:
        return hmac.digest(self._key, shown.user.encode() + b"\0" + shown.password, "sha256")

    def _remembered(self, shown: Credentials, mark: bytes) -> Login | None:
        proof = self._proof(shown.user, mark)
        if proof is None or not self._timer() < proof.at + REMEMBERED:
            return None
        return Login(shown.user, proof.kept)

    def _proof(self, user: str, mark: bytes) -> _Proof | None:
        """That these credentials were right by the line that is in the file now, however long ago."""
        proof = self._proofs.get(user)
        if proof is None or not hmac.compare_digest(proof.mark, mark):
            return None
        return proof if self.users.current.get(user) == proof.kept else None

    async def _verified(self, shown: Credentials, mark: bytes, address: str) -> Login | Turned:
        if self._proof(shown.user, mark) is not None:
            return await self._compared(shown, mark)
        try:
            async with self._attempts.turn(address) as wrong:
                found = await self._compared(shown, mark)
                if isinstance(found, Turned):
                    wrong()
                return found
        except TooMany as many:
            self.refused += 1
            wait = max(1, round(many.wait + 0.5))
            return Turned(429, _LATER.format(wait=wait), wait)

    async def _compared(self, shown: Credentials, mark: bytes) -> Login | Turned:
        users = self.users.current
        kept = users.get(shown.user)
        against = kept or next(iter(users.values()), None)
        right = False
        if against is not None:
            self.verified += 1
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._threads, schemes.matches, against, shown.password)
        if right and kept is not None:
            self._proofs = {name: proof for name, proof in self._proofs.items() if name in self.users.current}
            self._proofs[shown.user] = _Proof(mark, kept, self._timer())
            login = Login(shown.user, kept)
            return login if self.stands(login) else Turned(407, _WRONG)
        self.refused += 1
        self._wrong[mark] = (self._timer() + WRONG, kept)
        while len(self._wrong) > MOST_WRONG:
            self._wrong.popitem(last=False)
        return Turned(407, _WRONG)
