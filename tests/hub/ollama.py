"""`/v2/{owner}/{name}/manifests/{tag}` and `/blobs/{digest}`: the hub as the container registry that ollama expects.

`hf.co` sends everybody on to `huggingface.co`, with a `__sign` in the query for the token that is lost on the way.
There a large blob is a 307 to the CDN, and a small one, made up by the hub to go with the file, is answered in place.
What is in a manifest depends on the program that asks: llama.cpp wants the file's name. A tag is a part of that name.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from . import cdn
from .exchange import Answer, Exchange, as_json, error, redirect
from .hf_access import files_denied, find
from .repo import File, Repo

if TYPE_CHECKING:
    from .server import TestHub

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MADE_UP = {
    "application/vnd.docker.container.image.v1+json": b'{"model_format":"gguf","model_type":"tiny"}',
    "application/vnd.ollama.image.template": b"{{ .Prompt }}",
    "application/vnd.ollama.image.params": b'{"stop":["<|im_end|>"]}',
}
_meant: dict[str, str] = {}  # sign -> token


def answer(hub: TestHub, ex: Exchange, id: str, what: str, name: str) -> Answer:
    if ex.method not in ("GET", "HEAD"):
        return error(405, "Method Not Allowed")
    if ex.host == "hf.co":
        sign = os.urandom(12).hex()
        _meant[sign] = ex.token or ""
        return redirect(307, f"https://huggingface.co{ex.path}?__sign={sign}")
    if token := _meant.get(ex.param("__sign")):
        ex.record.headers["authorization"] = f"Bearer {token}"
    repo = find(hub, ex, "models", id)
    if isinstance(repo, Answer):
        return repo
    return files_denied(ex, repo) or (_manifest if what == "manifests" else _blob)(ex, repo, name)


def _manifest(ex: Exchange, repo: Repo, tag: str) -> Answer:
    files = [f for f in repo.commits[repo.head].files.values() if f.path.endswith(".gguf") and f.storage != "git"]
    fitting = [f for f in files if tag == "latest" or tag.lower() in f.path.lower()]
    if not fitting:
        return error(400, "The specified tag is not a valid quantization scheme.")
    file = fitting[0]
    config, *rest = [_layer(kind, hashlib.sha256(data).hexdigest(), len(data)) for kind, data in MADE_UP.items()]
    model = _layer("application/vnd.ollama.image.model", file.sha256 or "", file.size)
    body: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [model, *rest],
    }
    if ex.header("user-agent").startswith("llama-cpp"):
        body["ggufFile"] = {"rfilename": file.path, "size": file.size}
    found = as_json(body, ("Docker-Content-Digest", "sha256:" + hashlib.sha256(repr(body).encode()).hexdigest()))
    found.repo = repo.id
    return found


def _layer(kind: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}


def _blob(ex: Exchange, repo: Repo, name: str) -> Answer:
    digest = name.removeprefix("sha256:")
    small = next((data for data in MADE_UP.values() if hashlib.sha256(data).hexdigest() == digest), None)
    if small is not None:
        fields = [("Content-Type", "application/octet-stream"), ("Accept-Ranges", "bytes")]
        return Answer(200, fields, small, True, blob=digest, blob_size=len(small), repo=repo.id)
    file: File | None = repo.blobs.get(digest)
    if file is None or file.sha256 != digest:
        return error(404, "Blob not found", "EntryNotFound")
    return redirect(307, cdn.large_url(repo, file, ex.effect.url_ttl))
