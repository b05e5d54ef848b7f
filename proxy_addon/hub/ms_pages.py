"""ModelScope's pages for browsers, and the calls of its API that are about a repo without being a listing or a file.

A repo has two names, or one number by which the hub knows it; the number is told by the verb behind it, for an owner's
name may consist of digits. What only looks like a repo's page is not certain.
"""

from __future__ import annotations

from .paths import Ambiguous, joined, sound, the_only, unescaped, without_git
from .resources import Repo, Subject
from .subjects import about, at_revision

TYPES = ("models", "datasets", "studios")
TRUNK = "master"
WORDS = frozenset({*TYPES, "skills", "api", "openapi", "v1", "repos", "repo", "files", "tree", "file", "view"}) | {
    "resolve", "raw", "blob", "revisions", "commits", "info", "refs", "lfs", "objects", "batch", "git-upload-pack",
    "git-receive-pack", "users", "user", "login", "tokens",
}  # fmt: skip

#: With what clients write below `/api/v1/{type}/{id}/`, and with what they change a studio below `/openapi/v1/`.
WRITTEN = frozenset({("PUT", ""), ("DELETE", ""), ("DELETE", "repo"), ("DELETE", "file"), ("POST", "repo/tag")})
CHANGED = frozenset({("POST", "deploy"), ("POST", "stop"), ("PATCH", "settings")}) | {
    (method, what) for method in ("POST", "PUT", "PATCH", "DELETE") for what in ("secrets", "variables")
}
#: With what they upload: below `/api/v1/repos/{type}/{id}/`, on the host of LFS too; and below `/api/v1/models/aigc/`,
#: where the body says which repo is meant.
STORED = frozenset({("POST", "commit"), ("PUT", "blobs")})
NAMELESS = frozenset({("PUT", "weights"), ("POST", "repo", "tag")})

_API_TYPES = (*TYPES, "skills")
_VERBS = frozenset(
    {"repo", "revisions", "commits", "commit", "file", "files", "archive", "oss", "sts", "ststoken", "tag", "tags"}
)
_OWN = frozenset(
    {"api", "openapi", "docs", "home", "my", "organization", "profile", "search", "topic", "learn", "login", "brand"}
)  # first segments that are nobody's namespace


def length(rest: tuple[str, ...]) -> int:
    """How many segments behind the type are the repo's name. Raises `Ambiguous` for what is a number and an owner."""
    if not rest or not _is_number(rest[0]):
        return 2
    if len(rest) > 2 and rest[1] in _VERBS and rest[2] in ("repo", "revisions", "commits"):
        raise Ambiguous("the repo is named by a number or by an owner and a name")
    return 1 if len(rest) < 2 or rest[1] in _VERBS else 2


def asked(repo: Repo, query: str, trunk: bool = False) -> Subject:
    """A repo at the revision, and its file, that the query names. `trunk`: without a revision the trunk is meant."""
    rev, path = the_only(query, "Revision"), the_only(query, "FilePath")
    rev = rev or (TRUNK if trunk or path else "")
    return about(repo, sound(rev, slashes=True) if rev else None, sound(path, slashes=True) if path else None)


def told(repo: Repo, tail: tuple[str, ...], query: str) -> Subject:
    """What a GET below a repo's name is about. An archive is a file that the hub makes of a revision."""
    match tail:
        case ("archive", _, *rev) if rev:
            return about(repo, joined(tuple(rev), slashes=True), "archive.zip")
    return asked(repo, query, tail == ("repo",))


def stored(repo: Repo, tail: tuple[str, ...], query: str) -> Subject:
    """What a call below `/api/v1/repos/` is about, that writes: a commit is to a branch."""
    return about(repo, joined(tail[1:], slashes=True)) if tail[:1] == ("commit",) and tail[1:] else asked(repo, query)


def call(hub: str, site: str, parts: tuple[str, ...], query: str) -> Subject | None:
    """What follows `/api/v1/` or `/openapi/v1/`."""
    if parts[:1] == ("repos",):
        parts = parts[1:]
    rest = parts[1:]
    if not rest or parts[0] not in _API_TYPES or len(rest) < (cut := length(rest)):
        return None
    return asked(repo_of(hub, site, parts[0], rest[:cut]), query, "repo" in rest[cut:])


def page(hub: str, site: str, parts: tuple[str, ...]) -> Subject | None:
    kind, rest = (parts[0], parts[1:]) if parts[:1] and parts[0] in _API_TYPES else ("models", parts)
    if rest is parts and (not rest or unescaped(rest[0]).lower() in _OWN):
        return None
    if len(rest) < 2:
        return about(Repo(hub, kind, rest[0], site), certain=False) if rest and _is_number(rest[0]) else None
    repo = repo_of(hub, site, kind, rest[:2])
    match rest[2:]:
        case ("resolve", *tail):
            return at_revision(repo, tuple(tail), single=True)
        case ("file", "view", *tail) | ("raw" | "blob", *tail):
            return at_revision(repo, tuple(tail), single=True, certain=False)
        case ("tree" | "commits", *tail):
            return at_revision(repo, tuple(tail), certain=False)
    return about(repo, certain=False)


def repo_of(hub: str, site: str, kind: str, names: tuple[str, ...]) -> Repo:
    return Repo(hub, kind, without_git(joined(names)), site)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()
