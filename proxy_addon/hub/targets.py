"""What people name on the command line (`hf:org/name@rev`), and what a hub's listing says is in it.

A target is read strictly: what could be meant in two ways is refused with the way to write it. A listing is somebody
else's JSON: what is not a file of known size in it is left out, what is not a listing at all is a `ValueError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote, urlsplit

from . import huggingface as hf
from .paths import Ambiguous, quoted_rev
from .resources import COMMIT, Document, File, Repo

TYPES = ("model", "dataset", "space")
_PREFIXES = {"hf": hf.HUB, "ms": "modelscope"}
_TARGET = re.compile(
    r"(?:(?P<hub>hf|ms):)?(?://)?(?:(?P<type>models|datasets|spaces)/)?(?P<id>[^@:]+)(?:@(?P<rev>.+))?\Z"
)
_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}\Z", re.ASCII)
_REV = re.compile(r"(?!.*(?:\.\.|//|[/.]\Z))[^\s\x00-\x20\x7f~^:?*\[\\]{1,255}\Z")
_KEY = re.compile(r"file:(?P<hub>[^/]+)/(?P<type>[^/]+)/(?P<id>[^@]+)@(?P<rev>[^/]+)/(?P<path>.+)\Z", re.DOTALL)
_NEXT = re.compile(r'<([^<>]+)>\s*;[^<]*?\brel="?next"?', re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Target:
    repo: Repo
    rev: str | None = None  # None: the default branch

    def __str__(self) -> str:
        return spelled(self.repo) + (f"@{self.rev}" if self.rev else "")


def spelled(repo: Repo) -> str:
    """As `target` reads it."""
    hub = next((prefix for prefix, name in _PREFIXES.items() if name == repo.hub), repo.hub)
    return f"{hub}:{'' if repo.type == 'models' else f'{repo.type}/'}{repo.id}"


def target(text: str, type: str = "model") -> Target:
    """`hf:org/name`, `hf:name`, `hf:datasets/org/name@rev`; `type` is for who names none. Raises ValueError."""
    found = _TARGET.match(text.strip())
    if found is None or found["hub"] is None or not _ID.match(found["id"]):
        raise ValueError(f"{text!r} is no target; write hf:org/name, hf:org/name@revision or hf:datasets/org/name")
    if found["rev"] is not None and not _REV.match(found["rev"]):
        raise ValueError(f"{text!r}: {found['rev']!r} cannot be a revision; name a branch, a tag or a commit")
    return Target(Repo(_PREFIXES[found["hub"]], found["type"] or f"{type}s", found["id"]), found["rev"])


def api_url(repo: Repo, tail: str = "", query: str = "") -> str:
    """As clients spell it: what they ask for later is then here under the same key."""
    return f"{hf.ORIGIN}/api/{repo.type}/{repo.id}{tail}" + (f"?{query}" if query else "")


def tree_url(repo: Repo, commit: str) -> str:
    return api_url(repo, f"/tree/{quoted_rev(commit)}", "recursive=true&expand=false")


def next_page(link: str | None) -> str | None:
    """The URL of the next page (RFC 8288)."""
    found = _NEXT.search(link or "")
    return found[1] if found else None


def moved_to(location: str) -> str:
    """The target's new name, by the `Location` of a request for its info; empty if that says none."""
    try:
        found = hf.classify("GET", "huggingface.co", urlsplit(location).path, "")
    except Ambiguous:
        return ""
    repo = found.repo if isinstance(found, Document | File) else None
    return "" if repo is None else spelled(repo)


def commit_of(info: Any) -> str:
    """The commit that a repo's info is about. Raises ValueError."""
    commit = info.get("sha") if isinstance(info, Mapping) else None
    if not isinstance(commit, str) or not COMMIT.match(commit):
        raise ValueError("what the hub says of the repo names no commit")
    return commit


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    size: int  # bytes
    blob: str  # blob id, from the digest that the listing names; empty: it names none


def entries(listing: Any) -> list[Entry]:
    """The files of one page of a listing. Raises ValueError."""
    if not isinstance(listing, list):
        raise ValueError("what the hub sent is no listing")
    found = []
    for node in listing:
        path, size = (node.get("path"), node.get("size")) if isinstance(node, Mapping) else (None, None)
        if isinstance(path, str) and isinstance(size, int) and size >= 0 and node.get("type") == "file":
            found.append(Entry(path, size, _blob(node)))
    return found


def _blob(node: Mapping[str, Any]) -> str:
    large = node.get("lfs")
    oid = large.get("oid") if isinstance(large, Mapping) else node.get("oid")
    if not isinstance(oid, str):
        return ""
    oid = oid.removeprefix("sha256:")
    return f"sha256:{oid}" if _SHA256.match(oid) else f"git:{oid}" if COMMIT.match(oid) else ""


def wanted(path: str, include: Iterable[str], exclude: Iterable[str]) -> bool:
    """Shell globs over the whole path, `*` crosses slashes and `dir/` means all below, as in huggingface_hub."""
    include = tuple(include)
    return (not include or any(fits(path, glob) for glob in include)) and not any(fits(path, g) for g in exclude)


def fits(path: str, glob: str) -> bool:
    return fnmatchcase(path, f"{glob}*" if glob.endswith("/") else glob)


def file_of(key: str) -> File | None:
    """The file whose `File.key` this is."""
    found = _KEY.match(key)
    if found is None:
        return None
    return File(Repo(found["hub"], found["type"], found["id"]), unquote(found["rev"]), found["path"])
