"""Whose a request is: every route, every spelling that a hub would serve, and the test hub as the witness.

The witness says which repo an answer was about; no spelling of a URL may get such an answer without being about that
repo here, save one that is refused and one that names bytes by their digest.
"""

from __future__ import annotations

import asyncio
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from proxy_addon.hub.resources import (
    Batch,
    Blob,
    Document,
    File,
    Kind,
    Layer,
    Malformed,
    Passed,
    Reconstruction,
    Repo,
    Resource,
    Secret,
    Subject,
    Telemetry,
    Xorb,
)
from proxy_addon.hub.subjects import subject_of
from tests.hub import git_http, hf_api, huggingface, modelscope, ms_reply
from tests.hub import repo as hub_repo
from tests.hub.exchange import Answer, Exchange
from tests.hub.knobs import DEFAULT
from tests.hub.log import Record
from tests.hub.server import FAMILIES, TestHub
from tests.hubs.test_modelscope import CLASSIFIER, ask

SHA, HEX, OWNER = "a" * 40, "b" * 64, "c" * 24
H, CN, AI = "https://huggingface.co", "https://modelscope.cn", "https://www.modelscope.ai"
VIEWER = "https://datasets-server.huggingface.co"


def shown(subject: Subject | None) -> str:
    """`models/org/name@rev:path`, with `?` behind what is not certain, and `ai/` before ModelScope's second site."""
    if subject is None:
        return "-"
    site = subject.repo.site and f"{subject.repo.site}/"
    text = f"{site}{subject.repo.type}/{subject.repo.id}"
    text += f"@{subject.rev}" if subject.rev is not None else ""
    text += f":{subject.path}" if subject.path is not None else ""
    return text + subject.digest + ("" if subject.certain else "?")


def asked(url: str, method: str = "GET") -> str:
    found = ask(url, method)
    return "malformed" if isinstance(found, Malformed) else shown(subject_of(found))


