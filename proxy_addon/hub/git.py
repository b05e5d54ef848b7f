"""git over HTTP, the same on every hub: smart HTTP below the repo, and the LFS batch that names where objects lie."""

from __future__ import annotations

from .paths import the_only
from .resources import Batch, Kind, Passed, Repo, Resource
from .subjects import about

_PACKS = frozenset({"git-upload-pack", "git-receive-pack"})
_REFS = ("info", "refs")
_BATCH = ("info", "lfs", "objects", "batch")
_LOCKS = ("info", "lfs", "locks")
_POSTED = (("git-upload-pack",), (*_LOCKS, "verify"))  # reads that travel in a POST
_WRITTEN = (("git-receive-pack",), _LOCKS, ("info", "lfs", "verify"), ("info", "lfs", "objects", "verify"))


def is_git(tail: tuple[str, ...]) -> bool:
    """Whether what follows the repo in a path is git's."""
    return (tail[:1] == ("info",) and tail[1:2] in (("refs",), ("lfs",))) or (len(tail) == 1 and tail[0] in _PACKS)


def classify(method: str, repo: Repo, tail: tuple[str, ...], query: str) -> Resource:
    """Raises `paths.Ambiguous` for a query that names the service twice."""
    if method == "POST" and tail == _BATCH:
        return Batch(repo)
    pushes = (the_only(query, "service") if tail == _REFS else tail[-1]) == "git-receive-pack"
    safe, posted = method in ("GET", "HEAD"), method == "POST"
    if (safe or (posted and tail in _POSTED)) and not pushes:
        return Passed(repo.hub, Kind.GIT, None, about(repo))
    unlocks = tail[:3] == _LOCKS and tail[4:] == ("unlock",)
    writes = (safe and tail == _REFS) or (posted and (tail in _WRITTEN or unlocks))
    return Passed(repo.hub, Kind.GIT, repo, about(repo), writes=writes)
