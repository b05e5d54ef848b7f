"""git over HTTP, the same on every hub: smart HTTP below the repo, and the LFS batch that names where objects lie."""

from __future__ import annotations

from .paths import the_only
from .resources import Batch, Kind, Passed, Repo, Resource
from .subjects import about

_PACKS = frozenset({"git-upload-pack", "git-receive-pack"})
_REFS = ("info", "refs")
_BATCH = ("info", "lfs", "objects", "batch")
_POSTED = (("git-upload-pack",), ("info", "lfs", "locks", "verify"))  # reads that travel in a POST


def is_git(tail: tuple[str, ...]) -> bool:
    """Whether what follows the repo in a path is git's."""
    return (tail[:1] == ("info",) and tail[1:2] in (("refs",), ("lfs",))) or (len(tail) == 1 and tail[0] in _PACKS)


def classify(method: str, repo: Repo, tail: tuple[str, ...], query: str) -> Resource:
    """Raises `paths.Ambiguous` for a query that names the service twice."""
    if method == "POST" and tail == _BATCH:
        return Batch(repo)
    pushes = (the_only(query, "service") if tail == _REFS else tail[-1]) == "git-receive-pack"
    reads = method in ("GET", "HEAD") or (method == "POST" and tail in _POSTED)
    return Passed(repo.hub, Kind.GIT, None if reads and not pushes else repo, about(repo))