M = "models/org/name"
HUGGINGFACE = [
    # files
    ("/org/name/resolve/main/a/b.bin", f"{M}@main:a/b.bin"),
    ("/org/name/resolve/main/a/b.bin?download=true", f"{M}@main:a/b.bin"),
    ("/gpt2/resolve/main/x", "models/gpt2@main:x"),
    ("/datasets/org/name/resolve/refs%2Fconvert%2Fparquet/x", "datasets/org/name@refs/convert/parquet:x"),
    ("/datasets/org/name/resolve/refs/convert/parquet/x", "datasets/org/name@refs/convert/parquet:x"),
    ("/org/name/resolve/refs/pr/1/a/b", f"{M}@refs/pr/1:a/b"),
    ("/org/name/resolve/refs%2Fpr/1/a/b", f"{M}@refs/pr/1:a/b"),
    ("/org/name/resolve/refs%2Fpr%2F1%2Fa%2Fb", f"{M}@refs/pr/1:a/b"),
    ("/org/name/resolve/refs/pr/1", f"{M}@refs/pr/1"),
    ("/org/name/raw/refs/pr/1/x", f"{M}@refs/pr/1:x"),
    ("/org/name/resolve/refs/x/1", "malformed"),
    ("/org/name.git/resolve/main/x", f"{M}@main:x"),
    ("/kernels/org/name/resolve/main/x", "kernels/org/name@main:x"),
    ("/org/name/resolve/main", f"{M}@main"),
    ("/org/name/raw/main", f"{M}@main"),
    ("/org/name/raw/main/README.md", f"{M}@main:README.md"),
    ("/buckets/org/name/resolve/a/log.txt", "buckets/org/name:a/log.txt"),
    ("/org/raw/resolve/main/x", "models/org/raw@main:x"),
    ("/org/resolve/resolve/main/x", "models/org/resolve@main:x"),
    ("/datasets/org/raw/info/refs", "datasets/org/raw"),
    (f"/api/resolve-cache/models/org/name/{SHA}/a%2Fb.json?etag=x", f"{M}@{SHA}:a/b.json"),
    (f"/api/resolve-cache/models/gpt2/{SHA}/x", f"models/gpt2@{SHA}:x"),
    (f"/api/resolve-cache/models/org/{SHA}/{SHA}/x", f"models/org/{SHA}@{SHA}:x"),
    (f"/api/resolve-cache/models/org/name/{SHA.upper()}/x", f"{M}@{SHA.upper()}:x"),
    (f"/api/resolve-cache/datasets/org/name/{SHA}", f"datasets/org/name@{SHA}"),
    # the API
    ("/api/models/org/name", M),
    ("/api/models/org/name/", M),
    ("/api/models/org/name?", M),
    ("/api/models/org/name?token=x", M),
    ("/api/models/org/name?Signature=x", M),
    ("/api/models/org/name.git", M),
    ("/api/models/o%72g/n%61me", M),
    ("/api/models/gpt2", "models/gpt2"),
    ("/api/models/org/name/revision/refs%2Fpr%2F1?blobs=true", f"{M}@refs/pr/1"),
    ("/api/models/org/name/revision/refs/pr/1", f"{M}@refs/pr/1"),
    ("/api/datasets/org/name/tree/main/sub/dir?recursive=true", "datasets/org/name@main"),
    ("/api/models/gpt2/tree/main", "models/gpt2@main"),
    ("/api/models/org/tree", "models/org/tree"),
    ("/api/models/org/tree/tree/main", "models/org/tree@main"),
    ("/api/models/org/name/commits/main?p=1", f"{M}@main"),
    (f"/api/models/org/name/commit/{SHA}", f"{M}@{SHA}"),
    ("/api/models/org/name/compare/main..dev", f"{M}@dev"),
    ("/api/models/org/name/refs", M),
    ("/api/models/gpt2/refs", "models/gpt2"),
    (f"/api/models/org/name/xet-read-token/{SHA}", f"{M}@{SHA}"),
    ("/api/models/org/name/xet-write-token/main", f"{M}@main"),
    ("/api/models/gpt2/xet-write-token/main", "models/gpt2@main"),
    ("/api/models/org/name/auth-check", M),
    ("/api/buckets/org/name/tree/a", "buckets/org/name"),
    ("/api/buckets/org/name/xet-read-token", "buckets/org/name"),
    ("/api/datasets/org/name/parquet/default/train/0.parquet", "datasets/org/name"),
    ("/api/datasets/org/name/croissant", "datasets/org/name"),
    ("/api/models/org/name/discussions?p=1", M),
    ("/api/models/org/name/notebook/main/x.ipynb", f"{M}@main"),
    ("/api/spaces/org/name/runtime", "spaces/org/name"),
    # ollama
    ("/v2/org/name/manifests/latest", M),
    ("/v2/gpt2/manifests/latest", "models/gpt2"),
    (f"/v2/org/name/blobs/sha256:{HEX}", f"{M}sha256:{HEX}"),
    (f"/v2/org/name/blobs/sha256:{HEX.upper()}", M),
    ("/v2/org/name/tags/list", M),
    ("/v2/gpt2/tags/list", "models/gpt2"),
    # git
    ("/org/name/info/refs?service=git-upload-pack", M),
    ("/datasets/org/name.git/info/refs?service=git-receive-pack", "datasets/org/name"),
    ("/gpt2/info/refs", "models/gpt2"),
    ("/org/name.git/info/lfs/locks", M),
    # pages
    ("/org/name", f"{M}?"),
    ("/org/name.git", f"{M}?"),
    ("/gpt2", "models/gpt2?"),
    ("/models/org/name", f"{M}?"),
    ("/models/org/name/resolve/main/x", f"{M}@main:x?"),
    ("/org/name/tree/main/sub", f"{M}@main?"),
    ("/org/name/blob/main/a/x.bin", f"{M}@main:a/x.bin?"),
    ("/gpt2/blob/main/x.bin", "models/gpt2@main:x.bin?"),
    ("/org/blob/blob/main/x.bin", "models/org/blob@main:x.bin?"),
    ("/datasets/org/name/blame/refs%2Fpr%2F1/x", "datasets/org/name@refs/pr/1:x?"),
    ("/datasets/org/name/viewer/default/train", "datasets/org/name?"),
    ("/datasets/squad", "datasets/squad?"),
    ("/spaces/org/name/discussions/1", "spaces/org/name?"),
    ("/org/name/commit/main", f"{M}@main?"),
    ("/org/name/edit/main/README.md", f"{M}@main:README.md?"),
    # nobody's
    ("/", "-"),
    ("/models?search=x", "-"),
    ("/datasets", "-"),
    *((f"/{own}", "-") for own in ("docs/hub/x", "blog/x", "papers/1", "collections/o/x", "settings/tokens", "join")),
    *(
        (f"/{own}", "-")
        for own in ("login?next=%2Forg%2Fname", "pricing", "search/full-text", "tasks", "learn/x", "posts")
    ),
    *((f"/{own}", "-") for own in ("front/build/x.js", "organizations/x", ".well-known/meta.json", "oauth/authorize")),
    *((f"/api/{own}", "-") for own in ("whoami-v2", "models?search=x", "quicksearch?q=x", "trending", "papers/x", "")),
    *((f"/api/{own}", "-") for own in ("agent-harnesses", "telemetry/x", "settings/x", "resolve-cache", "v2")),
    ("/v2/", "-"),
    ("/v2/_catalog", "-"),
    # refused: the hub may read them in another way
    ("/org%2Fname", "malformed"),
    ("/org%2Fname/tree/main", "malformed"),
    ("/org//name", "malformed"),
    ("/org/x/../name", "malformed"),
    ("/org/x/%2e%2e/name/resolve/main/x", "malformed"),
    ("/api/models/org%2Fname", "malformed"),
    ("/api/models/org%252Fname", "malformed"),
    ("/API/models/org/name", "malformed"),
    ("/%61pi/models/org/name", "malformed"),
    ("/api/Models/org/name", "malformed"),
    ("/api/model%73/org/name/tree/main", "malformed"),
    ("/api/resolve%2Dcache/models/org/name/main/x", "malformed"),
    ("/org/name/RESOLVE/main/x", "malformed"),
    ("/org/name/%72esolve/main/x", "malformed"),
    ("/org/name/info/re%66s?service=git-upload-pack", "malformed"),
    ("/Datasets/org/name/resolve/main/x", "malformed"),
    ("/dataset%73/org/name", "malformed"),
    ("/V2/org/name/manifests/latest", "malformed"),
    ("/v2/org/name/%6danifests/latest", M),
]


