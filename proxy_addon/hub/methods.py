"""What a URL gives to a method that is neither GET nor HEAD.

A hub, and a mirror of it all the more, may answer any method where it answers GET. So what gives out something of a
repo to GET, and has no use that writes, is told as such a read, too: rules judge it as one. No method that a hub's
clients write with is taken for a read of what they write. OPTIONS is safe whatever the URL (RFC 9110 §9.2.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .resources import Blob, Document, File, Kind, Layer, Passed, Plain, Reconstruction, Resource, Secret, Xorb
from .subjects import subject_of

#: Below these stands what a hub's clients call: where nothing is known of a URL, it may write.
_CALLED = ("/api/", "/openapi/")
#: By hub, with what its clients change the very URLs that they read.
_CHANGING: Mapping[str, frozenset[str]] = {"modelscope": frozenset({"PUT", "PATCH", "DELETE"})}


def otherwise(method: str, path: str, found: Passed, got: Resource) -> Passed:
    """`found`, what the URL is to `method`, with what may be had by it; `got`: what it is to GET."""
    read = got if _gives(path, got) else None
    if method == "OPTIONS":
        return Passed(found.hub, Kind.PLAIN, None, subject_of(found), read)
    called = path.startswith(_CALLED)
    if found.kind is not Kind.UPLOAD or (called and method in _CHANGING.get(found.hub, ())):
        return found
    return replace(found, read=read)


def _gives(path: str, got: Resource) -> bool:
    match got:
        case File() | Layer() | Blob() | Xorb() | Reconstruction():
            return True
        case Document(what="commit"):
            return False
        case Document():
            return subject_of(got) is not None
        case Plain(about=about) if about is not None and not path.startswith(_CALLED):
            return about.rev is not None or about.path is not None
        case Secret(about=about):  # rows of the viewer
            return about is not None and not path.startswith(_CALLED)
    return False
