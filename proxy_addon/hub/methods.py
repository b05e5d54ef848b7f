"""What a URL gives to a method that is neither GET nor HEAD.

A hub, and a mirror of it all the more, may answer any method where it answers GET. So whatever names a repo, or bytes,
is judged as a read of what it is to GET, whichever the method and whatever stands behind the name. Spared are just the
calls that a hub's grammar knows its clients to write with (`Passed.writes`): these may be large, and are relayed as
they come. OPTIONS is safe whatever the URL (RFC 9110 §9.2.1).
"""

from __future__ import annotations

from dataclasses import replace

from .resources import Blob, Kind, Passed, Reconstruction, Resource, Secret, Xorb
from .subjects import subject_of

_BYTES = frozenset({Kind.BLOB, Kind.XORB})


def otherwise(method: str, found: Passed, got: Resource) -> Passed:
    """`found`, what the URL is to `method`, with what may be had by it; `got`: what it is to GET."""
    if method == "OPTIONS":
        return Passed(found.hub, Kind.PLAIN, None, subject_of(found), got if _gives(got) else None)
    return found if found.writes or not _gives(got) or _tells_all(found, got) else replace(found, read=got)


def _tells_all(found: Passed, got: Resource) -> bool:
    """Both are about the same repo and no file: to be judged alike, and a body may be large (audio to be computed)."""
    subject = subject_of(found)
    return subject is not None and subject == subject_of(got) and subject.path is None and not subject.digest


def _gives(got: Resource) -> bool:
    nameless = isinstance(got, Blob | Xorb | Reconstruction) or (isinstance(got, Secret) and got.kind in _BYTES)
    return nameless or subject_of(got) is not None
