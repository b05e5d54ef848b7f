"""The ids git gives to blobs, trees and commits, so that the hub's commit and blob ids are what git would compute."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

AUTHOR = "Acme <acme@plain.example>"


def blob_id(data: bytes) -> str:
    return _id("blob", data)


def pointer(sha256: str, size: int) -> bytes:
    """What git holds in place of a large file (the Git LFS pointer file, version 1)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def tree_ids(blobs: Mapping[str, str]) -> dict[str, str]:
    """The id of every folder, by path; "" is the root. `blobs` maps path to blob id."""
    folders: dict[str, dict[str, tuple[str, str]]] = {"": {}}
    for path, oid in blobs.items():
        parent, _, name = path.rpartition("/")
        folders.setdefault(parent, {})[name] = ("100644", oid)
        while parent:
            parent = parent.rpartition("/")[0]
            folders.setdefault(parent, {})
    ids: dict[str, str] = {}
    for folder in sorted(folders, key=lambda p: (p.count("/"), p != ""), reverse=True):
        entries = folders[folder]
        # git sorts a folder as if its name ended in "/"
        order = sorted(entries, key=lambda n: n + "/" if entries[n][0] == "40000" else n)
        body = b"".join(f"{entries[n][0]} {n}\0".encode() + bytes.fromhex(entries[n][1]) for n in order)
        ids[folder] = _id("tree", body)
        if folder:
            parent, _, name = folder.rpartition("/")
            folders[parent][name] = ("40000", ids[folder])
    return ids


def commit_body(tree: str, parent: str | None, when: int, message: str) -> bytes:
    lines = [f"tree {tree}", *([f"parent {parent}"] if parent else [])]
    lines += [f"author {AUTHOR} {when} +0000", f"committer {AUTHOR} {when} +0000", "", message]
    return ("\n".join(lines) + "\n").encode()


def commit_id(body: bytes) -> str:
    return _id("commit", body)


def _id(kind: str, body: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()
