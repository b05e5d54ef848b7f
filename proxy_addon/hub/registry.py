"""The hub as a container registry, which is how ollama sees it: `/v2/{repo}/manifests/{tag}` and `/v2/{repo}/blobs/…`.

ollama asks for a blob's size (HEAD), then for where its bytes are (GET): it wants to be sent to another host, by 307 in
every version, and has the parts from there, without credentials. So who asks one name of the hub is sent to another
one with a mark in the query. The hub itself does not know the mark: such a URL works without us, too.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from .paths import joined, plain, quoted
from .resources import Document, Layer, Repo, Resource

ORIGIN = "https://huggingface.co"
_ELSEWHERE = {"huggingface.co": "hf.co"}  # from any other name to the first
_MARK = ("hubgate", "bytes")
_SIGN = "__sign"  # the hub's own: what the token meant that a redirect to another host has lost
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def route(hub: str, parts: tuple[str, ...], query: str) -> Resource | None:
    """What follows `/v2/`; None for what is none of these. Raises `paths.Ambiguous`."""
    if len(parts) not in (3, 4):
        return None
    *id, what, name = parts
    repo, name = Repo(hub, "models", joined(tuple(id))), plain(name)
    if what == "manifests":
        url = f"{ORIGIN}/v2/{quoted(repo.id)}/manifests/{quoted(name)}"
        return Document(hub, f"api:{repo.key}:v2/{quoted(name)}", repo, "manifest", url=url)
    if what == "blobs" and _DIGEST.match(name):
        return Layer(repo, name, here=_MARK in parse_qsl(query))
    return None


def signed(query: str) -> bool:
    """Whether the query is a permission."""
    return any(name == _SIGN for name, _ in parse_qsl(query, keep_blank_values=True))


def blob_url(layer: Layer, base: str = ORIGIN) -> str:
    return f"{base.rstrip('/')}/v2/{quoted(layer.repo.id)}/blobs/{layer.digest}"


def handed_out(layer: Layer, host: str) -> str:
    """Where who asked `host` finds the bytes."""
    return blob_url(layer, f"https://{_ELSEWHERE.get(host, 'huggingface.co')}") + "?" + "=".join(_MARK)
