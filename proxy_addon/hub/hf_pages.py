"""Hugging Face's pages for browsers, and whatever else on its own hosts is no route that clients take.

Their paths look like a repo's, and nobody but the hub knows whether they are: such a subject is not certain. A repo has
two names, or one if it is of the oldest kind; where both readings are possible the longer name is meant, as by the hub.
"""

from __future__ import annotations

from .paths import joined, unescaped
from .resources import Repo, Subject
from .subjects import about, at_revision

TYPES = ("models", "datasets", "spaces", "kernels", "buckets")

_FILES = frozenset({"blob", "blame", "edit", "delete", "resolve", "raw"})  # {rev}/{path}
_TREES = frozenset({"tree", "commits", "commit", "upload", "new"})  # {rev}
_VERBS = _FILES | _TREES | {"discussions", "settings", "viewer", "compare"}
_OF_A_REGISTRY = frozenset({"tags", "manifests", "blobs", "referrers"})
WORDS = _VERBS | _OF_A_REGISTRY | frozenset(TYPES)

#: First segments that are nobody's namespace.
_OWN = frozenset({
    ".well-known", "activity", "api", "apps", "assets", "avatars", "blog", "brand", "changelog", "chat",
    "code-of-conduct", "collections", "content-guidelines", "docs", "enterprise", "favicon.ico", "front", "hardware",
    "huggingface.js", "inference", "inference-api", "inference-endpoints", "jobs", "join", "js", "languages",
    "leaderboards", "learn", "login", "logout", "mcp", "metrics", "new", "new-dataset", "new-space", "notifications",
    "oauth", "organizations", "papers", "password_reset", "playground", "posts", "pricing", "privacy", "robots.txt",
    "search", "settings", "sitemap.xml", "static", "storage", "subscribe", "support", "tasks", "terms-of-service",
    "webhooks", "welcome",
})  # fmt: skip
_ATTACHED = ("uploads",)  # pictures and videos for discussions


def page(hub: str, parts: tuple[str, ...]) -> Subject | None:
    """What the path of a page seems to be about. Raises `paths.Ambiguous` for a name that hides a slash."""
    first, rest = (parts[0], parts[1:]) if parts and parts[0] in TYPES else ("models", parts)
    if not rest or parts == _ATTACHED or (rest is parts and unescaped(rest[0]).lower() in _OWN):
        return None
    cut = length(rest, _VERBS)
    repo, verb, tail = Repo(hub, first, joined(rest[:cut])), rest[cut : cut + 1], rest[cut + 1 :]
    told = tail if verb and verb[0] in _FILES | _TREES else ()
    return at_revision(repo, told, single=verb[:1] != () and verb[0] in _FILES, certain=False)


def of_registry(hub: str, parts: tuple[str, ...]) -> Subject | None:
    """What follows `/v2/` and is no route of ollama's."""
    if not parts or parts[0].startswith("_"):
        return None
    return about(Repo(hub, "models", joined(parts[: length(parts, _OF_A_REGISTRY)])))


def length(parts: tuple[str, ...], verbs: frozenset[str]) -> int:
    """How many segments are the repo's name, if one of `verbs` and a revision or the like may follow it."""
    if len(parts) < 3:
        return len(parts)
    return 1 if parts[1] in verbs and parts[2] not in verbs else 2
