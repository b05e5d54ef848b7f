"""What the heads of the hub's answers mean, and the edit that turns Xet off."""

from __future__ import annotations

import json

import pytest

from proxy_addon.core.messages import Headers
from proxy_addon.hub import huggingface as hf
from proxy_addon.hub import xet
from proxy_addon.hub.paths import normal_query, quoted
from proxy_addon.hub.resources import File, Repo

COMMIT, SHA256, OID = "a" * 40, "b" * 64, "c" * 40
FILE = File(Repo("huggingface", "datasets", "org/name"), "refs/pr/1", "a b/\u00e9.txt")


def head(**fields: str) -> Headers:
    return Headers((name.replace("_", "-"), value) for name, value in fields.items())


def test_facts_of_a_redirect() -> None:
    link = "https://cdn-lfs.hf.co/x?response-content-type=text%2Fcsv&response-content-disposition=inline&Signature=s"
    told = head(X_Repo_Commit=COMMIT, X_Linked_ETag=f'"{SHA256}"', X_Linked_Size="12", ETag='"other"')
    facts = hf.facts_of(302, told, link)
    assert facts is not None and (facts.commit, facts.blob, facts.size) == (COMMIT, f"sha256:{SHA256}", 12)
    assert (facts.location, facts.content_type, facts.disposition) == (link, "text/csv", "inline")


def test_facts_of_a_plain_answer() -> None:
    facts = hf.facts_of(200, head(X_Repo_Commit=COMMIT, ETag=f'W/"{OID}"', Content_Length="5"), None)
    assert facts is not None and (facts.blob, facts.size, facts.location) == (f"git:{OID}", 5, None)
    packed = head(X_Repo_Commit=COMMIT, ETag=f'"{OID}"', Content_Length="5", Content_Encoding="gzip")
    assert hf.facts_of(200, packed, None).size is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "fields", "location"),
    [
        (302, {"X_Linked_ETag": SHA256}, "https://x"),
        (302, {"X_Repo_Commit": "main", "ETag": SHA256}, "https://x"),
        (302, {"X_Repo_Commit": COMMIT}, "https://x"),
        (302, {"X_Repo_Commit": COMMIT, "ETag": SHA256}, None),
        (404, {"X_Repo_Commit": COMMIT, "ETag": SHA256}, None),
        (304, {"X_Repo_Commit": COMMIT, "ETag": SHA256}, None),
    ],
)
def test_heads_that_are_not_about_a_file(status: int, fields: dict[str, str], location: str | None) -> None:
    assert hf.facts_of(status, head(**fields), location) is None


@pytest.mark.parametrize("value", ["-1", "1e3", "\u0663", "", "0x10", " 5"])
def test_a_size_is_digits(value: str) -> None:
    facts = hf.facts_of(302, head(X_Repo_Commit=COMMIT, ETag=SHA256, X_Linked_Size=value), "https://x")
    assert facts is not None and facts.size is None


def test_a_signed_link_cannot_put_a_line_into_a_head() -> None:
    link = "https://x/?response-content-disposition=a%0d%0aSet-Cookie:x&response-content-type=a%00"
    facts = hf.facts_of(302, head(X_Repo_Commit=COMMIT, ETag=SHA256, X_Linked_Size="1"), link)
    assert facts is not None and "\r" not in facts.disposition and "\x00" not in facts.content_type


def test_urls_are_written_as_the_hub_reads_them() -> None:
    assert hf.resolve_url(FILE) == "https://huggingface.co/datasets/org/name/resolve/refs%2Fpr%2F1/a%20b/%C3%A9.txt"
    assert hf.resolve_url(FILE, "https://m.example/base/").startswith("https://m.example/base/datasets/")
    assert quoted("a b/c") == "a%20b/c"


@pytest.mark.parametrize(
    ("location", "renamed"),
    [
        ("/org/new/resolve/main/x", True),
        ("https://huggingface.co/org/new/resolve/main/x", True),
        ("https://huggingface.co/api/resolve-cache/models/x", False),
        ("https://cdn-lfs.hf.co/org/new", False),
        ("https://evil.example/org/new/resolve/main/x", False),
    ],
)
def test_a_rename_stays_on_the_hub(location: str, renamed: bool) -> None:
    assert hf.is_rename(location) == renamed


def test_only_small_files_lose_their_xet_hash() -> None:
    listing = [{"xetHash": "x", "size": 1, "lfs": {"size": 1}}, {"xetHash": "y", "size": 100}, {"xetHash": "z"}]
    kept = xet.without_xet(json.loads(json.dumps({"a": listing})), lambda size: size > 50)["a"]
    assert [entry.get("xetHash") for entry in kept] == [None, "y", None] and kept[0]["lfs"] == {"size": 1}


def test_deep_nesting_is_no_danger() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert xet.without_xet(deep, lambda size: False) is deep
    while deep:
        deep = deep.pop()  # type: ignore[assignment]


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.js", "page"])
def test_nothing_that_a_browser_would_run(name: str) -> None:
    assert hf.content_type(name) in ("text/plain; charset=utf-8", "application/octet-stream")


def test_queries_in_their_normal_form() -> None:
    assert normal_query("b=True&a=False&c=") == "a=false&b=true&c=" == normal_query("c=&a=false&b=true")
    assert normal_query("p=a&p=b") != normal_query("p=b&p=c") and normal_query("") == ""


@pytest.mark.parametrize("size", ["\xb2", "9" * 5000, "+5", ""])
def test_a_size_that_is_no_number_is_none(size: str) -> None:
    facts = hf.facts_of(200, head(X_Repo_Commit=COMMIT, ETag=f'"{OID}"', X_Linked_Size=size), None)
    assert facts is not None and facts.size is None