@pytest.mark.parametrize("host", ["huggingface.co", "www.huggingface.co", "hf.co"])
@pytest.mark.parametrize(("target", "subject"), HUGGINGFACE)
def test_hugging_face(host: str, target: str, subject: str) -> None:
    assert asked(f"https://{host}{target}") == asked(f"https://{host}{target}", "HEAD") == subject


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize(("target", "subject"), [(t, s) for t, s in HUGGINGFACE if s not in ("-", "malformed")])
def test_what_is_no_read_is_about_the_same_repo(method: str, target: str, subject: str) -> None:
    found = subject_of(ask(H + target, method))
    assert found is not None and subject.startswith(shown(Subject(found.repo)))


POSTED = [
    (f"{H}/api/models/org/name/paths-info/main", f"{M}@main"),
    (f"{H}/api/models/org/name/commit/main", f"{M}@main"),
    (f"{H}/api/models/org/name/preupload/refs%2Fpr%2F1", f"{M}@refs/pr/1"),
    (f"{H}/org/name.git/info/lfs/objects/batch", M),
    (f"{H}/org/name.git/info/lfs/locks/verify", M),
    (f"{H}/datasets/org/name/git-upload-pack", "datasets/org/name"),
    (f"{H}/org/name.git/git-receive-pack", M),
    (f"{H}/api/repos/create", "-"),
    (f"{H}/oauth/token", "-"),
    ("https://api-inference.huggingface.co/models/org/name", M),
    ("https://api-inference.huggingface.co/pipeline/feature-extraction/org/name", M),
    ("https://router.huggingface.co/hf-inference/models/org/n%61me/v1/chat/completions", M),
    ("https://router.huggingface.co/v1/chat/completions", "-"),
    (f"{VIEWER}/rows?dataset=org/name", "datasets/org/name"),
    ("https://cas-server.xethub.hf.co/v1/xorbs/default/x", "-"),
    (f"{CN}/api/v1/repos/datasets/o/n/info/lfs/objects/batch", "datasets/o/n"),
    (f"{CN}/api/v1/repos/models/o/n/commit/master", "models/o/n@master"),
    (f"{CN}/api/v1/repos/models/o/n/commit/feature/x", "models/o/n@feature/x"),
    (f"{CN}/api/v1/models/aigc/repo/tag", "-"),
    (f"{H}/uploads", "-"),
    (f"{CN}/api/v1/skills/o/n/x", "skills/o/n"),
    (f"{CN}/models/o/n/resolve/master/x", "models/o/n@master:x"),
    (f"{CN}/o/n.git/git-upload-pack", "models/o/n"),
    (f"{CN}/api/v1/login", "-"),
]


@pytest.mark.parametrize(("url", "subject"), POSTED)
def test_what_is_posted(url: str, subject: str) -> None:
    assert asked(url, "POST") == subject


