"""What must hold after every fault, looked at from outside: by the client, on the disk, and in /proc.

I1 `download` compares each byte with the hub's as it comes: a complete 200 or 206 is right, one that is cut is a prefix
of the right one. I2, I3 `look` reads a cache directory with nothing of the product: each piece against its digests,
each whole blob against its name, each row of a file against the file. I5 `Found.leftovers` are files that nothing
names, `Footprint` is what a process has open, `work` what a loop of our own still runs. I6 `served_without` the hub.
I7 `healthy_in_time`. I8 `asked_once`. `settled` is all of the disk: the store's own audit and sweep, then `look`.

As in:  before = Footprint.of(proxy.pid)              # after a first request, so that what is made once is there
        assert download(proxy, url, source).whole     # or: the fault; download() of a cut body is checked too
        before.restored()                             # waits
        served_without(hub, proxy, {url: source})     # what was complete
        proxy.stop(); settled(proxy.cache)            # or after a kill; in async tests: await audited, look
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import re
import sqlite3
import ssl
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from blake3 import blake3

from tests.hub.content import Source
from tests.processes import Hubgate, open_tunnel

PIECE, UNIT, DIGEST, CHECK = 4 << 20, 512 << 10, 32, 8
STEP = 256 * 1024
HEALTHY = 5.0  # seconds
BROKEN = (http.client.HTTPException, OSError, ssl.SSLError)
_KNOWN = re.compile(
    r"FORMAT|reserve|(index|pieces)/cache\.db(-wal|-shm)?|scrub/(state\.json|lock)|rules/[0-9a-f]{12}/last-good|sync.*"
    r"|quarantine/[^.][^/]*/(about\.json|[0-9a-f]{6})|(index|pieces)\.bad-\d+/.*|access[^/]*|scan.*"
)


@dataclass(frozen=True)
class Got:
    """`size` bytes came of the file, from `start` on; `whole`: all that the head had promised, and a clean end."""

    status: int  # 0: no head came
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    start: int = 0
    size: int = 0
    whole: bool = False
    fault: str = ""  # what cut it, or the body of an error


def download(
    proxy: Hubgate,
    url: str,
    source: Source,
    headers: Mapping[str, str] | None = None,
    *,
    seen: Callable[[int], None] = lambda size: None,
) -> Got:
    """GET `url`, whose bytes are `source`; `seen` is told how many came. AssertionError: bytes that are not the hub's,
    or a head that promises another length (I1). Faults of the network are told in what is returned."""
    at, status, start, size, told = urlsplit(url), 0, 0, 0, dict[str, str]()
    try:
        with closing(open_tunnel(proxy.port, proxy.ca / "ca.pem", at.hostname or "", at.port or 443)) as connection:
            connection.request("GET", at.path + (f"?{at.query}" if at.query else ""), headers=dict(headers or {}))
            response = connection.getresponse()
            status, told = response.status, {name.lower(): value for name, value in response.headers.items()}
            if status not in (200, 206):
                return Got(status, told, fault=response.read(65536).decode("latin-1"))
            start, promised = _promised(status, told, source.size)
            while size <= promised and (data := response.read(STEP)):
                right = source.read(start + size, len(data))
                assert data == bytes(right), f"{url}: wrong bytes between {start + size} and {start + size + len(data)}"
                size += len(data)
                seen(size)
            assert size <= promised, f"{url}: more than was promised"
            if "content-length" not in told:
                assert size == promised, f"{url}: {size} bytes of {promised}, and a clean end"
            fault = "" if size == promised else "closed"
            return Got(status, told, start, size, size == promised, fault)
    except BROKEN as broken:
        return Got(status, told, start, size, fault=repr(broken))


def _promised(status: int, told: Mapping[str, str], size: int) -> tuple[int, int]:
    """(first byte, how many) of the body."""
    start, promised = 0, size
    if status == 206:
        spec = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", told.get("content-range", ""))
        assert spec is not None, f"206 without a range: {told}"
        start, promised = int(spec[1]), int(spec[2]) + 1 - int(spec[1])
        assert int(spec[3]) == size and promised > 0 and start + promised <= size, f"a range of something else: {told}"
    assert int(told.get("content-length", promised)) == promised, f"{told['content-length']} bytes, not {promised}"
    return start, promised


# -- the disk ---------------------------------------------------------------------------------------------------------


@dataclass
class Found:
    """`wrong` breaks I2, `dangling` I3. `leftovers` are harmless after a kill, and gone after a sweep (I5)."""

    wrong: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    complete: set[str] = field(default_factory=set)  # blobs that are sealed, and all here
    partial: set[str] = field(default_factory=set)  # blobs that are not sealed
    held: dict[str, int] = field(default_factory=dict)  # piece that counts -> its bytes

    def sound(self, *, leftovers: bool = False) -> Self:
        """`leftovers`: there may be some."""
        assert not self.wrong and not self.dangling, (self.wrong, self.dangling)
        assert leftovers or not self.leftovers, self.leftovers
        return self


def look(cache: Path) -> Found:
    """All of a cache directory that nobody writes to. What may be: a stored response whose blob is gone, and a blob
    of which pieces are gone: both are fetched again."""
    found, files, used = Found(), _rows(cache / "pieces"), set[str]()
    index = {key: bytes(value[:-CHECK]) for key, _, value in _rows(cache / "index")}
    manifests = {key[2:]: json.loads(value) for key, value in index.items() if key.startswith("m:")}
    named = {key: (name, size) for key, (name, size), _ in files}
    for key, (name, size) in named.items():
        used.add(f"pieces/{name}")
        file = cache / "pieces" / name
        if not file.is_file() or file.stat().st_size != size:
            found.dangling.append(f"{key}: {name} of {size} bytes")
        elif f"u:{key}" not in index or key.rpartition("#")[0] not in manifests:
            found.leftovers.append(f"{key}: a piece that nobody knows of")
        else:
            found.held[key] = size
    for key in index:
        owner = key[2:].rpartition("#")[0] if key.startswith("u:") else key[2:] if key.startswith("b:") else None
        if owner is not None and owner not in manifests:
            found.dangling.append(f"{key}: no such blob")
    for blob, (name, size, sealed, *_) in manifests.items():
        if name != blob:
            found.wrong.append(f"{blob} says that it is {name}")
        (found.partial if not sealed else set[str]()).add(blob)
        _blob(found, cache, blob, size, sealed, index, named)
    for path in (path for path in cache.rglob("*") if path.is_file()):
        relative = path.relative_to(cache).as_posix()
        if relative not in used and not _KNOWN.fullmatch(relative):
            found.leftovers.append(relative)
    _sums(found, cache)
    return found


def _blob(
    found: Found,
    cache: Path,
    blob: str,
    size: int,
    sealed: bool,
    index: Mapping[str, bytes],
    named: Mapping[str, tuple[str, int]],
) -> None:
    scheme, _, name = blob.partition(":")
    whole = hashlib.sha1(b"blob %d\0" % size) if scheme == "git" else hashlib.sha256()
    here, count = 0, -(-size // PIECE)
    for number in range(count):
        key = f"{blob}#{number:06x}"
        digests, length = index.get(f"u:{key}"), min(PIECE, size - number * PIECE)
        if digests is None:
            if sealed:
                found.wrong.append(f"{key}: sealed, and no digests")
            continue
        data = index.get(f"b:{blob}") if count == 1 else None
        if data is None and key in named and (cache / "pieces" / named[key][0]).is_file():
            data = (cache / "pieces" / named[key][0]).read_bytes()
        if data is None:
            continue
        units = b"".join(blake3(data[at : at + UNIT]).digest() for at in range(0, len(data), UNIT))
        if units != digests or len(data) != length:
            found.wrong.append(f"{key}: {len(data)} bytes that are not what they were")
        here += 1
        whole.update(data)
    if sealed and here == count:
        found.complete.add(blob)
        if scheme in ("git", "sha256") and whole.hexdigest() != name:
            found.wrong.append(f"{blob}: sealed, and its digest is {whole.hexdigest()}")


def _rows(shelf: Path) -> list[tuple[str, Any, Any]]:
    """(key, (file name, size), value)"""
    if not (shelf / "cache.db").exists():
        return []
    with closing(sqlite3.connect(f"file:{shelf}/cache.db?mode=ro", uri=True)) as con:
        return [(k, (name, n), v) for k, name, n, v in con.execute("SELECT key, filename, size, value FROM Cache")]


def _sums(found: Found, cache: Path) -> None:
    """What is counted by triggers is what is there."""
    checks = {
        "index": "SELECT tag, n FROM Tally WHERE n <> 0 AND tag NOT IN ('changes', 'condemned') "
        "EXCEPT SELECT tag, count(*) FROM Cache GROUP BY tag",
        "pieces": "SELECT blob, bytes FROM Held EXCEPT SELECT tag, sum(size) FROM Cache GROUP BY tag",
    }
    for shelf, sql in checks.items():
        if (cache / shelf / "cache.db").exists():
            with closing(sqlite3.connect(f"file:{cache}/{shelf}/cache.db?mode=ro", uri=True)) as con:
                found.dangling += [f"{shelf} counts {row}" for row in con.execute(sql)]


async def audited(cache: Path, size: int = 4 << 30) -> int:
    """The store's own word for it: rows, pieces and digests are right; leftovers are swept, how many."""
    from proxy_addon.store.local import DiskStore

    store = DiskStore(cache, size, 1 << 20)
    await store.open()
    try:
        swept = await store.first_sweep + await store.sweep(grace=-1)
        assert await store.check_rows() == 0
        for listed in await store.blobs.listing(limit=1 << 30):
            assert await store.blobs.examine(listed.manifest.blob, "verify", mend=False) == []
    finally:
        await store.close()
    return swept


