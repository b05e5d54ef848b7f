"""A repo as the hub holds it: commits that map paths to files, refs that name commits, and who may read it.

A file's `digest` is what clients see as its ETag: the git blob id of a small file, the SHA-256 of a large one. Commits
are never changed; `commit` adds one and moves a branch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from . import gitids
from .content import Source, source_of
from .xorbs import Extent, Packing, Xorb, extents_of, file_hash

type Storage = Literal["git", "lfs", "xet"]
type Hub = Literal["huggingface", "modelscope"]
type Content = bytes | str | Path | Source

EPOCH = 1_759_276_800  # 2025-10-01, the date of the first commit of every repo
PLURAL = {
    "model": "models",
    "dataset": "datasets",
    "space": "spaces",
    "kernel": "kernels",
    "bucket": "buckets",
    "studio": "studios",  # of ModelScope only
}
TRUNK: dict[Hub, str] = {"huggingface": "main", "modelscope": "master"}
GIT_LIMIT = 512 * 1024


@dataclass(frozen=True)
class File:
    path: str
    source: Source
    storage: Storage
    oid: str  #: git blob id of the file, or of its LFS pointer
    sha256: str | None = None  #: of a large file
    xet: str | None = None  #: Xet file hash

    @property
    def size(self) -> int:
        return self.source.size

    @property
    def digest(self) -> str:
        return self.sha256 or self.oid

    @property
    def pointer(self) -> bytes:
        return gitids.pointer(self.sha256 or "", self.size)


@dataclass(frozen=True)
class Commit:
    sha: str
    files: Mapping[str, File]
    trees: Mapping[str, str]
    when: int
    title: str
    parent: str | None = None


def make_file(path: str, content: Content, storage: Storage | None, large: Storage = "xet") -> File:
    source = source_of(content)
    kind = storage or ("git" if source.size <= GIT_LIMIT else large)
    if kind == "git":
        return File(path, source, kind, gitids.blob_id(bytes(source.read(0, source.size))))
    sha256 = source.sha256
    xet = file_hash(sha256) if kind == "xet" else None
    return File(path, source, kind, gitids.blob_id(gitids.pointer(sha256, source.size)), sha256, xet)


@dataclass
class Repo:
    id: str
    type: str = "model"
    files: Mapping[str, Content] = field(default_factory=dict)
    storage: Mapping[str, Storage] = field(default_factory=dict)
    gated: Literal[False, "auto", "manual"] = False
    private: bool = False
    disabled: bool = False
    readers: Iterable[str] = ()  #: tokens that may read a gated or private repo
    info: Mapping[str, object] = field(default_factory=dict)  #: more keys of the API's answer
    hub: Hub = "huggingface"
    sites: Iterable[str] = ("cn",)  #: of a repo on ModelScope: "cn", "ai"
    issues: list[dict[str, str]] = field(default_factory=list)  #: `filesWithIssues` of the security scan
    packing: Packing = "none"  #: how the chunks of its Xet files are stored

    def __post_init__(self) -> None:
        where = "" if self.hub == "huggingface" else f"{self.hub}:"
        seed = hashlib.sha256(f"{where}{self.type}:{self.id}".encode()).hexdigest()
        self.object_id = seed[:24]  #: stays the same when the repo is renamed
        self.lfs_prefix = f"{seed[:2]}/{seed[2:4]}/{hashlib.sha256(seed.encode()).hexdigest()}"
        self.admitted = frozenset(self.readers)
        self.commits: dict[str, Commit] = {}
        self.refs: dict[str, str] = {}  #: "refs/heads/main" -> commit
        self.blobs: dict[str, File] = {}  #: by SHA-256 and by Xet hash
        self.xorbs: dict[str, Xorb] = {}
        self.extents: dict[str, list[Extent]] = {}  #: by Xet hash
        self.commit(self.files, title="initial commit", storage=self.storage)

    def commit(
        self,
        files: Mapping[str, Content | None],
        *,
        branch: str | None = None,
        title: str = "update",
        storage: Mapping[str, Storage] | None = None,
    ) -> str:
        """Put `files` on top of a branch (None: the trunk; a path's None deletes it), and return the new commit."""
        branch = branch or self.trunk
        ref = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
        parent = self.refs.get(ref) or self.refs.get(f"refs/heads/{self.trunk}")
        now: dict[str, File] = dict(self.commits[parent].files) if parent else {}
        for path, content in files.items():
            if content is None:
                now.pop(path, None)
            else:
                now[path] = self._keep(self._made(path, content, storage or self.storage))
        trees = gitids.tree_ids({path: f.oid for path, f in now.items()})
        when = EPOCH + 60 * len(self.commits)
        sha = gitids.commit_id(gitids.commit_body(trees[""], parent, when, title))
        self.commits[sha] = Commit(sha, dict(sorted(now.items())), trees, when, title, parent)
        self.refs[ref] = sha
        return sha

    def branch(self, name: str, commit: str | None = None) -> None:
        self.refs[f"refs/heads/{name}"] = commit or self.head

    def tag(self, name: str, commit: str | None = None) -> None:
        self.refs[f"refs/tags/{name}"] = commit or self.head

    @property
    def head(self) -> str:
        return self.refs[f"refs/heads/{self.trunk}"]

    @property
    def trunk(self) -> str:
        return TRUNK[self.hub]

    @property
    def plural(self) -> str:
        return PLURAL[self.type]

    @property
    def web(self) -> str:
        """The repo's path on the site, without a leading slash."""
        return self.id if self.type == "model" else f"{self.plural}/{self.id}"

    def file(self, path: str, revision: str | None = None) -> File:
        commit = self.at(revision or self.trunk)
        if commit is None:
            raise KeyError(revision)
        return commit.files[path]

    def at(self, revision: str) -> Commit | None:
        """The commit of a branch, a tag, a full ref, a commit id, or seven and more digits of one; and by whatever else
        git finds it (gitrevisions(7)), for a hub may ask git. `~parquet` is Hugging Face's own."""
        revision = re.sub(r"(?:\^0|~0|\^\{commit\}|@\{0\})\Z", "", revision)
        revision = {"HEAD": self.trunk, "@": self.trunk, "~parquet": "refs/convert/parquet"}.get(revision, revision)
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision, f"refs/{revision}"):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        if len(revision) >= 7:
            return next((c for sha, c in self.commits.items() if sha.startswith(revision.lower())), None)
        return None

    def history(self, commit: Commit) -> list[Commit]:
        chain = [commit]
        while parent := chain[-1].parent:
            chain.append(self.commits[parent])
        return chain

    def mirror(self, **settings: Any) -> Repo:
        """The same files on ModelScope, the very same sources, as one commit on its trunk."""
        files = self.commits[self.head].files
        storage: dict[str, Storage] = {path: "git" if f.storage == "git" else "lfs" for path, f in files.items()}
        contents = {path: f.source for path, f in files.items()}
        type = "studio" if self.type == "space" else self.type
        return Repo(self.id, type, contents, storage, hub="modelscope", **settings)

    def _made(self, path: str, content: Content, storage: Mapping[str, Storage]) -> File:
        return make_file(path, content, storage.get(path), "xet" if self.hub == "huggingface" else "lfs")

    def _keep(self, file: File) -> File:
        if file.sha256:
            self.blobs[file.sha256] = file
        if file.xet:
            self.blobs[file.xet] = file
            self.extents[file.xet] = list(extents_of(file.source, self.packing))
            self.xorbs |= {extent.xorb.hash: extent.xorb for extent in self.extents[file.xet]}
        return file
