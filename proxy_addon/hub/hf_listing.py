"""Hugging Face's listings: the URLs by which clients look a repo up, and what is in the answers.

The URLs are spelled as clients spell them, so that what they ask for later is found under the same key. What is no
listing at all is a `ValueError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import huggingface as hf
from .paths import quoted_rev
from .resources import COMMIT, SHA256, Repo
from .targets import Entry

_NEXT = re.compile(r'<([^<>]+)>\s*;[^<]*?\brel="?next"?', re.IGNORECASE)


def api_url(repo: Repo, tail: str = "", query: str = "") -> str:
    return f"{hf.ORIGIN}/api/{repo.type}/{repo.id}{tail}" + (f"?{query}" if query else "")


def revision_url(repo: Repo, rev: str) -> str:
    return api_url(repo, f"/revision/{quoted_rev(rev)}")


def tree_url(repo: Repo, commit: str) -> str:
    return api_url(repo, f"/tree/{quoted_rev(commit)}", "recursive=true&expand=false")


def next_page(link: str | None) -> str | None:
    """The URL of the next page (RFC 8288)."""
    found = _NEXT.search(link or "")
    return found[1] if found else None


def commit_of(info: Any) -> str:
    """The commit that a repo's info is about. Raises ValueError."""
    commit = info.get("sha") if isinstance(info, Mapping) else None
    if not isinstance(commit, str) or not COMMIT.match(commit):
        raise ValueError("what the hub says of the repo names no commit")
    return commit


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
    return f"sha256:{oid}" if SHA256.match(oid) else f"git:{oid}" if COMMIT.match(oid) else ""
