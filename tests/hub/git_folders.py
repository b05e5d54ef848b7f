"""A repo as git has it: bare, in a temporary folder, with the very ids that the hub tells over its API.

It is made by `git fast-import` when first asked for, and anew when the repo has changed. What is pushed into it is
read back into the repo.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from . import gitids
from .content import Source
from .repo import Commit, File, Repo, make_file

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:"
ON = ("http.receivepack", "uploadpack.allowAnySHA1InWant", "uploadpack.allowFilter")
type State = tuple[tuple[tuple[str, str], ...], int]


class GitFolders:
    def __init__(self) -> None:
        self._root = tempfile.TemporaryDirectory(prefix="test-hub-git-")
        self._made: dict[str, tuple[State, Path]] = {}
        self._lock = threading.Lock()
        self._uploads: dict[str, Source] = {}

    def close(self) -> None:
        self._root.cleanup()

    def of(self, repo: Repo) -> Path:
        """The folder with all that the repo holds now. Blocks while git works; call it in a thread."""
        key, state = f"{repo.hub}:{repo.type}:{repo.id}", _state(repo)
        with self._lock:
            known = self._made.get(key)
            if known and known[0] == state:
                return known[1]
            folder = Path(tempfile.mkdtemp(dir=self._root.name)) / "repo.git"
            git("init", "-q", "--bare", f"--initial-branch={repo.trunk}", str(folder))
            for name in ON:
                git("-C", str(folder), "config", name, "true")
            git("-C", str(folder), "fast-import", "--quiet", given=b"".join(_stream(repo)))
            temporary = git("-C", str(folder), "for-each-ref", "--format=delete %(refname)", "refs/import")
            git("-C", str(folder), "update-ref", "--stdin", given=temporary)
            self._made[key] = state, folder
            return folder

    def keep_upload(self, sha256: str, source: Source) -> None:
        self._uploads[sha256] = source

    def uploaded(self, sha256: str) -> Source | None:
        return self._uploads.get(sha256)

    def read_back(self, repo: Repo, folder: Path) -> None:
        """Take the commits and refs that a push has brought. Blocks while git works."""
        listed = git("-C", str(folder), "for-each-ref", "--format=%(refname) %(objectname)").decode()
        refs = dict(line.split() for line in listed.splitlines())
        for commit in git("-C", str(folder), "rev-list", "--reverse", "--all").decode().split():
            if commit not in repo.commits:
                repo.commits[commit] = self._commit(repo, folder, commit)
        repo.refs = refs
        with self._lock:
            self._made[f"{repo.hub}:{repo.type}:{repo.id}"] = _state(repo), folder

    def _commit(self, repo: Repo, folder: Path, sha: str) -> Commit:
        form = "--format=%ct%n%P%n%s"
        when, parents, title = git("-C", str(folder), "show", "-s", form, sha).decode().split("\n")[:3]
        files: dict[str, File] = {}
        for entry in git("-C", str(folder), "ls-tree", "-r", "-z", sha).decode().split("\0")[:-1]:
            facts, _, path = entry.partition("\t")
            data = git("-C", str(folder), "cat-file", "blob", facts.split()[2])
            sha256 = data.removeprefix(POINTER)[:64].decode() if data.startswith(POINTER) else ""
            source = self._uploads.get(sha256) or (repo.blobs[sha256].source if sha256 in repo.blobs else None)
            files[path] = make_file(path, source or data, "lfs" if source else "git")
            if source:
                repo.blobs.setdefault(sha256, files[path])
        trees = gitids.tree_ids({path: file.oid for path, file in files.items()})
        return Commit(sha, files, trees, int(when), title, parents.split()[0] if parents else None)


def git(*arguments: str, given: bytes = b"") -> bytes:
    """What git prints. Raises subprocess.CalledProcessError when it fails."""
    return subprocess.run(["git", *arguments], input=given, env=environment(), capture_output=True, check=True).stdout


def environment() -> dict[str, str]:
    """Nobody's settings."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}


def _state(repo: Repo) -> State:
    return tuple(sorted(repo.refs.items())), len(repo.commits)


def _stream(repo: Repo) -> Iterator[bytes]:
    """All commits in the form of git-fast-import(1); they were put in parents first."""
    marks: dict[str, int] = {}
    for commit in repo.commits.values():
        for file in commit.files.values():
            if file.oid not in marks:
                data = bytes(file.source.read(0, file.size)) if file.storage == "git" else file.pointer
                marks[file.oid] = len(marks) + 1
                yield b"blob\nmark :%d\n%s" % (marks[file.oid], _data(data))
        marks[commit.sha] = len(marks) + 1
        who = f"{gitids.AUTHOR} {commit.when} +0000"
        yield f"commit refs/import/{commit.sha}\nmark :{marks[commit.sha]}\nauthor {who}\ncommitter {who}\n".encode()
        yield _data(f"{commit.title}\n".encode())
        if commit.parent:
            yield b"from :%d\n" % marks[commit.parent]
        yield b"deleteall\n"
        for path, file in commit.files.items():
            yield f"M 100644 :{marks[file.oid]} {path}\n".encode()
    for ref, sha in repo.refs.items():
        yield f"reset {ref}\nfrom :{marks[sha]}\n\n".encode()


def _data(data: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(data), data)