VIEWED = [
    *((f"/{what}?config=default&dataset=org/name", "datasets/org/name") for what in ("rows", "first-rows", "search")),
    *((f"/{what}?dataset=org%2Fname", "datasets/org/name") for what in ("filter", "parquet", "size", "info", "splits")),
    ("/r%6fws?dataset=org/name", "datasets/org/name"),
    ("/rows?dataset=squad&Signature=x", "datasets/squad"),
    ("/parquet?dataset=o%72g/name&token=x", "datasets/org/name"),
    (f"/assets/org/name/--/{SHA}/--/default/train/0/image/image.jpg", f"datasets/org/name@{SHA}"),
    ("/cached-assets/org/name/--/default/train/0/i.jpg?Expires=1&Signature=x", "datasets/org/name"),
    ("/assets/org%2Fname/--/default/train/0/i.jpg", "datasets/org/name"),
    ("/assets/squad/--/default/train/0/i.jpg", "datasets/squad"),
    ("/cached-assets/org/name/0.jpg", "datasets/org/name"),
    ("/assets/org/name/--/x.jpg?dataset=other/one", "datasets/org/name"),
    ("/rows?dataset=other/one&dataset=org/name", "malformed"),
    ("/rows?Dataset=org/name&dataset=other/one", "malformed"),
    ("/rows?dataset=&dataset=org/name", "malformed"),
    ("/rows?dataset=org/../name", "malformed"),
    ("/rows?dataset=org/name%00", "malformed"),
    ("/rows?dataset=\udcff", "malformed"),
    ("/healthcheck", "-"),
    ("/assets", "-"),
]


@pytest.mark.parametrize(("target", "subject"), VIEWED)
def test_the_dataset_viewer(target: str, subject: str) -> None:
    assert asked(VIEWER + target) == subject


ELSEWHERE = [
    ("https://hub-ci.huggingface.co/org/name/resolve/main/x", f"{M}@main:x"),
    ("https://hub-ci.huggingface.co/api/models/org/name", M),
    ("https://mirror.hf.co/v2/org/name/manifests/latest", M),
    ("https://api-inference.huggingface.co/models/org/name", M),
    ("https://api-inference.huggingface.co/status/gpt2", "models/gpt2"),
    ("https://cdn-avatars.huggingface.co/v1/production/x.png", "-"),
    ("https://cdn-thumbnails.huggingface.co/social-thumbnails/models/org/name.png", "-"),
    (f"https://cdn-lfs.huggingface.co/org/name/{HEX}", "-"),
    ("https://x.modelscope.cn/o/n/resolve/master/x", "models/o/n@master:x"),
    ("https://x.modelscope.ai/api/v1/models/o/n", "ai/models/o/n"),
    ("https://x.modelscope.cn/models/o/n", "-"),
]


@pytest.mark.parametrize(("url", "subject"), ELSEWHERE)
def test_other_hosts_of_a_hub(url: str, subject: str) -> None:
    assert asked(url) == subject


