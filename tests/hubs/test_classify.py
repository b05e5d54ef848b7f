"""Every route of the hub, every way to write a path that has two readings, and any text at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.config.places import OtherHost
from proxy_addon.hub.classify import Classifier
from proxy_addon.hub.paths import url_key
from proxy_addon.hub.resources import (
    Batch,
    Blob,
    Document,
    File,
    Kind,
    Malformed,
    Passed,
    Plain,
    Reconstruction,
    Repo,
    Resource,
    Secret,
    Telemetry,
    Xorb,
)

SHA, HEX = "a" * 40, "b" * 64
HUB = "huggingface"
CLASSIFIER = Classifier(others=(OtherHost("plain.example"), OtherHost("cdn.example", suffix=True)))


def ask(url: str, method: str = "GET", body: str = "") -> Resource:
    scheme, _, rest = url.partition("://")
    netloc, slash, target = rest.partition("/")
    host, _, port = netloc.partition(":")
    path, _, query = (slash + target).partition("?")
    return CLASSIFIER.classify(method, scheme, host, int(port or 443), path, query, body)


def repo(id: str, type: str = "models") -> Repo:
    return Repo(HUB, type, id)


H = "https://huggingface.co"
FILES = [
    (f"{H}/org/name/resolve/main/config.json", "models/org/name@main/config.json"),
    (f"{H}/gpt2/resolve/main/config.json", "models/gpt2@main/config.json"),
    (f"{H}/org/name/resolve/{SHA}/a/b/c.bin?download=true", f"models/org/name@{SHA}/a/b/c.bin"),
    (f"{H}/org/name/resolve/refs%2Fpr%2F1/x", "models/org/name@refs%2Fpr%2F1/x"),
    (f"{H}/org/name/resolve/main/a%20b/%C3%A9", "models/org/name@main/a b/\u00e9"),
    (f"{H}/datasets/org/name/resolve/v1/x", "datasets/org/name@v1/x"),
    (f"{H}/datasets/squad/resolve/main/x", "datasets/squad@main/x"),
    (f"{H}/spaces/org/name/resolve/main/x", "spaces/org/name@main/x"),
    (f"{H}/kernels/org/name/resolve/main/x", "kernels/org/name@main/x"),
    (f"{H}/api/resolve-cache/models/org/name/{SHA}/a%2Fb.json?%2Fx=&etag=%22y%22", f"models/org/name@{SHA}/a/b.json"),
    (f"{H}/api/resolve-cache/models/gpt2/{SHA}/x", f"models/gpt2@{SHA}/x"),
    (f"{H}/api/resolve-cache/datasets/org/name/{SHA}/x", f"datasets/org/name@{SHA}/x"),
    ("https://hf.co/org/name/resolve/main/x", "models/org/name@main/x"),
]


@pytest.mark.parametrize(("url", "key"), FILES)
def test_files(url: str, key: str) -> None:
    for method in ("GET", "HEAD"):
        found = ask(url, method)
        assert isinstance(found, File) and found.key == f"file:{HUB}/{key}"
        assert found.pinned == (SHA in url)


DOCUMENTS = [
    ("/api/models/org/name", "info", False),
    ("/api/models/gpt2", "info", False),
    ("/api/models/org/name?blobs=true&expand[]=tags", "info", False),
    ("/api/models/org/name/revision/main", "info", False),
    (f"/api/models/org/name/revision/{SHA}", "info", True),
    ("/api/models/gpt2/tree/main?recursive=true", "tree", False),
    (f"/api/models/org/name/tree/{SHA}/sub/dir?recursive=true&cursor=x", "tree", True),
    ("/api/datasets/org/name/tree/refs%2Fconvert%2Fparquet", "tree", False),
    ("/api/spaces/org/name/refs?include_prs=true", "refs", False),
    ("/api/models/org/name/commits/main?p=1", "commits", False),
    (f"/api/models/org/name/commits/{SHA}", "commits", False),
    ("/org/name/raw/main/README.md", "raw", False),
    (f"/datasets/org/name/raw/{SHA}/README.md", "raw", True),
    ("/api/models?search=bert&limit=5", "list", False),
    ("/api/datasets", "list", False),
    ("/api/quicksearch?q=x", "list", False),
    ("/api/trending", "list", False),
    ("/api/agent-harnesses", "static", False),
]


@pytest.mark.parametrize(("target", "what", "pinned"), DOCUMENTS)
def test_documents(target: str, what: str, pinned: bool) -> None:
    found = ask(H + target)
    assert isinstance(found, Document) and (found.what, found.pinned) == (what, pinned)
    assert (found.repo is None) == (what in ("list", "static"))


def test_the_dataset_viewer() -> None:
    found = ask("https://datasets-server.huggingface.co/parquet?dataset=org/name")
    assert isinstance(found, Document) and (found.repo, found.what) == (repo("org/name", "datasets"), "viewer")


def test_paths_info_is_a_read_that_travels_in_a_post() -> None:
    one, two = (ask(f"{H}/api/models/org/name/paths-info/main", "POST", body) for body in ("one", "two"))
    assert isinstance(one, Document) and isinstance(two, Document) and one.key != two.key
    assert (one.what, one.repo) == ("paths-info", repo("org/name"))


SECRETS = [
    f"{H}/api/whoami-v2",
    f"{H}/api/models/org/name/xet-read-token/{SHA}",
    f"{H}/api/models/gpt2/xet-read-token/main",
    f"{H}/api/models/org/name/auth-check",
    f"{H}/api/settings/tokens",
    f"{H}/api/buckets/org/name/tree",
    f"https://cas-server.xethub.hf.co/v1/reconstructions/{HEX[1:]}",
    "https://cas-server.xethub.hf.co/v1/chunks/default/x",
    f"https://transfer.xethub.hf.co/xorbs/default/{HEX}?X-Xet-Signed-Range=bytes%3D0-1,5-9&Signature=x",
    f"https://transfer.xethub.hf.co/xorbs/default/{HEX}?X-Xet-Signed-Range=bytes%3D9-5&Signature=x",
    f"https://transfer.xethub-eu.hf.co/xorbs/default/{HEX}",
    *(f"https://datasets-server.huggingface.co/{what}?dataset=org/name" for what in ("rows", "first-rows", "search")),
    "https://datasets-server.huggingface.co/filter?dataset=org/name&where=x",
]


@pytest.mark.parametrize("url", SECRETS)
def test_what_is_never_stored(url: str) -> None:
    assert isinstance(ask(url), Secret)


@pytest.mark.parametrize("spelling", ["v2/reconstructions", "v1/reconstructions", "reconstructions", "reconstruction"])
def test_every_spelling_of_a_reconstruction(spelling: str) -> None:
    assert ask(f"https://cas-server.xethub.hf.co/{spelling}/{HEX}") == Reconstruction(HUB, HEX)


def test_a_range_of_a_xorb_is_what_its_link_is_signed_for() -> None:
    found = ask(f"https://transfer.xethub.hf.co/xorbs/default/{HEX}?X-Xet-Signed-Range=bytes%3D5-9&Signature=x")
    assert found == Xorb(HUB, HEX, 5, 10) and isinstance(found, Xorb) and found.key == f"xorb:{HEX}:5-10"


OWNER = "c" * 24
LINKS = [
    (f"https://us.aws.cdn.hf.co/xet-bridge-us/{OWNER}/{HEX}?Expires=1&Signature=x", f"xet:{HEX}", OWNER),
    (f"https://us.gcp.cdn.hf.co/xet-bridge-eu/{OWNER}/{HEX}", f"xet:{HEX}", OWNER),
    (f"https://cas-bridge.xethub.hf.co/xet-bridge-us/{OWNER}/{HEX}?X-Amz-Signature=x", f"xet:{HEX}", OWNER),
    (f"https://us.aws.cdn.hf.co/xet-bridge-us/{OWNER[1:]}/{HEX}", f"xet:{HEX}", ""),
    (f"https://cdn-lfs-us-1.hf.co/repos/aa/bb/{'d' * 64}/{HEX}?Signature=x", f"sha256:{HEX}", ""),
    (f"https://cdn-lfs.huggingface.co/org/name/{HEX}", f"sha256:{HEX}", ""),
]


@pytest.mark.parametrize(("url", "digest", "owner"), LINKS)
def test_links_are_known_by_their_digest(url: str, digest: str, owner: str) -> None:
    found = ask(url)
    assert found == ask(url.partition("?")[0]) == Blob(HUB, digest, owner)
    assert isinstance(found, Blob) and found.key == f"link:{digest}", "whoever owns it"


ODD_LINKS = [
    f"https://cdn-lfs-us-1.hf.co/repos/aa/bb/{HEX}/{HEX.upper()}",
    f"https://cdn-lfs-us-1.hf.co/repos/aa/bb/{HEX}/%62{HEX[1:]}",
    f"https://us.aws.cdn.hf.co/%78et-bridge-us/{OWNER}/{HEX}",
    f"https://aws.cdn.hf.co/xet-bridge-us/x/{OWNER}/{HEX}",
    f"https://cas-bridge.xethub.hf.co/xet-bridge-us/{OWNER}/{HEX[1:]}",
    "https://cdn-lfs.hf.co/",
]


@pytest.mark.parametrize("query", ["", "?Signature=x"])
@pytest.mark.parametrize("url", ODD_LINKS)
def test_what_a_host_of_files_gives_out_is_bytes_of_somebody(url: str, query: str) -> None:
    assert ask(url + query) == Secret(HUB, Kind.BLOB)


def test_a_xet_hash_may_be_spelled_in_other_ways() -> None:
    for hash in (HEX.upper(), "%62" + HEX[1:]):
        assert ask(f"https://cas-server.xethub.hf.co/v1/reconstructions/{hash}") == Reconstruction(HUB, HEX)
        odd = f"https://transfer.xethub.hf.co/xorbs/default/{hash}?X-Xet-Signed-Range=bytes%3D0-1"
        assert ask(odd) == Secret(HUB, Kind.XORB)
    assert ask(f"https://transfer.xethub.hf.co/%78orbs/default/{HEX}") == Secret(HUB, Kind.XORB)
    assert ask(f"https://cas-server.xethub.hf.co/reconstructions?file_id={HEX}") == Secret(HUB, Kind.BLOB)
    assert ask("https://cas-server.xethub.hf.co/v1/chunks/default/x") == Secret(HUB)


PASSED = [
    ("GET", "/org/name/info/refs?service=git-upload-pack", Kind.GIT, None),
    ("GET", "/org/name.git/info/refs?service=git-receive-pack", Kind.GIT, repo("org/name")),
    ("POST", "/datasets/org/name/git-upload-pack", Kind.GIT, None),
    ("POST", "/org/name.git/git-receive-pack", Kind.GIT, repo("org/name")),
    ("POST", "/org/name.git/info/lfs/objects/verify", Kind.GIT, repo("org/name")),
    ("POST", "/api/models/org/name/commit/main", Kind.UPLOAD, repo("org/name")),
    ("POST", "/api/models/org/name/preupload/main", Kind.UPLOAD, repo("org/name")),
    ("PUT", "/org/name/resolve/main/x", Kind.UPLOAD, repo("org/name")),
    ("DELETE", "/api/repos/delete", Kind.UPLOAD, None),
]


@pytest.mark.parametrize(("method", "target", "kind", "writes"), PASSED)
def test_what_the_edge_relays(method: str, target: str, kind: Kind, writes: Repo | None) -> None:
    found = ask(H + target, method)
    assert isinstance(found, Passed) and (found.kind, found.repo) == (kind, writes)


def test_what_git_lfs_asks_is_answered_here() -> None:
    assert ask(f"{H}/datasets/org/name.git/info/lfs/objects/batch", "POST") == Batch(repo("org/name", "datasets"))


def test_telemetry() -> None:
    for url in (f"{H}/api/telemetry/transformers", "https://cas-server.xethub.hf.co/telemetry"):
        assert ask(url, "HEAD" if url.startswith(H) else "POST") == Telemetry(HUB)


STRICT = [
    f"{H}/org/name",
    f"{H}/",
    f"{H}/.well-known/meta.json",
    f"{H}/buckets/org/name/resolve/log.txt",
    f"{H}/org/name/blob/main/x",
    "https://cdn-avatars.huggingface.co/v1/x.png",
    "https://router.huggingface.co/x",
]


@pytest.mark.parametrize("url", STRICT)
def test_the_rest_of_the_hub_is_plain_and_strict(url: str) -> None:
    found = ask(url)
    assert isinstance(found, Plain) and found.strict


def test_other_hosts_and_strangers() -> None:
    assert ask("https://plain.example/a?b=1") == Plain("other", url_key("https://plain.example/a?b=1"))
    assert ask("https://plain.example:8443/a") == Plain("other", "plain:https://plain.example:8443/a")
    assert isinstance(ask("https://x.cdn.example/%2F..//a"), Plain)  # no grammar of ours
    assert ask("https://plain.example/a", "POST") == Passed("other", Kind.PLAIN)
    for stranger in ("evil.example", "hf.co.evil.example", "evilhf.co", "huggingface.co.evil", "cdn.example"):
        assert CLASSIFIER.hub_of(stranger, 443) is None and isinstance(ask(f"https://{stranger}/x"), Passed)
    assert CLASSIFIER.hub_of("x.hf.co", 443) == HUB and CLASSIFIER.hub_of("x.cdn.example", 443) == "other"


def test_on_another_port_a_hubs_name_is_not_the_hub() -> None:
    assert CLASSIFIER.hub_of("huggingface.co", 8443) is None and CLASSIFIER.hub_of("hf.co", 80) == HUB
    for path in ("/org/name/resolve/main/x", "/api/models/org/name", "/x"):
        assert ask(f"https://huggingface.co:8443{path}") == Passed("other", Kind.PLAIN)


def test_a_hub_that_is_switched_off_is_a_stranger() -> None:
    off = Classifier(enabled=())
    assert off.hub_of("huggingface.co", 443) is None


@pytest.mark.parametrize("host", ["plain.example", "cdn-avatars.huggingface.co"])
@pytest.mark.parametrize("query", ["Signature=x", "a=1&X-Amz-Signature=x", "sig=x", "x-goog-signature=", "auth_key=1"])
def test_a_signed_url_is_no_key(host: str, query: str) -> None:
    assert isinstance(ask(f"https://{host}/x?{query}"), Secret)
    assert isinstance(ask(f"https://{host}/x?design=1"), Plain)


def test_one_key_for_one_question() -> None:
    base = f"{H}/api/models/org/name/tree/main"
    keys = {
        getattr(ask(f"{base}?{query}"), "key", None)
        for query in ("recursive=true&expand=false", "expand=False&recursive=True", "expand=false&recursive=true")
    }
    assert len(keys) == 1 and None not in keys
    assert ask(f"{base}?cursor=A") != ask(f"{base}?cursor=a")
    assert ask(f"{base}?x=") != ask(base)
    assert ask(f"{H}/org/name/resolve/main/x") != ask(f"{H}/org/NAME/resolve/main/x")


TWO_THINGS = [
    ("/org/name/resolve/a/b/c", "/org/name/resolve/a%2Fb/c"),
    ("/org/name/raw/a/b/c", "/org/name/raw/a%2Fb/c"),
    ("/org/name/raw/main", "/org/name/resolve/main"),
    ("/org/name/raw/a/b?c?d", "/org/name/raw/a/b%3Fc?d"),
    ("/buckets/org/name/resolve/x", "/buckets/org/name/raw/x"),
    ("/buckets/org/name/resolve/x?a=1", "/buckets/org/name/resolve/x"),
    ("/buckets/org/name/resolve/x?a?b", "/buckets/org/name/resolve/x%3Fa?b"),
]


@pytest.mark.parametrize(("one", "other"), TWO_THINGS)
def test_two_things_have_two_keys(one: str, other: str) -> None:
    first, second = ask(H + one), ask(H + other)
    assert isinstance(first, File | Document | Plain) and isinstance(second, File | Document | Plain)
    assert first.key != second.key
    if isinstance(first, File) and isinstance(second, File):
        assert first.ref_key != second.ref_key


MALFORMED = [
    "/org/name/resolve/main/../x",
    "/org/name/resolve/main/./x",
    "/org/name/resolve/main/%2e%2e/x",
    "/org/name/resolve/main/.%2E/x",
    "/org/name/resolve/%2e%2e/x",
    "/org%2Fname/resolve/main/x",
    "/org/name%2f..%2fother/resolve/main/x",
    "/api/models/org%2Fname",
    "/api/models/org/..%2Fname",
    "/org/name/resolve/refs%2F..%2Fmain/x",
    "/org/name/resolve/main/a%5Cb",
    "/org/name/resolve/main/a\\b",
    "/org/name/resolve/main/a%00b",
    "/org/name/resolve/main/a%0d%0ab",
    "/org/name/resolve/main/a%7fb",
    "/org/name/resolve/main/a\tb",
    "/org/name/resolve/main/\u00e9",
    "/org/name/resolve/main/%252e%252e/x",
    "/org/name/resolve/main/%25252fx",
    "/org/name/resolve/main/a%255cb",
    "/org/name/resolve/main/a%2500b",
    "/org/name/resolve/main/%ff",
    "/org/name/resolve/main/%c0%ae",
    "/org/name/resolve/main/%zz",
    "/org/name/resolve/main/%2",
    "//org/name/resolve/main/x",
    "/org//name/resolve/main/x",
    "/org/name/resolve/main//x",
    "/org/name/resolve/main/" + "a" * 1025,
    "/org/name/resolve/main/" + "a/" * 2100 + "x",
    "org/name",
    "",
    "*",
]


@pytest.mark.parametrize("path", MALFORMED)
def test_a_path_with_two_readings_is_refused(path: str) -> None:
    found = CLASSIFIER.classify("GET", "https", "huggingface.co", 443, path, "")
    assert isinstance(found, Malformed) and found.reason and found.hub == HUB


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PATCHY", "get", ""])
def test_a_method_that_is_none(method: str) -> None:
    assert isinstance(ask(f"{H}/x", method), Malformed)


PARTS = [
    "/",
    "api",
    "models",
    "datasets",
    "resolve",
    "raw",
    "main",
    SHA,
    HEX,
    "%2F",
    "..",
    "%",
    "resolve-cache",
    "tree",
]
MORE = ["info", "refs", "buckets", "org", "name", "xorbs", "xet-bridge-us", "\u00e9", "\x00", "\ud800"]
texts = st.text(max_size=60) | st.lists(st.sampled_from([*PARTS, *MORE]), max_size=12).map("/".join)
hosts = st.sampled_from(["huggingface.co", "hf.co", "cdn-lfs.hf.co", "transfer.xethub.hf.co", "plain.example", ""])


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["GET", "HEAD", "POST", "X"]) | st.text(max_size=5), hosts | st.text(max_size=20), texts, texts)
def test_it_is_total(method: str, host: str, path: str, query: str) -> None:
    found = CLASSIFIER.classify(method, "https", host, 443, path, query)
    assert found.kind in Kind
    if isinstance(found, File):
        assert not {"", ".", ".."} & set(found.path.split("/")) and "\x00" not in found.key


@pytest.mark.parametrize("path", ["", "/api/models/org/name", "/api/v1/models/org/name/repo"])
@pytest.mark.parametrize("host", ["huggingface.co", "modelscope.cn", "datasets-server.huggingface.co", "plain.example"])
def test_bytes_that_are_no_text_in_a_query_are_no_exception(host: str, path: str) -> None:
    classifier = Classifier()
    for query in ("\udcff", "x=\ud800", "FilePath=\udcff&Revision=\udcff"):
        assert classifier.classify("GET", "https", host, 443, path, query).kind in Kind


def test_long_urls_are_not_remembered() -> None:
    classifier = Classifier()
    for query in ("q=1", "q=" + "1" * 30_000):
        classifier.classify("GET", "https", "huggingface.co", 443, "/org/name", query)
    assert classifier._known.cache_info().currsize == 1
