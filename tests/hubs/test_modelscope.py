"""Every route of ModelScope, every name that has two readings, and what the hub's answers mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.core.messages import Headers
from proxy_addon.hub import modelscope as ms
from proxy_addon.hub.classify import Classifier
from proxy_addon.hub.resources import (
    Batch,
    Blob,
    Document,
    File,
    Kind,
    Malformed,
    Passed,
    Plain,
    Repo,
    Resource,
    Secret,
    Subject,
)

SHA, HEX = "a" * 40, "b" * 64
CLASSIFIER = Classifier()
CN, WWW, AI = "https://modelscope.cn", "https://www.modelscope.cn", "https://www.modelscope.ai"
CDN = f"https://cdn-lfs-cn-1.modelscope.cn/prod/lfs-objects/{HEX[:2]}/{HEX[2:4]}/{HEX[4:]}"


def ask(url: str, method: str = "GET") -> Resource:
    host, slash, target = url.removeprefix("https://").partition("/")
    path, _, query = (slash + target).partition("?")
    return CLASSIFIER.classify(method, "https", host, 443, path, query)


def repo(id: str, type: str = "models", site: str = "") -> Repo:
    return Repo(ms.HUB, type, id, site)


FILES = [
    (f"{CN}/api/v1/models/o/n/repo?Revision=v1.0.0&FilePath=config.json", "/models/o/n@v1.0.0/config.json"),
    (f"{WWW}/api/v1/models/o/n/repo?FilePath=config.json", "/models/o/n@master/config.json"),
    (f"{CN}/api/v1/models/o/n/repo?Revision=&FilePath=x", "/models/o/n@master/x"),
    (f"{CN}/api/v1/models/o/n/repo?Revision={SHA}&FilePath=a%2Fb+c%C3%A9.txt", f"/models/o/n@{SHA}/a/b cé.txt"),
    (f"{CN}/api/v1/models/o/n/repo?FilePath=a/b.txt&Revision=feat%2Fx", "/models/o/n@feat%2Fx/a/b.txt"),
    (f"{CN}/api/v1/datasets/o/n/repo?Source=SDK&Revision=master&FilePath=x&View=False", "/datasets/o/n@master/x"),
    (f"{CN}/api/v1/datasets/123/repo?Revision=master&FilePath=x", "/datasets/123@master/x"),
    (f"{CN}/api/v1/studios/o/n/repo?Revision=master&FilePath=app.py", "/studios/o/n@master/app.py"),
    (f"{AI}/api/v1/models/o/n/repo?Revision=master&FilePath=x", ".ai/models/o/n@master/x"),
    ("https://modelscope.ai/o/n/resolve/master/x", ".ai/models/o/n@master/x"),
    (f"{CN}/o/n/resolve/master/a%20b/c.txt", "/models/o/n@master/a b/c.txt"),
    (f"{CN}/models/o/n/resolve/v1/x?download=true", "/models/o/n@v1/x"),
    (f"{WWW}/datasets/o/n/resolve/master/x", "/datasets/o/n@master/x"),
    (f"{WWW}/studios/o/n/resolve/master/x", "/studios/o/n@master/x"),
]


@pytest.mark.parametrize(("url", "key"), FILES)
def test_files(url: str, key: str) -> None:
    for method in ("GET", "HEAD"):
        found = ask(url, method)
        assert isinstance(found, File) and found.key == f"file:{ms.HUB}{key}"
        assert found.pinned == (SHA in url)
        back = ask(ms.resolve_url(found))
        assert back == found or found.repo.id == "123"
        assert ask(ms.file_url(found, ms.origin(found.repo))) == found


DOCUMENTS = [
    ("/api/v1/models/o/n", "info"),
    ("/openapi/v1/models/o/n", "info"),
    ("/openapi/v1/datasets/o/n", "info"),
    ("/api/v1/datasets/123", "info"),
    ("/api/v1/models/o/n/revisions", "refs"),
    ("/api/v1/models/o/n/revisions?EndTime=1700000000", "refs"),
    ("/api/v1/models/o/n/repo/files?Revision=master&Recursive=True", "tree"),
    ("/api/v1/datasets/o/n/repo/tree?Revision=master&PageNumber=1&PageSize=200", "tree"),
    ("/api/v1/datasets/123/repo/tree?Revision=master", "tree"),
    ("/api/v1/models/o/n/commits?Revision=master", "commits"),
    ("/api/v1/models?PageNumber=1", "list"),
    ("/openapi/v1/datasets?search=x", "list"),
    ("/api/v1/repos/internalAccelerationInfo", "static"),
]


@pytest.mark.parametrize(("target", "what"), DOCUMENTS)
def test_documents(target: str, what: str) -> None:
    found = ask(CN + target)
    assert isinstance(found, Document) and (found.what, found.pinned) == (what, False)
    assert (found.repo is None) == (what in ("list", "static"))
    same = ask(WWW + target)
    assert isinstance(same, Document) and (same.key == found.key or what == "list"), "two names of one site"
    other = ask(AI + target)
    assert isinstance(other, Document) and other.key != found.key, "another site"


def test_keys_of_documents_know_what_was_asked() -> None:
    keys = [getattr(ask(CN + target), "key", "") for target, _ in DOCUMENTS]
    assert len(set(keys)) == len(keys) and all(keys)
    listing = f"{CN}/api/v1/models/o/n/repo/files"
    one, two = ask(f"{listing}?Revision=master&Recursive=True"), ask(f"{listing}?Recursive=true&Revision=master")
    assert one == two
    at_commit = ask(f"{listing}?Revision={SHA}")
    assert isinstance(at_commit, Document) and at_commit.pinned


def test_listings_as_the_sdk_asks_for_them() -> None:
    model, dataset = repo("o/n"), repo("o/n", "datasets")
    assert ms.listing_target(model, "master") == (
        "/api/v1/models/o/n/repo/files",
        "Revision=master&Recursive=True",
    )
    assert ms.listing_target(model, "master", "a/b", recursive=False)[1] == "Revision=master&Recursive=False&Root=a%2Fb"
    assert ms.listing_target(dataset, "master", page=2) == (
        "/api/v1/datasets/o/n/repo/tree",
        "Revision=master&Recursive=True&PageNumber=2&PageSize=200",
    )


SECRETS = ["/openapi/v1/users/me", "/api/v1/users/me", "/api/v1/login", "/openapi/v1/tokens/x"]


@pytest.mark.parametrize("target", SECRETS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_personal(target: str, method: str) -> None:
    assert ask(CN + target, method) == Secret(ms.HUB)


def test_links() -> None:
    assert ask(f"{CDN}?filename=x&auth_key=1-0-0-x") == Blob(ms.HUB, f"sha256:{HEX}")
    for other in (CDN[:-1], f"{CDN}0", CDN.replace("lfs-objects", "objects"), CDN.replace("/bb/bb/", "/bbb/b/")):
        for query in ("", "?auth_key=1-0-0-x"):
            assert ask(other + query) == Secret(ms.HUB, Kind.BLOB), "bytes of somebody, and not kept, not as a key"
    assert ask(CDN, "PUT") == Passed(ms.HUB, Kind.UPLOAD, read=ask(CDN))


UPLOADS = [
    ("POST", "/api/v1/repos/models/o/n/commit/master", repo("o/n")),
    ("POST", "/api/v1/repos/datasets/o/n/info/lfs/objects/batch", repo("o/n", "datasets")),
    ("DELETE", "/api/v1/models/o/n/file?FilePath=x&Revision=master", repo("o/n")),
    ("DELETE", "/api/v1/datasets/o/n/repo?FilePath=x", repo("o/n", "datasets")),
    ("POST", "/api/v1/models/o/n/repo/tag", repo("o/n")),
    ("DELETE", "/api/v1/models/o/n", repo("o/n")),
    ("POST", "/api/v1/models", None),
    ("PUT", "/api/v1/dolphin/models", None),
]


@pytest.mark.parametrize(("method", "target", "changed"), UPLOADS)
def test_uploads_pass_and_say_what_they_change(method: str, target: str, changed: Repo | None) -> None:
    found = ask(CN + target, method)
    assert isinstance(found, Passed) and (found.kind, found.repo) == (Kind.UPLOAD, changed)


def test_who_is_called_by_a_number_is_looked_up_first() -> None:
    told = [ask(f"{CN}/api/v1/datasets/{id}", "PUT") for id in ("o/n", "123")]
    assert [isinstance(found, Passed) and found.writes for found in told] == [True, False]


def test_git() -> None:
    about = Subject(repo("o/n"))
    assert ask(f"{WWW}/o/n.git/info/refs?service=git-upload-pack") == Passed(ms.HUB, Kind.GIT, None, about)
    assert ask(f"{WWW}/o/n.git/git-receive-pack", "POST") == Passed(ms.HUB, Kind.GIT, repo("o/n"), about, writes=True)
    batch = ask(f"{WWW}/datasets/o/n.git/info/lfs/objects/batch", "POST")
    assert batch == Batch(repo("o/n", "datasets"))


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/models/o/n",
        "/models/o/n/files",
        "/api/v1/models/o",
        "/api/v1/models/o/n/archive/zip/master",
        "/api/v1/models/o/n/repo",
        "/api/v1/models/o/n/repo?FilePath=",
        "/api/v1/models/o/n/repo?FilePath=x&View=True",
        "/api/v1/models/o/n/repo?FilePath=x&Preview=1",
        "/api/v1/skills/o/n/repo/files?Revision=master",
        "/o/n/resolve/master",
    ],
)
def test_all_else_is_plain(target: str) -> None:
    found = ask(CN + target)
    assert isinstance(found, Plain) and found.strict


@pytest.mark.parametrize(
    "query",
    [
        "FilePath=..%2Fx",
        "FilePath=a%2F%2Fb",
        "FilePath=%2Fetc",
        "FilePath=a%2F.%2Fb",
        "FilePath=a%00b",
        "FilePath=a%5Cb",
        "FilePath=a%252Fb",
        "FilePath=%25252e%25252e",
        "FilePath=%ff",
        "FilePath=%zz",
        "FilePath=a&FilePath=b",
        "FilePath=a&Revision=..",
        "FilePath=a&Revision=x%0Ay",
        "FilePath=" + "a" * 1025,
    ],
)
def test_a_file_with_two_readings_is_refused(query: str) -> None:
    for type in ("models", "datasets"):
        assert isinstance(ask(f"{CN}/api/v1/{type}/o/n/repo?{query}"), Malformed)


@pytest.mark.parametrize(
    "host", ["modelscope.cn", "www.modelscope.cn", "modelscope.ai", "www.modelscope.ai", "cdn-lfs-us-9.modelscope.ai"]
)
def test_hosts(host: str) -> None:
    assert CLASSIFIER.hub_of(host, 443) == ms.HUB
    assert CLASSIFIER.hub_of(f"x{host.removeprefix('www.')}", 443) in (None, ms.HUB if host.startswith("cdn") else None)
    assert CLASSIFIER.hub_of(f"{host}.evil.example", 443) is None
    assert Classifier(enabled=["huggingface"]).hub_of(host, 443) is None


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE"]),
    host=st.sampled_from(["modelscope.cn", "www.modelscope.ai", "cdn-lfs-cn-1.modelscope.cn"]),
    parts=st.lists(
        st.sampled_from(
            ["api", "openapi", "v1", "models", "datasets", "repos", "repo", "files", "resolve", "o", "n", ""]
        )
        | st.text(max_size=5)
    ),
    query=st.text(max_size=20) | st.sampled_from(["FilePath=x", "Revision=a&FilePath=b"]),
)
def test_classify_never_raises(method: str, host: str, parts: list[str], query: str) -> None:
    found = CLASSIFIER.classify(method, "https", host, 443, "/" + "/".join(parts), query)
    assert found.hub == ms.HUB


# -- answers --------------------------------------------------------------------------------------------------------


def node(path: str = "a", **changes: Any) -> dict[str, Any]:
    return {"Path": path, "Sha256": HEX, "Size": 3, "Revision": SHA, "IsLFS": True, "Type": "blob"} | changes


def told(nodes: object, **beside: object) -> bytes:
    return json.dumps({"Code": 200, "Success": True, "Data": {"Files": nodes}} | beside).encode()


def test_a_listing() -> None:
    found = ms.listing(
        told([node("a/b"), node("c", IsLFS=False, Revision="master"), node("d", Type="tree", Sha256="")])
    )
    assert found.files == {"a/b": ms.Entry(HEX, 3, SHA, True), "c": ms.Entry(HEX, 3, "", False)}
    assert ms.listing(json.dumps({"Data": [node()]}).encode()).files.keys() == {"a"}


@pytest.mark.parametrize(
    "odd", [{"Sha256": "x"}, {"Sha256": None}, {"Size": "3"}, {"Size": -1}, {"Path": 1}, {"Sha256": HEX.upper()}]
)
def test_what_could_not_be_proven_is_in_no_listing(odd: dict[str, Any]) -> None:
    assert ms.listing(told([node(**odd), "x", None, 3])).files == {}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"3", b"<html>", b'{"Data": null}', b'{"Data": {"Files": 3}}', b"[" * 200_000]
)
def test_what_is_no_listing(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"listing|Expecting value|depth"):
        ms.listing(body)


@pytest.mark.parametrize(
    ("count", "beside", "last"),
    [
        (3, {"PageSize": 3, "TotalCount": 4}, False),
        (3, {"PageSize": 3, "TotalCount": 3}, True),
        (3, {}, True),
        (200, {}, False),
        (3, {"PageSize": 3}, False),
        (0, {"TotalCount": 900, "PageSize": 3}, True),
    ],
)
def test_the_last_page(count: int, beside: dict[str, int], last: bool) -> None:
    assert ms.listing(told([node(str(n)) for n in range(count)], **beside)).whole is last


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"Code":200,"Data":{},"Success":true}', None),
        (b'{"success":true,"data":{}}', None),
        (b'{"Data":{}}', None),
        (b'{"Code":10990101007,"Message":"","Success":false}', 10990101007),
        (b'{"Code":10010205001,"Success":false}', ms.NO_REPO),
        (b'{"Code":500,"Success":true}', 500),
        (b'{"success":false,"code":"Unauthorized"}', 0),
        (b"<html>", 0),
        (b"[]", 0),
        (b"", 0),
        (b"[" * 200_000, 0),
    ],
)
def test_failures_that_only_the_body_tells(body: bytes, code: int | None) -> None:
    assert ms.failure_of(body) == code


def test_what_a_redirect_tells() -> None:
    assert ms.linked(Headers((("X-Linked-Etag", f'"{HEX}"'), ("X-Linked-Size", "12")))) == ms.Linked(HEX, 12)
    assert ms.linked(Headers((("X-Linked-Etag", f'"{HEX}"'),))) == ms.Linked(HEX, None)
    assert ms.linked(Headers((("X-Linked-Etag", '"md5"'), ("X-Linked-Size", "12")))) is None


@pytest.mark.parametrize("rev", ["master", "resolve"])
def test_a_repo_that_goes_by_its_number_is_taken_for_no_other(rev: str) -> None:
    found = ask(f"{CN}/api/v1/datasets/123/repo?Revision={rev}&FilePath=a/b.bin")
    assert isinstance(found, File) and isinstance(ask(ms.resolve_url(found)), Plain)


def test_a_page_size_that_is_no_number_is_as_good_as_none() -> None:
    for size in ("many", [], -1, {"a": 1}):
        assert ms.listing(json.dumps({"Data": [node()], "PageSize": size}).encode()).whole


@pytest.mark.parametrize("size", ["\xb2", "9" * 5000, "+5", ""])
def test_a_size_that_is_no_number_is_none(size: str) -> None:
    assert ms.linked(Headers((("X-Linked-ETag", "ab" * 32), ("X-Linked-Size", size)))) == ms.Linked("ab" * 32, None)
