"""What the hubs hold during a run, and what is true of it at a time.

Four kinds of repo: `wide` never changes and is more than the cache holds; `kept` never changes and is pinned; `moving`
gets a new commit every few seconds; `private`, `gated` and `denied` are closed, by the hub or by a rule. `wide` and
`moving` are on both hubs, with the same bytes. Of a branch every commit is true from just before it was made until
just after the next one was.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.hub import Repo, TestHub
from tests.hub.exchange import Answer, Exchange, text
from tests.hub.repo import Content, File, Hub, Storage

HF, MS = "https://huggingface.co", "https://www.modelscope.cn"
OWNER = "soak"
PLAIN = "plain.example"
DENIED_BY = "soak-denied"
KB = 1000

WIDE = {f"part-{n:02}.bin": (300 + 710 * n) * KB for n in range(14)}
WIDE |= {f"text-{n}.json": 900 + 1700 * n for n in range(8)}
KEPT = {f"kept-{n}.bin": (700 + 1200 * n) * KB + n for n in range(3)}  # of one piece each, whose size no other has
KEPT |= {f"note-{n}.txt": 1003 + 313 * n for n in range(4)}
CLOSED = {"secret.bin": 1_800 * KB, "secret.txt": 1_500}
MOVING = {"model.bin": 600 * KB, "config.json": 2_000}


@dataclass(frozen=True)
class Version:
    """One file as one commit has it."""

    data: bytes
    digest: str  #: as the hub's ETag has it
    commit: str | None = None  #: None where the hub tells none


@dataclass
class History:
    """Which commit a branch named, from when on (monotonic)."""

    repo: Repo
    heads: list[tuple[float, str]] = field(default_factory=list)

    def commits(self, since: float, until: float) -> list[str]:
        """All that were the head at any time from `since` to `until`."""
        following = [at for at, _ in self.heads[1:]] + [float("inf")]
        return [sha for (at, sha), end in zip(self.heads, following, strict=True) if at <= until and end >= since]


@dataclass(frozen=True)
class Token:
    """A secret that clients show, one the hub knows or one it does not."""

    text: str
    cookie: bool = False

    @property
    def header(self) -> tuple[str, str]:
        if self.cookie:
            return "Cookie", f"m_session_id={self.text}"
        return "Authorization", f"Bearer {self.text}"


class World:
    def __init__(self, hub: TestHub, seed: int) -> None:
        self.hub, self.seed = hub, seed
        self._rnd = random.Random(f"{seed}/world")
        self._lock = threading.Lock()
        self._bytes: dict[str, bytes] = {}
        self.histories: dict[tuple[Hub, str], History] = {}
        secret = f"{self._rnd.getrandbits(64):016x}"
        self.good = {
            "huggingface": Token(f"hf_canary{secret}a"),
            "modelscope": Token(f"ms_canary{secret}b", cookie=True),
        }
        self.bad = {"huggingface": Token(f"hf_canary{secret}c"), "modelscope": Token(f"ms_canary{secret}d")}
        self.strange = Token(f"hf_canary{secret}e")  #: of nobody
        hub.tokens = {self.good["huggingface"].text: "reader", self.bad["huggingface"].text: "other"}
        hub.modelscope_tokens = {self.good["modelscope"].text: "reader", self.bad["modelscope"].text: "other"}
        wide = self._add("wide", WIDE)
        self._add("kept", KEPT)
        moving = self._add("moving", MOVING)
        for repo in (wide.mirror(), moving.mirror()):
            self._enter(repo)
        self._add("denied", CLOSED)
        for hub_name in ("huggingface", "modelscope"):
            reader = {self.good[hub_name].text}
            self._add("private", CLOSED, hub_name, private=True, readers=reader)
            self._add("gated", CLOSED, hub_name, gated="auto", readers=reader)
        hub.on("/f/*", self._plain)

    @property
    def secrets(self) -> list[str]:
        """What may be found nowhere on disk: all tokens, and what every signature begins with."""
        tokens = [*self.good.values(), *self.bad.values(), self.strange]
        return [*(token.text for token in tokens), "K1FAKE", "&auth_key=", "?auth_key="]

    # what is true

    def file(self, name: str, path: str, hub: Hub = "huggingface", commit: str | None = None) -> File:
        repo = self.histories[hub, name].repo
        return repo.commits[commit or repo.head].files[path]

    def bytes_of(self, file: File) -> bytes:
        if (found := self._bytes.get(file.digest)) is None:
            found = self._bytes[file.digest] = bytes(file.source.read(0, file.size))
        return found

    def version(self, name: str, path: str, hub: Hub, commit: str) -> Version:
        file = self.file(name, path, hub, commit)
        return Version(self.bytes_of(file), file.digest, commit if hub == "huggingface" else None)

    def versions(self, name: str, path: str, hub: Hub, since: float, until: float) -> list[Version]:
        """What a branch may have said of this path at a time from `since` to `until` (monotonic)."""
        with self._lock:
            commits = self.histories[hub, name].commits(since, until)
        return [self.version(name, path, hub, sha) for sha in commits]

    def heads(self, name: str, hub: Hub = "huggingface") -> list[str]:
        with self._lock:
            return [sha for _, sha in self.histories[hub, name].heads]

    def plain(self, number: int) -> Version:
        data = random.Random(f"plain/{number}").randbytes(4_000 + 37_000 * number)
        return Version(data, f"plain-{number}")

    # what changes

    def move(self) -> None:
        """One more commit on both hubs, with the same bytes."""
        files: dict[str, Content | None] = dict(self._content(MOVING))
        for hub in ("huggingface", "modelscope"):
            history = self.histories[hub, "moving"]
            repo = history.repo
            sha = repo.commit(files, branch="next", storage={path: _storage(path, hub) for path in files})
            with self._lock:  # known before it is told
                history.heads.append((time.monotonic(), sha))
            repo.branch(repo.trunk, sha)

    def _add(self, name: str, sizes: dict[str, int], hub: Hub = "huggingface", **more: object) -> Repo:
        storage = {path: _storage(path, hub) for path in sizes}
        files = self._content(sizes)
        files["README.md"] = b"---\nlicense: apache-2.0\n---\n# " + name.encode() + b"\n"
        repo = Repo(f"{OWNER}/{name}", "model", files=files, storage=storage, hub=hub, **more)  # type: ignore[arg-type]
        return self._enter(repo)

    def _enter(self, repo: Repo) -> Repo:
        self.histories[repo.hub, repo.id.partition("/")[2]] = History(repo, [(time.monotonic(), repo.head)])
        return self.hub.add(repo)

    def _content(self, sizes: dict[str, int]) -> dict[str, Content]:
        return {path: bytes(self._drawn(path, size)) for path, size in sizes.items()}

    def _drawn(self, path: str, size: int) -> bytes:
        """Random bytes, or text where it is to be a git file."""
        data = self._rnd.randbytes(size)
        return data if path.endswith(".bin") else data.hex()[:size].encode()

    def _plain(self, ex: Exchange) -> Answer:
        number = ex.path.rpartition("/")[2]
        if not number.isdigit():
            return text(404, "no such file")
        version = self.plain(int(number))
        fields = [("Content-Type", "application/octet-stream"), ("ETag", f'"{version.digest}"')]
        return Answer(200, [*fields, ("Cache-Control", "public, max-age=3")], version.data, True, True)


def _storage(path: str, hub: Hub) -> Storage:
    """Every other large file is a Xet file, where there is Xet."""
    if not path.endswith(".bin"):
        return "git"
    number = path.rpartition("-")[2].partition(".")[0]
    return "xet" if hub == "huggingface" and (not number.isdigit() or int(number) % 2) else "lfs"


def paths(name: str) -> Iterator[str]:
    yield from {"wide": WIDE, "kept": KEPT, "moving": MOVING}.get(name, CLOSED)
