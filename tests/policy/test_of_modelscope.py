"""Facts from ModelScope's JSON, by both spellings, and that nothing strange is believed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.policy import of_modelscope as of
from proxy_addon.policy.facts import GATES, UNKNOWN

PLAIN = {
    "Path": "acme", "Name": "tiny", "License": "Apache License 2.0", "Visibility": 5, "Private": 0, "ApprovalMode": 0,
    "Tags": ["a"], "LastUpdatedTime": 1759276800, "StorageSize": 12, "ReadMeContent": "---\nbase_model: a/b\n---\n",
}  # fmt: skip
OPEN = {
    "id": "acme/tiny", "license": "apache-2.0", "visibility": "public", "private": False, "gated": False,
    "tags": ["a"], "last_modified": "2025-10-01T00:00:00Z",
}  # fmt: skip


def read(rev=None, **changed):
    return of.info({"Code": 200, "Success": True, "Data": {**PLAIN, **changed}}, "acme/tiny", rev)


def licences(sheet):
    found = sheet.values["license"]
    return found if found is UNKNOWN else tuple(each.id for each in found)


def test_a_plain_repo():
    sheet = read()
    assert licences(sheet) == ("apache-2.0",)
    assert {k: v for k, v in sheet.values.items() if k != "license"} == {
        "gated": False, "private": False, "tags": ("a",), "base_model": ("a/b",), "author": "acme", "commit": UNKNOWN,
        "revision_age": 1759276800.0, "hub_scan": "unscanned", "repo_size": 12,
    }  # fmt: skip
    assert sheet.name == "acme/tiny"
    assert sheet.sources["license"] == "License of acme/tiny"


def test_the_open_api_says_the_same():
    sheet = of.info({"success": True, "data": OPEN}, "acme/tiny", "master")
    assert licences(sheet) == ("apache-2.0",)
    assert {k: v for k, v in sheet.values.items() if k != "license"} == {
        "gated": False, "private": False, "tags": ("a",), "base_model": (), "author": "acme", "commit": UNKNOWN,
        "revision_age": 1759276800.0, "hub_scan": "unscanned",
    }  # fmt: skip
    assert sheet.name == "acme/tiny"


@pytest.mark.parametrize(
    ("declared", "readme", "expected", "source"),
    [
        ("MIT License", "---\nlicense: gpl-3.0\n---\n", ("mit",), "License of"),
        ("words of my own", "", ("words of my own",), "License of"),
        (None, "---\nlicense: mit\n---\n", ("mit",), "README.md of"),
        ("", "---\nlicense: Apache License 2.0\n---\n", ("apache-2.0",), "README.md of"),
        ("other", "---\nlicense: other\nlicense_name: qwen\n---\n", ("qwen",), "License of"),
        ("other", None, ("other",), "License of"),
        (5, "---\nlicense: mit\n---\n", UNKNOWN, "License of"),
        (["mit", 5], "---\nlicense: mit\n---\n", UNKNOWN, "License of"),
        ("m" * 301, "---\nlicense: mit\n---\n", UNKNOWN, "License of"),
        (None, "---\nlicense: &a mit\n---\n", UNKNOWN, "README.md of"),
        (None, "---\nlicense: mit\n" + "a: b\n" * 300_000 + "---\n", UNKNOWN, "README.md of"),
    ],
)
def test_licences(declared, readme, expected, source):
    sheet = read(License=declared, ReadMeContent=readme)
    assert licences(sheet) == expected
    assert sheet.sources["license"].startswith(source)


@pytest.mark.parametrize("readme", [None, 5, "", "# no front matter", "---\ntags: [a]\n---\n", "\ud800"])
def test_what_declares_nothing_leaves_the_question_open(readme):
    assert "license" not in read(License=None, ReadMeContent=readme).values


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"Private": 1, "Visibility": 5}, True), ({"Private": 0, "Visibility": 1}, True),
        ({"Private": 0, "Visibility": 3}, True), ({"Private": True, "Visibility": None}, True),
        ({"Private": None, "Visibility": 5}, False), ({"Private": None, "Visibility": None}, UNKNOWN),
        ({"Private": "0", "Visibility": 4}, UNKNOWN), ({"Private": [], "Visibility": "private"}, True),
        ({"Private": 7, "Visibility": True}, UNKNOWN),
    ],
)  # fmt: skip
def test_private(changed, expected):
    assert read(**changed).values["private"] is expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"ApprovalMode": 0}, False), ({"ApprovalMode": 1}, True), ({"ApprovalMode": 2}, True),
        ({"ApprovalMode": "x"}, UNKNOWN), ({"ApprovalMode": None}, UNKNOWN),
        ({"ApprovalMode": None, "gated": True}, True), ({"ApprovalMode": None, "gated": "manual"}, "manual"),
    ],
)  # fmt: skip
def test_gated(changed, expected):
    assert read(**changed).values["gated"] == expected


@pytest.mark.parametrize(
    ("fact", "changed", "expected"),
    [
        ("tags", {"Tags": [{"Name": "a"}, "b"]}, ("a", "b")), ("tags", {"Tags": None}, ()),
        ("tags", {"Tags": [5]}, UNKNOWN), ("tags", {"Tags": ["a"] * 1001}, UNKNOWN), ("tags", {"Tags": {}}, UNKNOWN),
        ("base_model", {"BaseModel": ["c/d"]}, ("c/d",)), ("base_model", {"BaseModel": 5}, UNKNOWN),
        ("base_model", {"BaseModel": [""]}, ()), ("base_model", {"ReadMeContent": "---\na: [\n---\n"}, UNKNOWN),
        ("revision_age", {"LastUpdatedTime": "x"}, UNKNOWN), ("revision_age", {"LastUpdatedTime": -1}, UNKNOWN),
        ("author", {"Path": None, "Name": None}, UNKNOWN), ("author", {"Path": 5}, UNKNOWN),
    ],
)  # fmt: skip
def test_a_strange_shape_makes_just_that_fact_unknown(fact, changed, expected):
    sheet = read(**changed)
    assert sheet.values[fact] == expected
    assert licences(sheet) == ("apache-2.0",)


@pytest.mark.parametrize("size", [-1, "5", True, 1.5, [], 1 << 70])
def test_a_size_that_is_none_is_asked_for_elsewhere(size):
    assert "repo_size" not in read(StorageSize=size).values


def test_of_another_revision_nobody_tells_the_age():
    assert read("v1.0.0").values["revision_age"] is UNKNOWN
    assert read("master").values["revision_age"] == 1759276800.0


def entry(path, size=1, sha="", kind="blob"):
    return {"Path": path, "Size": size, "Sha256": sha, "Type": kind}


def page(*entries, **beside):
    return {"Code": 200, "Success": True, "Data": {"Files": [*entries]}, **beside}


def test_a_listing_tells_size_twins_and_digests():
    listing = of.Listing(["sha256:" + "1" * 64])
    assert listing.add(page(entry("a.bin", 2, "1" * 64), entry("x", 0, kind="tree"))) == 2
    assert listing.add(page(entry("a.safetensors", 3, "2" * 64), entry("x/a.bin", 5, "1" * 64))) == 2
    values = listing.done("acme/tiny at master", whole=True).values
    assert values["repo_size"] == 10
    assert values["has_safetensors_twin"].of("a.bin") is True
    assert values["has_safetensors_twin"].of("x/a.bin") is False
    assert values["path"].of("sha256:" + "1" * 64) == ("a.bin", "x/a.bin")
    assert values["path"].of("sha256:" + "3" * 64) is UNKNOWN


def test_a_listing_that_is_cut_short_tells_no_size_and_no_absence():
    listing = of.Listing()
    listing.add(page(entry("a.bin", 2)))
    values = listing.done("x", whole=False).values
    assert values["repo_size"] is UNKNOWN
    assert values["has_safetensors_twin"].of("a.bin") is UNKNOWN
    odd = of.Listing()
    odd.add(page(entry("a.bin", "2")))
    assert odd.done("x", whole=True).values["repo_size"] is UNKNOWN


@pytest.mark.parametrize("told", [None, [], {}, {"Success": False, "Message": 5}, {"Data": {"Files": 5}}])
def test_what_is_no_listing_is_a_fault(told):
    with pytest.raises(ValueError):
        of.Listing().add(told)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("x" * 400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = st.dictionaries(st.sampled_from([*PLAIN, *OPEN, "Namespace", "BaseModel"]), _JSON)


@settings(deadline=None)
@given(_JSON | st.builds(lambda key, data: {key: data}, st.sampled_from(["Data", "data"]), _FIELDS))
def test_any_json_is_read_without_a_fault(told):
    sheet = of.info(told, "a/b", None)
    assert sheet.values.keys() <= GATES.keys() and sheet.sources.keys() == sheet.values.keys()
    assert all(len(repr(value)) < 100_000 for value in sheet.values.values())


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["Path", "Size", "Sha256", "Type"]), _JSON), max_size=5))
def test_any_listing_is_read_without_a_fault(nodes):
    listing = of.Listing()
    listing.add({"Data": {"Files": nodes}})
    assert listing.done("x", whole=True).values.keys() == {"repo_size", "has_safetensors_twin", "path"}