N = "models/o/n"
MODELSCOPE = [
    ("/api/v1/models/o/n/repo?Revision=v1&FilePath=a%2Fb.bin", f"{N}@v1:a/b.bin"),
    ("/api/v1/models/o/n/repo?FilePath=x", f"{N}@master:x"),
    ("/api/v1/models/o/n/repo?FilePath=x&View=True", f"{N}@master:x"),
    ("/api/v1/models/o/n/repo?filepath=x&revision=v1", f"{N}@v1:x"),
    ("/api/v1/models/o/n.git/repo?FilePath=x", f"{N}@master:x"),
    ("/api/v1/datasets/123/repo?Revision=v1&FilePath=x", "datasets/123@v1:x"),
    ("/api/v1/datasets/123/repo/tree?Revision=v1", "datasets/123@v1"),
    ("/api/v1/datasets/123", "datasets/123"),
    ("/api/v1/datasets/123/archive/zip/master", "datasets/123@master:archive.zip"),
    ("/api/v1/datasets/123/name/repo?FilePath=x", "datasets/123/name@master:x"),
    ("/api/v1/datasets/123/name", "datasets/123/name"),
    ("/api/v1/datasets/123/repo/repo?FilePath=x", "malformed"),
    ("/openapi/v1/datasets/123", "datasets/123"),
    ("/openapi/v1/datasets/123/files", "datasets/123"),
    ("/datasets/123", "datasets/123?"),
    ("/api/v1/models/o/n", N),
    ("/api/v1/models/o/n?Revision=v1", f"{N}@v1"),
    ("/api/v1/models/o/n/revisions", N),
    ("/api/v1/models/o/n/repo/files?Recursive=True&Revision=v1&Root=%2F", f"{N}@v1"),
    ("/api/v1/models/o/n/repo/files", f"{N}@master"),
    ("/api/v1/models/o/n/commits?Revision=v1", f"{N}@v1"),
    ("/api/v1/models/o/n/archive/zip/master", f"{N}@master:archive.zip"),
    ("/api/v1/datasets/o/n/ststoken?Revision=v1", "datasets/o/n@v1"),
    ("/api/v1/skills/o/n/repo/files?Revision=v1", "skills/o/n@v1"),
    ("/api/v1/repos/models/o/n/xet-write-token/master", N),
    ("/openapi/v1/models/o/n", N),
    ("/openapi/v1/models/o/n/files/x", N),
    ("/openapi/v1/studios/o/n", "studios/o/n"),
    ("/o/n/resolve/v1/a/b", f"{N}@v1:a/b"),
    ("/o/n/resolve/v1", f"{N}@v1"),
    ("/models/o/n/resolve/a%2Fb/x", f"{N}@a/b:x"),
    ("/datasets/o/n/resolve/master/x", "datasets/o/n@master:x"),
    ("/o/n.git/info/refs?service=git-upload-pack", N),
    ("/datasets/o/n.git/info/refs", "datasets/o/n"),
    ("/models/o/n", f"{N}?"),
    ("/models/o/n/summary", f"{N}?"),
    ("/models/o/n/file/view/v1/a/b?status=1", f"{N}@v1:a/b?"),
    ("/o/n", f"{N}?"),
    ("/studios/o/n/tree/v1", "studios/o/n@v1?"),
    ("/", "-"),
    ("/models", "-"),
    ("/models/o", "-"),
    ("/docs/x/y", "-"),
    ("/organization/x", "-"),
    ("/api/v1/models?Name=x", "-"),
    ("/api/v1/users/me", "-"),
    ("/openapi/v1/datasets", "-"),
    ("/api/v1/repos/internalAccelerationInfo", "-"),
    ("/api/v1/repos", "-"),
    ("/api/v1", "-"),
    ("/%61pi/v1/models/o/n/repo?FilePath=x", "malformed"),
    ("/api/V1/models/o/n/repo?FilePath=x", "malformed"),
    ("/api/v1/models/o/n/rep%6f?FilePath=x", f"{N}@master:x"),
    ("/api/v1/models/o/n/repo/file%73", "malformed"),
    ("/api/v1/models/o%2Fn/repo?FilePath=x", "malformed"),
    ("/o/n/Resolve/master/x", "malformed"),
    ("/api/v1/models/o/n/repo?FilePath=x&FilePath=y", "malformed"),
    ("/api/v1/models/o/n/repo/files?Revision=v1&Revision=v2", "malformed"),
    ("/api/v1/models/o/n/repo?FilePath=x&filepath=y", "malformed"),
    ("/api/v1/models/o/n/repo?FilePath=a/../b&View=True", "malformed"),
]


@pytest.mark.parametrize(("origin", "site"), [(CN, ""), ("https://www.modelscope.cn", ""), (AI, "ai/")])
@pytest.mark.parametrize(("target", "subject"), MODELSCOPE)
def test_modelscope(origin: str, site: str, target: str, subject: str) -> None:
    expected = subject if subject in ("-", "malformed") else site + subject
    assert asked(origin + target) == asked(origin + target, "HEAD") == expected


def test_a_token_for_a_repo_is_never_kept() -> None:
    for target in ("/api/v1/datasets/o/n/ststoken", "/api/v1/repos/models/o/n/xet-write-token/master"):
        assert isinstance(ask(CN + target), Secret)


def test_what_only_a_digest_names_has_no_subject() -> None:
    for resource in (Blob("h", HEX), Xorb("h", HEX, 0, 1), Reconstruction("h", HEX), Telemetry("h"), Malformed("x")):
        assert subject_of(resource) is None
    repo = Repo("huggingface", "models", "a/b")
    assert subject_of(Document("huggingface", "k", repo, "info")) == subject_of(Batch(repo)) == Subject(repo)
    assert subject_of(Passed("huggingface", Kind.GIT, repo)) == Subject(repo)
    assert subject_of(Layer(repo, "sha256:x")) == Subject(repo, digest="sha256:x")


# -- properties ------------------------------------------------------------------------------------------------------

