"""What people name on the command line and in `sync:` (`hf:org/name@rev`, `ms:datasets/org/name`).

A target is read strictly: what could be meant in two ways is refused with the way to write it. ModelScope has a second
site with repos of its own, `ms.ai:org/name`. What is printed here can be typed again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit

from . import huggingface as hf
from . import modelscope as ms
from .resources import Document, File, Repo

#: prefix -> hub, its site, the types that it has, its default branch
_HUBS = {
    "hf": (hf.HUB, "", ("models", "datasets", "spaces"), "main"),
    "ms": (ms.HUB, "", ("models", "datasets", "studios"), ms.TRUNK),
    "ms.ai": (ms.HUB, "ai", ("models", "datasets", "studios"), ms.TRUNK),
}
_TARGET = re.compile(r"(?P<prefix>[a-z.]+):(?://)?(?P<name>[^@:]+)(?:@(?P<rev>.+))?\Z")
_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}\Z", re.ASCII)
_REV = re.compile(r"(?!.*(?:\.\.|//|[/.]\Z))[^\s\x00-\x20\x7f~^:?*\[\\]{1,255}\Z")
_KEY = re.compile(
    r"file:(?P<hub>[^/.]+)(?:\.(?P<site>[^/]+))?/(?P<type>[^/]+)/(?P<id>[^@]+)@(?P<rev>[^/]+)/(?P<path>.+)\Z",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Target:
    repo: Repo
    rev: str | None = None  # None: the default branch

    def __str__(self) -> str:
        return spelled(self.repo) + (f"@{self.rev}" if self.rev else "")

    @property
    def revision(self) -> str:
        """The branch, tag or commit that is meant."""
        return self.rev or _HUBS[_prefix(self.repo)][3]


def _prefix(repo: Repo) -> str:
    return next((p for p, (hub, site, *_) in _HUBS.items() if (hub, site) == (repo.hub, repo.site)), repo.hub)


def spelled(repo: Repo) -> str:
    """As `target` reads it."""
    return f"{_prefix(repo)}:{'' if repo.type == 'models' else f'{repo.type}/'}{repo.id}"


def target(text: str, type: str = "model") -> Target:
    """`hf:org/name`, `hf:name`, `ms:datasets/org/name@rev`; `type` is for who names none. Raises ValueError."""
    found = _TARGET.match(text.strip())
    if found is None or found["prefix"] not in _HUBS:
        raise ValueError(f"{text!r} is no target; write hf:org/name, hf:datasets/org/name@revision or ms:org/name")
    hub, site, types, _ = _HUBS[found["prefix"]]
    head, _, rest = found["name"].partition("/")
    kind, id = (head, rest) if rest and head in types else (f"{type}s", found["name"])
    if kind not in types:
        other = {"spaces": "studios", "studios": "spaces"}[kind]
        raise ValueError(f"{text!r}: {hub} has no {kind}; write {found['prefix']}:{other}/org/name")
    if not _ID.match(id) or (hub == ms.HUB and "/" not in id):
        like = "" if hub == hf.HUB else f" or {found['prefix']}:org/name"
        raise ValueError(f"{text!r} is no target; write hf:org/name{like}, with @revision behind it if need be")
    if found["rev"] is not None and not _REV.match(found["rev"]):
        raise ValueError(f"{text!r}: {found['rev']!r} cannot be a revision; name a branch, a tag or a commit")
    return Target(Repo(hub, kind, id, site), found["rev"])


def within(text: str) -> tuple[Target, str | None]:
    """A target, and the file of it that may be named behind: `hf:org/name@rev/a/b.bin`, `ms:datasets/org/name/a.csv`.

    Two names are a repo's, so that a file of a repo with one needs a revision (`hf:gpt2@main/config.json`). A revision
    ends at the first slash, save `refs/pr/1` and its like; any other is written `%2F`. Raises ValueError.
    """
    prefix, colon, rest = text.strip().partition(":")
    if prefix not in _HUBS or not colon:
        raise ValueError(f"{text!r} is no target; write hf:org/name, hf:org/name@revision/path or ms:org/name")
    parts = rest.removeprefix("//").split("/")
    kind = parts[:1] if parts[0] in _HUBS[prefix][2] and len(parts) > 1 else []
    parts = parts[len(kind) :]
    names = 1 if "@" in parts[0] else 2
    end = names
    name, at, rev = "/".join(parts[:names]).partition("@")
    if rev == "refs":
        end += 2
        rev = "/".join((rev, *parts[names:end]))
    found = target(f"{prefix}:{'/'.join((*kind, name))}" + (f"@{unquote(rev)}" if at else ""))
    return found, "/".join(parts[end:]) or None


def same(one: Target, other: Target) -> bool:
    """The same revision of the same repo, however they are spelled."""
    return (one.repo, one.revision) == (other.repo, other.revision)


def moved_to(location: str) -> str:
    """The target's new name, by the `Location` of a request for its info; empty if that says none."""
    try:
        found = hf.classify("GET", "huggingface.co", urlsplit(location).path, "")
    except ValueError:  # no URL, or an ambiguous one
        return ""
    repo = found.repo if isinstance(found, Document | File) else None
    return "" if repo is None else spelled(repo)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, as a hub's listing says. A listing is somebody else's JSON: what is no file of known size is left out."""

    path: str
    size: int  # bytes
    blob: str  # blob id, from the digest that the listing names; empty: it names none


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
    repo = Repo(found["hub"], found["type"], found["id"], found["site"] or "")
    return File(repo, unquote(found["rev"]), found["path"])
