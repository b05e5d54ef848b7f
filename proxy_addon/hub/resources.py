"""What a request is about: one tagged value per resource kind.

A resource carries its *cache key* and what decides its freshness, and nothing of the request that asked for it, so
that signed queries, casing of booleans and the spelling of a URL end here. Kinds and keys are stable: the key is on
disk, the kind is a metric label and a log field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from .paths import quoted_rev

COMMIT = re.compile(r"[0-9a-f]{40}\Z")
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
LEASED = "leased:"  # begins the keys of what only holders of a lease may see


class Kind(StrEnum):
    FILE = "file"
    BLOB = "blob"
    API = "api"
    XORB = "xorb"
    SECRET = "secret"
    GIT = "git"
    UPLOAD = "upload"
    TELEMETRY = "telemetry"
    PLAIN = "plain"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Repo:
    hub: str
    type: str  # models | datasets | spaces | kernels | buckets; of ModelScope also studios | skills
    id: str  # "org/name", or "name" for the hub's oldest repos
    site: str = ""  # a second site of the hub, with repos of its own ("ai")

    @property
    def key(self) -> str:
        return f"{self.hub}{self.site and '.'}{self.site}/{self.type}/{self.id}"

    @property
    def changing(self) -> tuple[str, ...]:
        """What the keys begin with of all that an upload makes wrong."""
        by_branch = ("file",) if self.hub == "modelscope" else ()  # elsewhere files are known by commit
        of_files = [f"{way}{row}:{self.key}@" for way in ("", LEASED) for row in ("ref", *by_branch)]
        return (*of_files, f"api:{self.key}:", f"raw:{self.key}@")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request is about as rules see it, as far as its URL tells: a repo, at a revision, one file of it."""

    repo: Repo
    rev: str | None = None  # None: the repo as a whole
    path: str | None = None  # None: no single file
    digest: str = ""  # "sha256:<64 hex>" or "xet:<64 hex>" of a single file, which may be known by that alone
    certain: bool = True  # False: the path of a page, which only looks like a repo's
    since: str | None = None  # the other revision, of what compares two

    @property
    def each(self) -> tuple[Subject, ...]:
        """To be judged one by one: both sides of a comparison are shown."""
        if self.since is None:
            return (self,)
        whole = replace(self, since=None)
        return (whole, replace(whole, rev=self.since))


@dataclass(frozen=True, slots=True)
class File:
    """One file of a repo at a revision: what `/resolve` gives."""

    repo: Repo
    rev: str  # a 40-hex commit, or a branch, tag or ref
    path: str  # decoded, "/" between segments
    kind = Kind.FILE

    @property
    def hub(self) -> str:
        return self.repo.hub

    @property
    def pinned(self) -> bool:
        """At a commit: the bytes can never change."""
        return COMMIT.match(self.rev) is not None

    @property
    def key(self) -> str:
        return f"file:{self.repo.key}@{quoted_rev(self.rev)}/{self.path}"

    @property
    def ref_key(self) -> str:
        """Where the commit that `rev` names is kept; one for all files of the repo."""
        return f"ref:{self.repo.key}@{quoted_rev(self.rev)}"

    def at(self, commit: str) -> File:
        return File(self.repo, commit, self.path)


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes named by a digest in the path of a signed URL (CDN, bridge, LFS)."""

    hub: str
    digest: str  # "sha256:<64 hex>" or "xet:<64 hex>"
    owner: str = ""  # the id that the hub gave the repo (24 hex), if the URL names it
    kind = Kind.BLOB

    @property
    def key(self) -> str:
        return f"link:{self.digest}"


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob of a repo by its digest, as container registries have it and ollama asks for it."""

    repo: Repo
    digest: str  # "sha256:<64 hex>"
    here: bool = False  # by a URL that we gave out: the bytes themselves, not where they are
    kind = Kind.BLOB

    @property
    def hub(self) -> str:
        return self.repo.hub

    @property
    def key(self) -> str:
        return f"layer:{self.repo.key}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Batch:
    """git-lfs asks where objects lie; the answer is links, each good for one object and one user."""

    repo: Repo
    kind = Kind.GIT

    @property
    def hub(self) -> str:
        return self.repo.hub


@dataclass(frozen=True, slots=True)
class Xorb:
    """A range of a xorb's bytes, by a URL that is signed for just that range."""

    hub: str
    hash: str  # 64 hex, as Xet prints it
    start: int
    end: int  # half-open
    kind = Kind.XORB

    @property
    def key(self) -> str:
        return f"xorb:{self.hash}:{self.start}-{self.end}"


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Which xorb ranges a file is made of, with a signed URL for each: never stored, only read in passing."""

    hub: str
    file: str  # the file's Xet hash, 64 hex
    kind = Kind.SECRET


@dataclass(frozen=True, slots=True)
class Document:
    """A small body to be had whole: API answers, listings, raw text."""

    hub: str
    key: str
    repo: Repo | None
    what: str  # info | tree | refs | commits | paths-info | raw | list | static | manifest
    pinned: bool = False  # addressed by a commit
    edit: bool = False  # JSON that may name Xet hashes
    about: Subject | None = None  # None: of the whole repo, if there is one
    url: str = field(default="", compare=False, repr=False)  # by which the hub is asked: it says no more than the key
    kind = Kind.API


@dataclass(frozen=True, slots=True)
class Secret:
    """Per-user or short-lived answers: relayed, never stored (tokens, whoami, reconstructions)."""

    hub: str
    kind: Kind = Kind.SECRET
    about: Subject | None = None


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Answered here: nobody waits for a counter."""

    hub: str
    kind = Kind.TELEMETRY


@dataclass(frozen=True, slots=True)
class Passed:
    """Relayed by the edge, body and all: git, uploads, whatever writes. `repo` is what a success invalidates, `about`
    what is read or written. `writes`: a call that clients write with, whose answer gives nothing out; any other may be
    a read, of `read` where the URL tells more than whose it is."""

    hub: str
    kind: Kind
    repo: Repo | None = None
    about: Subject | None = None
    read: Resource | None = None
    writes: bool = False


@dataclass(frozen=True, slots=True)
class Plain:
    """Everything else: RFC 9111 as a shared cache. `strict`: a hub's own host, where any credential forbids storing."""

    hub: str
    key: str
    strict: bool = False
    about: Subject | None = None
    kind = Kind.PLAIN


@dataclass(frozen=True, slots=True)
class Malformed:
    reason: str
    hub: str = "-"
    kind = Kind.MALFORMED


type Resource = (
    File | Blob | Layer | Batch | Xorb | Reconstruction | Document | Secret | Telemetry | Passed | Plain | Malformed
)