WORDS = [
    *("api", "models", "datasets", "spaces", "kernels", "buckets", "studios", "repos", "openapi", "v1", "v2", "users"),
    *("resolve", "raw", "tree", "blob", "refs", "info", "lfs", "git-upload-pack", "resolve-cache", "parquet", "repo"),
    *("org", "name", "name.git", ".git", "123", "main", "refs%2Fpr%2F1", "pr", "1", SHA, "x.bin", "", "assets", "--"),
    *("manifests", "blobs", f"sha256:{HEX}", HEX, "xet-read-token", "auth-check", "%61pi", "Models", "RAW", "%2F", "%"),
    *("file", "view", "models%2Fx", "..", "telemetry", "docs", "pipeline", "xorbs", "reconstructions", "tokens"),
]
QUERIES = ["", "dataset=org/name", "FilePath=x&Revision=y", "FilePath=..", "Revision=a&Revision=b", "token=x", "sig=x"]
HOSTS = [
    *("huggingface.co", "hf.co", "datasets-server.huggingface.co", "hub-ci.huggingface.co", "cdn-lfs.hf.co"),
    *("api-inference.huggingface.co", "cas-server.xethub.hf.co", "transfer.xethub.hf.co", "us.aws.cdn.hf.co"),
    *("modelscope.cn", "www.modelscope.ai", "cdn-lfs-cn-1.modelscope.cn", "x.modelscope.cn", "plain.example"),
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
paths = st.lists(st.sampled_from(WORDS) | st.text(string.printable, max_size=4), max_size=9).map("/".join)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(METHODS), st.sampled_from(HOSTS), paths, st.sampled_from(QUERIES) | st.text(max_size=10))
def test_whatever_has_a_repo_in_it_is_about_that_repo(method: str, host: str, path: str, query: str) -> None:
    found = CLASSIFIER.classify(method, "https", host, 443, f"/{path}", query)
    subject = subject_of(found)
    repo = getattr(found, "repo", None)
    if repo is not None:
        assert subject is not None
        same = (repo.hub, repo.type, repo.site) == (subject.repo.hub, subject.repo.type, subject.repo.site)
        assert same and repo.id.lower() in (subject.repo.id.lower(), f"{subject.repo.id.lower()}.git")
    if subject is not None:
        assert subject.repo.hub == found.hub and subject.repo.id and subject.rev != "" and subject.path != ""
        assert subject.path is None or subject.rev is not None or subject.repo.type == "buckets"
        parts = subject.repo.id.split("/")
        assert len(parts) <= 2 or host == "datasets-server.huggingface.co"
        assert not {"", ".", ".."} & {*parts} and "%" not in subject.repo.id.replace("%", "", path.count("%25"))


def every_letter_escaped(text: str) -> str:
    return "".join(f"%{ord(c):02x}" if c.isalnum() else c for c in text)


ESCAPES: list[Callable[[str], str]] = [
    lambda url: url,
    lambda url: url + "/",
    lambda url: url + "?download=true",
    lambda url: url.replace("org", every_letter_escaped("org")).replace("name", every_letter_escaped("name")),
    lambda url: url.replace("org", "oRg").replace("name", "NAME"),
    lambda url: url.replace("/name", "/name.git", 1),
    lambda url: url.replace("refs%2Fpr%2F1", "refs/pr/1").replace("refs%2Fpr%2F1", "refs%2fpr%2f1"),
]


@pytest.mark.parametrize("host", ["huggingface.co", "www.huggingface.co", "hf.co"])
@pytest.mark.parametrize(
    ("target", "subject"),
    [
        ("/org/name/resolve/refs%2Fpr%2F1/a.bin", f"{M}@refs/pr/1:a.bin"),
        ("/org/name/raw/refs%2Fpr%2F1/a.bin", f"{M}@refs/pr/1:a.bin"),
        ("/api/models/org/name/tree/refs%2Fpr%2F1", f"{M}@refs/pr/1"),
        ("/api/datasets/org/name/revision/refs%2Fpr%2F1", "datasets/org/name@refs/pr/1"),
        (f"/api/resolve-cache/models/org/name/{SHA}/a.bin", f"{M}@{SHA}:a.bin"),
        ("/org/name/blob/refs%2Fpr%2F1/a.bin", f"{M}@refs/pr/1:a.bin?"),
        ("/org/name", f"{M}?"),
    ],
)
def test_every_spelling_has_one_subject(host: str, target: str, subject: str) -> None:
    for spelled in ESCAPES:
        assert asked(f"https://{host}{spelled(target)}").lower() == subject


# -- the witness -----------------------------------------------------------------------------------------------------

