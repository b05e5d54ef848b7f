"""What the cache holds, in people's words: which blob is which file of which repo.

Stored responses say which files point at a blob, and are asked first; a blob whose responses were evicted still names
the URL that it came from. One blob may be many files. Everything here reads; what it shows may change meanwhile, since
a proxy may be running on the same directory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from .core.messages import StoredResponse
from .hub.classify import Classifier
from .hub.paths import quoted_rev
from .hub.resources import COMMIT, LEASED, File, Repo
from .hub.targets import Target, file_of
from .store.blobs import Listed
from .store.contract import Manifest
from .store.local import DiskStore

BATCH = 1000
_ALGORITHMS = ("", "sha256:", "git:")
_WAYS = ("", LEASED)  # how keys begin: of what all may have, and of what holders of a lease may
_CLASSIFIER = Classifier()


@dataclass(frozen=True, slots=True)
class Entry:
    """One blob and the files that it is; `files` is empty for listings and for what other hosts sent."""

    listed: Listed
    files: tuple[File, ...]

    @property
    def blob(self) -> str:
        return self.listed.manifest.blob

    @property
    def size(self) -> int:
        return self.listed.manifest.size

    @property
    def complete(self) -> bool:
        return self.listed.manifest.sealed and self.listed.held >= self.size


@dataclass(slots=True)
class Holding:
    """What is here of one repo; bytes of a blob count once."""

    files: int = 0
    size: int = 0
    held: int = 0
    pinned: int = 0  # files
    revisions: int = 0


class Catalogue:
    def __init__(self, store: DiskStore) -> None:
        self._store = store

    async def entries(self) -> list[Entry]:
        """Every blob."""
        named = defaultdict[str, set[File]](set)
        for way in _WAYS:
            async for key, rows in self._rows(f"{way}file:"):
                if (file := file_of(key.removeprefix(way))) is not None:
                    for row in rows:
                        named[row.blob or ""].add(file)
        found: list[Entry] = []
        at = ""
        while batch := await self._store.blobs.listing(at, BATCH):
            at = batch[-1].manifest.blob
            for listed in batch:
                files = named.get(listed.manifest.blob) or _by_source(listed.manifest)
                found.append(Entry(listed, tuple(sorted(files, key=lambda file: file.key))))
        return found

    async def one(self, text: str) -> Entry | None:
        """The blob of this id, or of this digest."""
        for algorithm in _ALGORITHMS:
            if await self._store.blobs.manifest(blob := algorithm + text) is not None:
                return next((e for e in await self.entries() if e.blob == blob), None)
        return None

    async def revisions(self, target: Target) -> set[str]:
        """What the target's revision is called in keys: as it is named, and by its commit if that is known here."""
        if target.rev is None:
            return set()
        keys = () if COMMIT.match(target.rev) else _ref_keys(target)
        rows = [row for key in keys for row in await self._store.responses.get(key)]
        return {target.rev, *(commit for row in rows if (commit := dict(row.facts).get("commit")))}

    async def of(self, target: Target) -> list[Entry]:
        """The blobs of a repo's files, at any revision or at the one that is named; of each only those files."""
        revisions = await self.revisions(target)
        found = []
        for entry in await self.entries():
            files = tuple(f for f in entry.files if f.repo == target.repo and (not revisions or f.rev in revisions))
            if files:
                found.append(Entry(entry.listed, files))
        return found

    async def documents(self, target: Target) -> set[str]:
        """Blobs of the repo's infos and listings: what a client asks for before the files."""
        revisions = await self.revisions(target)
        return {row.blob async for _, rows in self._about(target, revisions) for row in rows if row.blob}

    async def remove(self, target: Target) -> tuple[list[Entry], list[Entry]]:
        """Forget the target: (the blobs that are gone, those that stay because other files are the same)."""
        entries = {entry.blob: entry for entry in await self.entries()}
        revisions = await self.revisions(target)
        gone: list[Entry] = []
        stay: list[Entry] = []
        for entry in await self.of(target):
            others = [f for f in entries[entry.blob].files if f.repo != target.repo]
            shared = others or (revisions and [f for f in entries[entry.blob].files if f.rev not in revisions])
            (stay if shared else gone).append(entry)
        documents = {blob for blob in await self.documents(target) if blob in entries and not entries[blob].files}
        keys = [key async for key, _ in self._about(target, revisions)]
        for prefix in _prefixes("file", target.repo, revisions):
            for way in _WAYS:
                await self._store.responses.invalidate(way + prefix)
        for key in keys:
            await self._store.responses.put(key, ())
        await self._forget_refs(target)
        for blob in (*documents, *(entry.blob for entry in gone)):
            await self._store.blobs.drop(blob)
        return gone, stay

    async def _forget_refs(self, target: Target) -> None:
        for way in _WAYS if target.rev is None else ():
            await self._store.responses.invalidate(f"{way}ref:{target.repo.key}@")
        for key in _ref_keys(target) if target.rev is not None else ():
            await self._store.responses.put(key, ())

    async def _about(
        self, target: Target, revisions: Collection[str]
    ) -> AsyncIterator[tuple[str, tuple[StoredResponse, ...]]]:
        """Infos, listings and raw text of the repo, or of these revisions of it."""
        for prefix in _prefixes("raw", target.repo, revisions):
            async for found in self._rows(prefix):
                yield found
        async for key, rows in self._rows(f"api:{target.repo.key}:"):
            if not revisions or _revision_in(key.removeprefix(f"api:{target.repo.key}:")) in revisions:
                yield key, rows

    async def _rows(self, prefix: str) -> AsyncIterator[tuple[str, tuple[StoredResponse, ...]]]:
        at = ""
        while batch := await self._store.responses.listing(prefix, at, BATCH):
            at = batch[-1][0]
            for found in batch:
                yield found


def by_repo(entries: Iterable[Entry]) -> dict[Repo, Holding]:
    """In the order of size, the largest first."""
    found = defaultdict[Repo, Holding](Holding)
    revisions = defaultdict[Repo, set[str]](set)
    for entry in entries:
        for repo in {file.repo for file in entry.files}:
            files = [file for file in entry.files if file.repo == repo]
            holding = found[repo]
            holding.files += len(files)
            holding.size += entry.size
            holding.held += entry.listed.held
            holding.pinned += len(files) if entry.listed.kept else 0
            revisions[repo] |= {file.rev for file in files}
            holding.revisions = len(revisions[repo])
    return dict(sorted(found.items(), key=lambda item: (-item[1].held, item[0].key)))


def _prefixes(kind: str, repo: Repo, revisions: Collection[str]) -> list[str]:
    """Of the keys under which stored responses are that name a path."""
    return [f"{kind}:{repo.key}@{quoted_rev(rev)}/" for rev in revisions] or [f"{kind}:{repo.key}@"]


def _revision_in(tail: str) -> str:
    """The revision that an API call is about: in the path on Hugging Face, in the query on ModelScope."""
    path, _, query = tail.partition("?")
    what, _, rest = path.partition("/")
    if what in ("revision", "tree"):
        return unquote(rest.partition("/")[0])
    return parse_qs(query).get("Revision", [""])[0]


def _ref_keys(target: Target) -> list[str]:
    return [f"{way}ref:{target.repo.key}@{quoted_rev(target.rev or '')}" for way in _WAYS]


def _by_source(manifest: Manifest) -> set[File]:
    at = urlsplit(manifest.source)
    if at.scheme != "https" or not at.hostname:
        return set()
    found = _CLASSIFIER.classify("GET", at.scheme, at.hostname, 443, at.path, "")
    return {found} if isinstance(found, File) else set()
