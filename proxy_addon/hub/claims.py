"""What a hub's JSON says of names that bear no repo: which file has which hash, which repo has which id.

Only where the hub itself speaks: what else is in there, a model card for one, says what its author likes. A claim is
a name and, for a hash, a path in the repo that the answer is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from . import modelscope as ms
from .paths import Ambiguous, sound
from .resources import SHA256, Repo

_OBJECT_ID = re.compile(r"[0-9a-f]{24}\Z")

type Claim = tuple[str, str | None]


def of_huggingface(document: Any) -> Iterator[Claim]:
    """Of a repo's info, a page of its tree, or of what is known of some paths."""
    ident = document.get("_id") if isinstance(document, dict) else None
    if isinstance(ident, str) and _OBJECT_ID.match(ident):
        yield f"id:{ident}", None
    listed = document.get("siblings") if isinstance(document, dict) else document
    for node in listed if isinstance(listed, list) else ():
        path = (node.get("path") or node.get("rfilename")) if isinstance(node, dict) else None
        if isinstance(path, str):
            lfs = node.get("lfs")
            digest = (lfs.get("oid") or lfs.get("sha256")) if isinstance(lfs, dict) else None
            yield from ((name, path) for name in (_hash("sha256", digest), _hash("xet", node.get("xetHash"))) if name)


def of_modelscope(document: Any, repo: Repo) -> Iterator[Claim]:
    """Of a repo's info, or of a listing: of what lies on the CDN, which alone is had by its hash."""
    data = document.get("Data") if isinstance(document, dict) else None
    ident = data.get("Id") if isinstance(data, dict) else None
    if type(ident) is int and ident > 0:
        yield number(replace(repo, id=str(ident))), None
    listed = data.get("Files") if isinstance(data, dict) else data
    for node in listed if isinstance(listed, list) else ():
        match node:
            case {"Path": str(path), "Sha256": digest, "IsLFS": True} if name := _hash("sha256", digest):
                yield name, path


def _hash(kind: str, value: Any) -> str:
    return f"{kind}:{value}" if isinstance(value, str) and SHA256.match(value) else ""


def is_number(repo: Repo) -> bool:
    """Whether the repo is called by the number that ModelScope gave it."""
    return repo.hub == ms.HUB and repo.id.isascii() and repo.id.isdigit()


def number(repo: Repo) -> str:
    return f"number:{repo.site}/{repo.type}/{repo.id}"


def named(document: Any, repo: Repo) -> Repo | None:
    """The repo under its name, as ModelScope's info of it tells: owner and name."""
    data = document.get("Data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        return None
    owner, name = data.get("Path") or data.get("Namespace"), data.get("Name")
    if not (isinstance(owner, str) and isinstance(name, str) and owner and name):
        return None
    try:
        return replace(repo, id=f"{sound(owner)}/{sound(name)}")
    except Ambiguous:  # no name that a URL could hold
        return None