REPOS = [
    hub_repo.Repo("acme/tiny", "model", {"a b.txt": "x", "d/m.gguf": "y" * 90_000}),
    hub_repo.Repo("acme/ds", "dataset", {"a b.txt": "x", "d/m.gguf": "y" * 90_000}),
    hub_repo.Repo("acme/sp", "space", {"a b.txt": "x"}),
    hub_repo.Repo("acme/ke", "kernel", {"a b.txt": "x"}),
    hub_repo.Repo("acme/bu", "bucket", {"a b.txt": "x"}),
    hub_repo.Repo("gpt0", "model", {"a b.txt": "x"}),
    *(
        hub_repo.Repo(f"ms/{t}", t, {"a b.txt": "x"}, hub="modelscope", sites=("cn", "ai"))
        for t in ("model", "dataset")
    ),
    hub_repo.Repo("ms/studio", "studio", {"a b.txt": "x"}, hub="modelscope"),
]
for each in REPOS:
    each.refs["refs/pr/1"] = each.head


def routes() -> Iterator[tuple[str, str, str]]:
    """Method, URL without its host, and which hub: from the tables of the test hub."""
    for repo in REPOS:
        kind, id, commit = repo.plural, repo.id, repo.head
        if repo.hub == "modelscope":
            for verb in modelscope.METHODS[kind]:
                for name, query in product((id, number_of(repo)), ("", "?Revision=master&FilePath=a+b.txt")):
                    yield "GET", f"/api/v1/{kind}/{name}{verb and '/'}{verb}{query}", "modelscope"
            yield "GET", f"/openapi/v1/{kind}/{id}", "modelscope"
            yield "GET", f"/{kind}/{id}/resolve/master/a%20b.txt", "modelscope"
            yield "GET", f"/{id}/resolve/master/a%20b.txt", "modelscope"
            continue
        for verb, rev in product(hf_api.METHODS, ("main", "refs%2Fpr%2F1", commit)):
            yield ("POST" if verb == "paths-info" else "GET"), f"/api/{kind}/{id}/{verb}/{rev}", "huggingface"
        yield "GET", f"/api/{kind}/{id}", "huggingface"
        yield "GET", f"/api/{kind}/{id}/refs", "huggingface"
        yield "GET", f"/api/{kind}/{id}/auth-check", "huggingface"
        yield "GET", f"/api/resolve-cache/{kind}/{id}/{commit}/a%20b.txt", "huggingface"
        web = id if kind == "models" else f"{kind}/{id}"
        for verb, rev in product(
            huggingface.FILE_ROUTES, ("main",) if kind == "buckets" else ("main", "refs%2Fpr%2F1")
        ):
            yield "GET", f"/{web}/{verb}/{rev}/a%20b.txt", "huggingface"
        yield "GET", f"/buckets/{id}/resolve/a%20b.txt", "huggingface"
        yield "GET", f"/v2/{id}/manifests/latest", "huggingface"
        for what in ("rows", "parquet", "info", "size", "splits"):
            yield "GET", f"/{what}?dataset={quote(id, safe='')}", "viewer"
        for digest, file in repo.blobs.items():
            yield "GET", f"/v2/{id}/blobs/sha256:{file.sha256}", "huggingface"
            yield "GET", f"/repos/{repo.lfs_prefix}/{digest}", "huggingface"


def number_of(repo: hub_repo.Repo) -> str:
    return str(ms_reply.number(repo))


NAMES = [
    *("api", "models", "datasets", "acme", "tiny", "ds", "gpt0", "resolve", "raw", "main", "a%20b.txt", "tree", "v2"),
    *("manifests", "latest", "buckets", "bu", "refs", "ms", "model", "dataset", "v1", "repo", "revision"),
]
FAMILY = {
    "huggingface": [h for h, answers in FAMILIES if answers is huggingface.answer],
    "modelscope": [h for h, answers in FAMILIES if answers is modelscope.answer],
    "viewer": ["datasets-server.huggingface.co"],
}
ROUTES = sorted(set(routes()))


@contextmanager
def witness() -> Iterator[Callable[[str, str], tuple[Answer, str]]]:
    hub = TestHub(REPOS)
    loop = asyncio.new_event_loop()

    def answered(method: str, url: str) -> tuple[Answer, str]:
        host, _, target = url.removeprefix("https://").partition("/")
        path, _, query = target.partition("?")
        exchange = Exchange(Record(method, host, f"/{path}", query, {}, 0), DEFAULT)
        answer = loop.run_until_complete(hub._answer(exchange))
        named = answer.repo or ""
        if not named and host == FAMILY["viewer"][0] and answer.status == 200:
            named = exchange.param("dataset")
        return answer, named

    try:
        yield answered
    finally:
        loop.close()
        hub._loop.close()
        hub._reserved.close()
        hub.git.close()


