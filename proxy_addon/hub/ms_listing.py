"""ModelScope's listings: the URLs by which its SDK looks a repo up, and what is in the answers.

Every answer is an envelope, and a failure often travels with HTTP 200: `Success` tells. Models and studios are listed
in one answer of at most `CAP` entries, and what is over that is left out without a word; datasets are listed in pages.
The hub tells no commit for a branch, so what a repo is at a moment is a digest of its listing: every path, size and
SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from . import modelscope as ms
from .resources import SHA256, Repo
from .targets import Entry

CAP = 3000  # entries of one listing of a model


def api_url(repo: Repo, tail: str = "") -> str:
    return f"{ms.origin(repo)}/api/v1/{repo.type}/{repo.id}{tail}"


def open_url(repo: Repo) -> str:
    """Where the newer SDK looks first."""
    return f"{ms.origin(repo)}/openapi/v1/{repo.type}/{repo.id}"


def acceleration_url(repo: Repo) -> str:
    """What SDKs ask before a download, whatever the repo."""
    return f"{ms.origin(repo)}/api/v1/repos/internalAccelerationInfo"


def listing_url(repo: Repo, rev: str, folder: str = "", *, recursive: bool = True, page: int = 1) -> str:
    return ms.origin(repo) + "?".join(ms.listing_target(repo, rev, folder, recursive=recursive, page=page))


def nodes(answer: Any) -> list[Mapping[str, Any]]:
    """What a listing lists, files and folders. Raises ValueError with the hub's own words where it refuses."""
    if isinstance(answer, Mapping) and answer.get("Success") is False:
        code, said = answer.get("Code"), str(answer.get("Message") or "no reason")[:200]
        raise ValueError(f"there is no such revision ({said})" if code == ms.NO_SUCH else f"the hub refuses: {said}")
    data = answer.get("Data") if isinstance(answer, Mapping) else None
    found = data.get("Files") if isinstance(data, Mapping) else data
    if not isinstance(found, list):
        raise ValueError("what the hub sent is no listing")
    return [node for node in found if isinstance(node, Mapping) and isinstance(node.get("Path"), str)]


def is_last(answer: Mapping[str, Any], here: int, before: int) -> bool:
    """Whether a page with so many entries is the last: by the total, or where none is told by not being full."""
    total = answer.get("TotalCount")
    return not here or (before + here >= total if isinstance(total, int) else here < ms.PAGE)


def folders(listed: Iterable[Mapping[str, Any]]) -> list[str]:
    return [node["Path"] for node in listed if node.get("Type") == "tree"]


def entries(listed: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The files, each path once, in order."""
    found: dict[str, Entry] = {}
    for node in listed:
        size, digest = node.get("Size"), str(node.get("Sha256") or "")
        if isinstance(size, int) and size >= 0 and node.get("Type") == "blob":
            blob = f"sha256:{digest}" if SHA256.match(digest) else ""
            found.setdefault(node["Path"], Entry(node["Path"], size, blob))
    return sorted(found.values(), key=lambda entry: entry.path)


def version_of(found: Iterable[Entry]) -> str:
    """What stands for a commit: the same for the same files."""
    listed = json.dumps([(e.path, e.size, e.blob) for e in found]).encode()
    return f"files:{sha256(listed).hexdigest()[:40]}"
