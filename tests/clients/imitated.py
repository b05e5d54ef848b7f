"""Clients that cannot be had as packages here, request for request as their sources have it.

llama.cpp's downloader: refs and one page of the tree (of ModelScope, all files of `master`), then for each file a HEAD
and a GET that follow redirects and go on where a partial file ends. The Rust crate hf-hub: up to 0.4 a GET of the first
byte that follows relative redirects, then the file, whole or in chunks; from 1.0 on a HEAD without redirects,
conditional when it has the file already.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from tests.processes import Answer, ask

type Way = Callable[[str, str, dict[str, str]], Answer]

HUB = "https://huggingface.co"
MODELSCOPE = "https://modelscope.cn"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CHUNK = 10_000_000  # bytes, hf-hub's own


def way(port: int, ca_pem: Path, **always: str) -> Way:
    """Requests through the CONNECT proxy on `port`, with headers that every request has."""
    return lambda method, url, headers: ask(port, ca_pem, url, method, {"Accept": "*/*", **always, **headers})


def followed(go: Way, method: str, url: str, headers: dict[str, str], *, relative_only: bool = False) -> Answer:
    for _ in range(10):
        answer = go(method, url, headers)
        target = answer["Location"] or ""
        if answer.status not in REDIRECTS or (relative_only and urlsplit(target).netloc):
            return answer
        url = urljoin(url, target)
    raise RuntimeError(f"{url} redirects without end")


# -- llama.cpp ------------------------------------------------------------------------------------------------------


def llama_listing(go: Way, repo: str) -> dict[str, tuple[str, str]]:
    """Path -> (digest, URL)."""
    refs = followed(go, "GET", f"{HUB}/api/models/{repo}/refs", {"Accept": "application/json"}).json
    commit = next(branch["targetCommit"] for branch in refs["branches"] if branch["name"] == "main")
    tree = followed(
        go, "GET", f"{HUB}/api/models/{repo}/tree/{commit}?recursive=true", {"Accept": "application/json"}
    ).json
    return {
        node["path"]: (node.get("lfs", node)["oid"], f"{HUB}/{repo}/resolve/{commit}/{quote(node['path'])}")
        for node in tree
        if node["type"] == "file"
    }


def llama_modelscope(go: Way, repo: str) -> dict[str, tuple[str, str]]:
    """The same of ModelScope."""
    asked = f"{MODELSCOPE}/api/v1/models/{repo}/repo/files?Revision=master&Recursive=true"
    listing = followed(go, "GET", asked, {"Accept": "application/json"}).json
    return {
        node["Path"]: (node["Sha256"], f"{MODELSCOPE}/models/{repo}/resolve/master/{quote(node['Path'])}")
        for node in listing["Data"]["Files"]
        if node["Type"] == "blob"
    }


def llama_download(go: Way, url: str, to: Path) -> str:
    """The ETag of the file that is then at `to`."""
    head = followed(go, "HEAD", url, {})
    assert head.status == 200, (url, head.status)
    partial = to.with_name(to.name + ".downloadInProgress")
    begun = partial.stat().st_size if partial.exists() and (head["Accept-Ranges"] or "none") != "none" else 0
    answer = followed(go, "GET", url, {"Range": f"bytes={begun}-"} if begun else {})
    assert answer.status == (206 if begun else 200), (url, answer.status)
    assert begun + int(answer["Content-Length"] or 0) == int(head["Content-Length"] or -1)
    with partial.open("ab") as file:
        file.write(answer.body)
    partial.rename(to)
    return head["ETag"] or ""


# -- hf-hub ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metadata:
    commit: str
    etag: str
    size: int


def crate_metadata(go: Way, url: str) -> Metadata:
    """`Api::metadata` of 0.3 and 0.4."""
    probe = {"Range": "bytes=0-0"}
    answer = followed(go, "GET", url, probe, relative_only=True)
    etag, commit = answer["x-linked-etag"] or answer["etag"], answer["x-repo-commit"]
    assert etag and commit, (answer.status, *answer.headers)
    if answer.status in REDIRECTS:
        answer = followed(go, "GET", answer["Location"] or "", probe)
    return Metadata(commit, etag.replace('"', ""), int((answer["content-range"] or "").split("/")[-1]))


def crate_sync(go: Way, url: str) -> tuple[Metadata, bytes]:
    found = crate_metadata(go, url)
    return found, followed(go, "GET", url, {}).body


def crate_tokio(go: Way, url: str) -> tuple[Metadata, bytes]:
    """`high()`: chunks in parallel, of which the last may end one byte behind the file."""
    found = crate_metadata(go, url)

    def chunk(start: int) -> bytes:
        stop = min(start + CHUNK - 1, found.size)
        answer = followed(go, "GET", url, {"Range": f"bytes={start}-{stop}"})
        assert answer.status == 206, answer.status
        return answer.body

    with ThreadPoolExecutor(4) as pool:
        return found, b"".join(pool.map(chunk, range(0, found.size, CHUNK)))


def crate_next(go: Way, url: str, cached: str = "") -> tuple[Metadata, bytes] | None:
    """1.0; `cached` is the ETag of the file that it has, and None says that it stands."""
    head = go("HEAD", url, {"If-None-Match": f'"{cached}"'} if cached else {})
    if head.status == 304:
        return None
    assert "X-Xet-Hash" not in head.headers, "it would go by Xet"
    etag, commit = head["x-linked-etag"] or head["etag"], head["x-repo-commit"]
    size = head["x-linked-size"] or head["content-length"]
    assert etag and commit and size, (head.status, *head.headers)
    return Metadata(commit, etag.strip('"'), int(size)), followed(go, "GET", url, {}).body