@pytest.fixture(scope="module")
def tells() -> Iterator[Callable[[str, str], tuple[Answer, str]]]:
    with witness() as found:
        yield found


def fits(found: Resource, name: str) -> bool:
    """Refused, a link by digest, or about the repo that the hub gave out."""
    if isinstance(found, Malformed | Blob | Xorb | Reconstruction):
        return True
    if isinstance(found, Secret) and found.kind in (Kind.BLOB, Kind.XORB):
        return True
    subject = subject_of(found)
    numbers = {r.id: number_of(r) for r in REPOS if r.hub == "modelscope"}
    return subject is not None and subject.certain and subject.repo.id in (name, numbers.get(name, name))


def test_every_route_of_the_hub_that_gives_out_a_repo_is_about_it(
    tells: Callable[[str, str], tuple[Answer, str]],
) -> None:
    told = 0
    for method, target, family in ROUTES:
        for host in FAMILY[family]:
            name = tells(method, f"https://{host}{target}")[1]
            found = ask(f"https://{host}{target}", method)
            assert not name or (fits(found, name) and not isinstance(found, Malformed)), (method, host, target)
            told += bool(name)
    assert told > 150


def test_git_is_about_its_repo() -> None:
    for service, repo in product(git_http.SERVICES, REPOS):
        host = FAMILY[repo.hub][0]
        web = repo.id if repo.plural == "models" else f"{repo.plural}/{repo.id}"
        for end, method in product(("", ".git"), ("GET", "POST")):
            subject = subject_of(ask(f"https://{host}/{web}{end}/{service}", method))
            assert subject == Subject(Repo(repo.hub, repo.plural, repo.id)), (service, web)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A route of the hub with some of its letters escaped, in another case, with more behind it or in it."""
    method, target, family = draw(st.sampled_from(ROUTES))
    place, mark, query = target.partition("?")
    at = draw(st.sets(st.integers(0, max(0, len(place) - 1)), max_size=3))
    letters = [f"%{ord(c):02X}" if n in at and c.isalnum() and "%" not in place else c for n, c in enumerate(place)]
    place = "".join(letters)
    if draw(st.booleans()):
        place = draw(st.sampled_from([place + "/", "/" + place, place.replace("/", "//", 2), place + ".git"]))
    more = draw(st.sampled_from(["", "download=true", "dataset=acme/tiny", "FilePath=config.json", "Revision=v1"]))
    query += ("&" if query else "") + more if more else ""
    method = draw(st.sampled_from([method, "GET", "HEAD", "POST"]))
    return method, f"https://{draw(st.sampled_from(FAMILY[family]))}{place}{'?' if mark or query else ''}{query}"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@example(("GET", "https://huggingface.co/%61cme/tiny/resolve/main/a%20b.txt"))
@example(("GET", "https://huggingface.co/%61pi/models/acme/tiny"))
@example(("GET", "https://datasets-server.huggingface.co/rows?dataset=acme/ds&dataset=acme/tiny"))
@given(spellings())
def test_no_spelling_gets_a_repo_without_being_about_it(
    tells: Callable[[str, str], tuple[Answer, str]], spelled: tuple[str, str]
) -> None:
    method, url = spelled
    name = tells(method, url)[1]
    assume(name)
    assert fits(ask(url, method), name)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([*FAMILY["huggingface"], *FAMILY["modelscope"]]),
    st.lists(
        st.sampled_from(NAMES),
        min_size=2,
        max_size=7,
    ),
    st.sampled_from(["", "Revision=master&FilePath=a+b.txt"]),
)
def test_no_row_of_words_gets_a_repo_without_being_about_it(
    tells: Callable[[str, str], tuple[Answer, str]], host: str, words: list[str], query: str
) -> None:
    url = f"https://{host}/{'/'.join(words)}?{query}"
    name = tells("GET", url)[1]
    assert not name or fits(ask(url), name)


def test_files_have_the_same_subject_on_every_road() -> None:
    roads = ["/org/name/resolve/main/d/x", "/org/name/raw/main/d/x", "/org/name/resolve/main/d%2Fx"]
    assert {asked(H + road) for road in roads} == {f"{M}@main:d/x"}
    assert isinstance(ask(H + roads[0]), File)
