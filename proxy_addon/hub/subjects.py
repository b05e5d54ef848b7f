"""What a resource is about, as rules see it: the repo, the revision and the file that its URL tells.

A resource without a subject is about no repo (a list, a login), or it is bytes that only a digest names: `Blob`,
`Xorb`, `Reconstruction`, and a `Secret` of the kind `blob` or `xorb`, which is a link to bytes that could not be read.
Whose these are somebody else has to tell.

Two spellings of one thing have one subject, though their cache keys may differ: `.git` is no part of a name, and the
hub's own refs may be written with plain slashes. A path that would be about something else if the hub took the words of
its routes without case, or decoded their letters (RFC 3986 §6.2.2), has two readings: it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from . import revisions
from .paths import Ambiguous, plain, unescaped, without_git
from .resources import (
    Batch,
    Blob,
    Document,
    File,
    Layer,
    Malformed,
    Passed,
    Plain,
    Reconstruction,
    Repo,
    Resource,
    Secret,
    Subject,
    Telemetry,
    Xorb,
)

_REF = re.compile(r"(refs/(?:pr/[0-9]+|convert/[^/]+))(?:/(.+))?\Z", re.DOTALL)

_DOTS = re.compile(r"\.{2,3}")


def subject_of(resource: Resource) -> Subject | None:
    """What the request is about; None: nothing that its URL could tell."""
    return _READ[type(resource)](resource)


def about(repo: Repo, rev: str | None = None, path: str | None = None, *, certain: bool = True) -> Subject:
    """A subject from what stands in a path, decoded."""
    if (id := without_git(repo.id)) != repo.id:
        repo = replace(repo, id=id)
    if rev is not None and rev.startswith("refs") and (found := _REF.match(f"{rev}/{path}" if path else rev)):
        rev, path = found[1], found[2]
    return Subject(repo, None if rev is None else revisions.known_as(repo.hub, rev), path, certain=certain)


def at_revision(repo: Repo, tail: tuple[str, ...], *, single: bool = False, certain: bool = True) -> Subject:
    """What follows a verb in a path, still percent-encoded: a revision, and behind it a file (`single`) or a folder."""
    if not tail:
        return about(repo, certain=certain)
    rest = "/".join(plain(part, slashes=True) for part in tail[1:])
    found = about(repo, plain(tail[0], slashes=True), rest or None, certain=certain)
    return found if single or found.path is None else replace(found, path=None)


def compared(repo: Repo, tail: tuple[str, ...]) -> Subject:
    """Of `{rev}..{rev}`, or of one revision. Raises `Ambiguous` for what has no two sides."""
    old, dots, new = _DOTS.sub("..", "/".join(plain(part, slashes=True) for part in tail), count=1).partition("..")
    if dots and not (old and new):
        raise Ambiguous("a comparison is of two revisions")
    found = about(repo, new or old or None)
    return replace(found, since=about(repo, old).rev) if dots else found


def one_reading(read: Callable[[tuple[str, ...]], Resource], parts: tuple[str, ...], words: frozenset[str]) -> Resource:
    """The resource of a path. Raises `paths.Ambiguous` if one that spells the hub's words as usual has another subject.

    `words`: those of the hub's routes, in lower case.
    """
    found = read(parts)
    spelled = usual(parts, words)
    meant = subject_of(read(spelled)) if spelled != parts else None
    if meant is not None and _folded(meant) != _folded(subject_of(found)):
        raise Ambiguous("the path spells a word of the hub's own in an unusual way")
    return found


def usual(parts: tuple[str, ...], words: frozenset[str]) -> tuple[str, ...]:
    """A path without needless escapes, and with the hub's words in lower case."""
    plainly = [unescaped(part) if "%" in part else part for part in parts]
    return tuple(low if (low := part.lower()) in words else part for part in plainly)


def _folded(subject: Subject | None) -> object:
    if subject is None:
        return None
    repo, rev, path = subject.repo, (subject.rev or "").lower(), (subject.path or "").lower()
    since = (subject.since or "").lower()
    return repo.hub, repo.site, repo.type, repo.id.lower(), rev, since, path, subject.digest, subject.certain


def _document(found: Document) -> Subject | None:
    return found.about or (about(found.repo) if found.repo is not None else None)


_READ: Mapping[type, Callable[[Any], Subject | None]] = {
    File: lambda file: about(file.repo, file.rev, file.path),
    Document: _document,
    Layer: lambda layer: replace(about(layer.repo), digest=layer.digest),
    Batch: lambda batch: about(batch.repo),
    Passed: lambda passed: passed.about or (about(passed.repo) if passed.repo is not None else None),
    Plain: lambda plain: plain.about,
    Secret: lambda secret: secret.about,
    Blob: lambda blob: None,
    Xorb: lambda xorb: None,
    Reconstruction: lambda found: None,
    Telemetry: lambda found: None,
    Malformed: lambda found: None,
}
