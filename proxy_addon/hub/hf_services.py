"""Hugging Face's hosts below its own name: where bytes lie, the dataset viewer, inference, and what else there may be.

Links are told by the shape of their path, because these names change. On a host that gives out files no path is about
nothing: what is no link as we know them is a `Secret` of the kind `blob` or `xorb`. On a host that is not known a path
counts if it is one that clients take on the hub itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..core.storing import READS
from . import xet
from .paths import joined, normal_query, sound, the_only, unescaped, url_key
from .resources import COMMIT, SHA256, Blob, Document, Kind, Passed, Plain, Repo, Resource, Secret, Subject, Telemetry
from .subjects import about, subject_of

VIEWER = "datasets-server.huggingface.co"
_COMPUTING = frozenset({"router.huggingface.co", "api-inference.huggingface.co"})  # a POST there leaves nothing behind
_OF_FILES = ("cdn-lfs", "cas-bridge.", "cas-server.", "transfer.")  # how the names of hosts begin
_CDN = ("cdn.hf.co", ".cdn.hf.co")  # how they end
_WITH_ASSETS = frozenset({"rows", "first-rows", "search", "filter"})  # their bodies hold signed links
_ASSETS = frozenset({"assets", "cached-assets"})
_BEFORE_A_MODEL = {"models": 1, "status": 1, "pipeline": 2}  # segments that come before its name
_WRITTEN = frozenset({"xorbs", "xorb-grants", "xorb-commits", "shards", "xorb", "shard"})  # of the CAS, now and once
_OWNER = re.compile(r"[0-9a-f]{24}\Z")


def classify(
    hub: str,
    method: str,
    host: str,
    path: str,
    query: str,
    parts: tuple[str, ...],
    home: Callable[[], Resource],
) -> Resource:
    """`home`: how the hub itself would read the path, spelled as usual. Raises `paths.Ambiguous`."""
    of_files = host.startswith(_OF_FILES) or host == _CDN[0] or host.endswith(_CDN[1])
    if of_files:
        told = None
    elif host == VIEWER:
        told = _viewed(hub, parts, query)
    else:
        told = _computed(hub, parts) if host in _COMPUTING else subject_of(home())
        told = told if told is not None and told.certain else None
    if method not in READS:
        kind = Kind.PLAIN if host in _COMPUTING else Kind.UPLOAD
        writes = host.startswith("cas-server.") and not _WRITTEN.isdisjoint(parts[:2])
        return Telemetry(hub) if parts[-1:] == ("telemetry",) else Passed(hub, kind, None, told, writes=writes)
    if host.startswith("cas-server."):
        return xet.reconstruction(hub, parts)
    if host.startswith("transfer."):
        return xet.xorb(hub, parts, query)
    if (link := _link(hub, host, parts)) is not None:
        return link
    if of_files:
        return Secret(hub, Kind.BLOB)
    if host == VIEWER:
        return _viewer(hub, host, path, query, parts, told)
    return Plain(hub, url_key(f"https://{host}{path}{'?' + query if query else ''}"), strict=True, about=told)


def _link(hub: str, host: str, parts: tuple[str, ...]) -> Blob | None:
    if not parts or not SHA256.match(parts[-1]):
        return None
    if parts[0].startswith("xet-bridge-") and len(parts) == 3:
        return Blob(hub, f"xet:{parts[-1]}", parts[1] if _OWNER.match(parts[1]) else "")
    return Blob(hub, f"sha256:{parts[-1]}") if host.startswith("cdn-lfs") else None


def _viewer(hub: str, host: str, path: str, query: str, parts: tuple[str, ...], told: Subject | None) -> Resource:
    if _first(parts) in _WITH_ASSETS:
        return Secret(hub, about=told)
    repo = told.repo if told is not None and _first(parts) not in _ASSETS else None
    asked = f"{host}{path}?{normal_query(query)}"
    return Document(hub, f"api:{hub}:{asked}", repo, "viewer", about=told, url=f"https://{asked}")


def _viewed(hub: str, parts: tuple[str, ...], query: str) -> Subject | None:
    """By the query, or by the path of a picture: `/assets/{dataset}/--/[{commit}/--/]{config}/...`."""
    if _first(parts) not in _ASSETS:
        name = the_only(query, "dataset")
        return about(Repo(hub, "datasets", sound(name, slashes=True))) if name else None
    cut = parts.index("--") if "--" in parts else 3
    commit = parts[cut + 1] if parts[cut + 2 : cut + 3] == ("--",) and COMMIT.match(parts[cut + 1]) else None
    return about(Repo(hub, "datasets", joined(parts[1:cut], slashes=True)), commit) if parts[1:cut] else None


def _first(parts: tuple[str, ...]) -> str:
    return unescaped(parts[0]).lower() if parts else ""


def _computed(hub: str, parts: tuple[str, ...]) -> Subject | None:
    """`/models/{id}`, `/pipeline/{task}/{id}`, on the router behind the name of who computes."""
    words = [unescaped(part).lower() for part in parts[:2]]
    at = next((n for n, word in enumerate(words) if word in _BEFORE_A_MODEL), None)
    if at is None:
        return None
    names = parts[at + _BEFORE_A_MODEL[words[at]] :][:2]
    return about(Repo(hub, "models", joined(names, slashes=True))) if names else None