def settled(cache: Path) -> Found:
    """After a kill or an end, nobody runs on it: sound as it lies there, sound and clean when it has been swept."""
    look(cache).sound(leftovers=True)
    asyncio.run(audited(cache))
    return look(cache).sound()


# -- processes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Footprint:
    """What a process has open, by kind: piece, gone (a file that was removed), socket, other."""

    pid: int
    open: Counter[str]

    @classmethod
    def of(cls, pid: int) -> Self:
        kinds = Counter[str]()
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{number}")
            except OSError:
                continue
            gone = target.endswith("(deleted)")
            kinds["gone" if gone else "piece" if target.endswith(".val") else target.partition(":[")[0]
                  if ":[" in target else "other"] += 1  # fmt: skip
        return cls(pid, kinds)

    def restored(self, timeout: float = 60.0, spare: int = 4) -> None:
        """Wait until no more is open than was; `spare`: connections to a hub that are kept for the next request."""
        end = time.monotonic() + timeout
        while (more := self.grown(spare)) and time.monotonic() < end:
            time.sleep(0.05)
        assert not more, f"still open: {more}"

    def grown(self, spare: int = 0) -> Counter[str]:
        more = self.of(self.pid).open - self.open
        more["socket"] -= spare
        more["other"] -= 4 * 3  # threads of the store that had not yet opened their databases, each with its log
        return +more


def work() -> set[str]:
    """What the running loop of a test still does, but for the test itself."""
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def healthy_in_time(begin: Callable[[], Hubgate]) -> Hubgate:
    """Start it by `begin`; /healthz has answered within five seconds, beside those in which it worked, or it or this
    test waited for a processor (I7)."""
    began, ours = time.monotonic(), busy("thread-self")
    proxy = begin()
    try:
        proxy.asked_admin("/healthz")
    except urllib.error.HTTPError as degraded:
        assert degraded.code == 503
    took, worked = time.monotonic() - began, busy(str(proxy.pid)) + busy("thread-self") - ours
    assert took - worked < HEALTHY, f"{took:.1f} s, of which {worked:.1f} s at work"
    return proxy


def busy(of: str) -> float:
    """Seconds that a thread has had a processor, or waited for one (proc(5), schedstat)."""
    worked, waited, _ = Path(f"/proc/{of}/schedstat").read_text().split()
    return (int(worked) + int(waited)) / 1e9


def served_without(hub: Any, proxy: Hubgate, files: Mapping[str, Source]) -> None:
    """With the hub stopped, all of these come whole (I6)."""
    hub.stop()
    try:
        for url, source in files.items():
            got = download(proxy, url, source)
            assert got.status == 200 and got.whole, (url, got)
    finally:
        hub.start()


def asked_once(hub: Any, source: Source, again: int = 0) -> None:
    """The hub has sent no byte of it twice, but for `again` bytes that a fault has cost (I8)."""
    sent = hub.bytes_sent(blob=source.sha256)
    assert sent <= source.size + again, f"{sent} bytes of {source.size}"
