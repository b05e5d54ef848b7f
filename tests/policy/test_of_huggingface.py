"""Facts from Hugging Face's JSON: what is read, where it came from, and that nothing strange is believed."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.policy import of_huggingface as of
from proxy_addon.policy.declared import front_matter
from proxy_addon.policy.facts import GATES, UNKNOWN, Facts
from proxy_addon.policy.foreign import document
from proxy_addon.policy.sheets import Paths, Placing, Scan, Twins

SHA = "1a2b3c4d5e6f" + "0" * 28
PLAIN = {
    "id": "acme/tiny",
    "author": "acme",
    "sha": SHA,
    "lastModified": "2025-10-01T00:00:00.000Z",
    "private": False,
    "gated": False,
    "tags": ["license:mit", "region:us", "base_model:acme/base", "base_model:finetune:acme/base"],
    "cardData": {"license": "mit"},
    "siblings": [{"rfilename": "a.bin"}, {"rfilename": "a.safetensors"}, {"rfilename": "x/b.bin"}],
}


def read(**changed):
    return of.info({**PLAIN, **changed}, "acme/tiny")


def licences(sheet):
    found = sheet.values["license"]
    return found if found is UNKNOWN else tuple(each.id for each in found)


def test_a_plain_repo():
    sheet = read()
    values = dict(sheet.values)
    assert licences(sheet) == ("mit",)
    assert values.pop("has_safetensors_twin").of("a.bin") is True
    del values["license"]
    assert values == {
        "commit": SHA, "gated": False, "private": False, "tags": tuple(PLAIN["tags"]), "base_model": ("acme/base",),
        "author": "acme", "revision_age": 1759276800.0,
    }  # fmt: skip
    assert sheet.sources["license"] == "card of acme/tiny at 1a2b3c4d5e6f"
    assert sheet.sources["gated"] == "repo info of acme/tiny at 1a2b3c4d5e6f"
    assert sheet.name == "acme/tiny"
    assert Facts().joined(values, {}).values == values


@pytest.mark.parametrize(
    ("card", "tags", "expected", "source"),
    [
        ({"license": "mit"}, [], ("mit",), "card"),
        ({"license": ["mit", "apache-2.0"]}, [], ("mit", "apache-2.0"), "card"),
        ({"license": "cc-by-nc-4.0"}, ["license:mit"], ("cc-by-nc-4.0",), "card"),
        ({"license": "gpl"}, [], ("gpl",), "card"),
        ({"license": "other", "license_name": "qwen"}, [], ("qwen",), "card"),
        ({"license": "other", "license_name": "my-own"}, [], ("my-own",), "card"),
        ({"license": "other", "license_link": "https://a/b"}, [], ("https://a/b",), "card"),
        ({"license": "other", "license_name": 5}, [], ("other",), "card"),
        ({"license": ["mit", "other"], "license_name": "qwen"}, [], ("mit", "qwen"), "card"),
        ({}, ["license:mit"], ("mit",), "tag license:mit"),
        (None, ["x", "license:mit", "license:gpl-3.0"], ("mit", "gpl-3.0"), "tag license:mit, tag license:gpl-3.0"),
        ({"license": ""}, ["license:mit"], ("mit",), "tag license:mit"),
        ({"license": []}, ["license:mit"], ("mit",), "tag license:mit"),
        ({"license": 4.0}, ["license:mit"], UNKNOWN, "card"),
        ({"license": ["mit", 5]}, ["license:mit"], UNKNOWN, "card"),
        ({"license": [["mit"]]}, ["license:mit"], UNKNOWN, "card"),
        ({"license": {"id": "mit"}}, ["license:mit"], UNKNOWN, "card"),
        ({"license": "m" * 301}, ["license:mit"], UNKNOWN, "card"),
        ({"license": "m\nit"}, ["license:mit"], UNKNOWN, "card"),
        ({"license": "\ud800"}, ["license:mit"], UNKNOWN, "card"),
        ({"license": ["mit"] * 51}, ["license:mit"], UNKNOWN, "card"),
        (["mit"], ["license:mit"], UNKNOWN, "card"),
        ("mit", [], UNKNOWN, "card"),
    ],
)
def test_licences(card, tags, expected, source):
    sheet = read(cardData=card, tags=tags)
    assert licences(sheet) == expected
    assert sheet.sources["license"].startswith(source)


@pytest.mark.parametrize("card", [None, {}, {"license": None}, {"license": ""}])
def test_what_declares_nothing_leaves_the_question_open(card):
    assert "license" not in read(cardData=card, tags=["x"]).values


@pytest.mark.parametrize(
    ("fact", "changed"),
    [
        ("gated", {"gated": "perhaps"}), ("gated", {"gated": None}), ("gated", {"gated": 3}), ("gated", {"gated": []}),
        ("private", {"private": "no"}), ("private", {"private": 0}),
        ("commit", {"sha": "main"}), ("commit", {"sha": 5}),
        ("tags", {"tags": ["a", 5]}), ("tags", {"tags": ["a"] * 1001}), ("tags", {"tags": {"a": 1}}),
        ("tags", {"tags": [f"{n:0299}" for n in range(101)]}),
        ("base_model", {"cardData": {"base_model": 5}}), ("base_model", {"cardData": {"base_model": ["a/b", {}]}}),
        ("base_model", {"tags": 5}),
        ("author", {"author": None, "id": "gpt2"}), ("author", {"author": ["x"], "id": None}),
        ("revision_age", {"lastModified": "yesterday"}), ("revision_age", {"lastModified": "9" * 400}),
        ("revision_age", {"lastModified": float("nan")}), ("revision_age", {"lastModified": True}),
        ("has_safetensors_twin", {"siblings": None}), ("has_safetensors_twin", {"siblings": "a.bin"}),
    ],
)  # fmt: skip
def test_a_strange_shape_makes_just_that_fact_unknown(fact, changed):
    values, plain = read(**changed).values, read().values
    assert values[fact] is UNKNOWN
    touched = {fact, "license", "base_model", "tags"} if "tags" in changed or "cardData" in changed else {fact}
    assert {k: v for k, v in values.items() if k not in touched} == {k: v for k, v in plain.items() if k not in touched}


@pytest.mark.parametrize(
    ("card", "tags", "expected"),
    [
        ({"base_model": "a/b"}, [], ("a/b",)),
        ({"base_model": ["a/b", "A/B", "c"]}, ["base_model:quantized:d/e"], ("a/b", "c", "d/e")),
        (None, ["base_model:a/b", "base_model:merge:a/b"], ("a/b",)),
        ({}, [], ()),
        ({"base_model": [""]}, [], ()),
    ],
)
def test_base_models(card, tags, expected):
    assert read(cardData=card, tags=tags).values["base_model"] == expected


def test_the_size_is_that_of_all_files():
    def size(*sizes):
        return of.size({"siblings": [{"size": n} for n in sizes]}, "x").values["repo_size"]

    assert (size(), size(1, 2, 3)) == (0, 6)
    assert all(size(1, strange) is UNKNOWN for strange in (None, -1, "2", True, 2.5, 1 << 70, []))
    assert of.size({"siblings": None}, "x").values["repo_size"] is UNKNOWN
    assert of.size([], "x").values["repo_size"] is UNKNOWN


def scanned(status, kind="models"):
    return of.hub_scan({"id": "a/b", **({} if status is None else {"securityRepoStatus": status})}, kind, "x").values[
        "hub_scan"
    ]


@pytest.mark.parametrize(
    ("done", "issues", "path", "expected"),
    [
        (True, [], None, "safe"), (True, [], "a.bin", "safe"),
        (False, [], None, "unscanned"), (False, [], "a.bin", "unscanned"),
        (True, [("a.bin", "unsafe")], "a.bin", "unsafe"), (True, [("a.bin", "unsafe")], "b.bin", "safe"),
        (True, [("a", "caution"), ("b", "suspicious")], None, "suspicious"),
        (False, [("a", "caution")], None, "caution"), (False, [("a", "caution")], "b", "unscanned"),
        (True, [("a", "queued"), ("b", "safe")], None, "unscanned"),
        (True, [("a", "UNSAFE")], "a", "unsafe"),
        (True, [("a", "new word")], "a", UNKNOWN), (True, [("a", "new word")], None, UNKNOWN),
        (True, [("a", "new word"), ("b", "unsafe")], None, "unsafe"),
        (True, [("a", "caution"), ("a", "unsafe")], "a", "unsafe"),
        (True, [("a", "unsafe"), ("a", "safe")], "a", "unsafe"),
    ],
)  # fmt: skip
def test_the_hub_s_scan(done, issues, path, expected):
    told = {"scansDone": done, "filesWithIssues": [{"path": p, "level": level} for p, level in issues]}
    assert scanned(told).of(path) == expected


@pytest.mark.parametrize(
    "status", [5, [], {}, {"scansDone": True}, {"scansDone": 1, "filesWithIssues": []},
               {"scansDone": True, "filesWithIssues": {}}, {"scansDone": True, "filesWithIssues": [{"path": "a"}]}],
)  # fmt: skip
def test_a_scan_that_cannot_be_read_is_unknown(status):
    assert scanned(status) is UNKNOWN


def test_a_scan_that_is_not_told():
    assert scanned(None) is UNKNOWN
    assert scanned(None, "datasets").of(None) == scanned(None, "datasets").of("a") == "unscanned"
    assert of.hub_scan([], "datasets", "x").values["hub_scan"] is UNKNOWN


def test_findings_that_there_is_no_room_for_are_not_taken_for_safe():
    issues = [{"path": f"{n:0200}", "level": "caution"} for n in range(1000)]
    found = scanned({"scansDone": True, "filesWithIssues": issues})
    assert (found.of(None), found.of(f"{0:0200}"), found.of(f"{999:0200}")) == ("caution", "caution", UNKNOWN)


@pytest.mark.parametrize(
    ("files", "path", "expected"),
    [
        (["a.bin", "a.safetensors"], "a.bin", True), (["a.bin", "b.safetensors"], "a.bin", True),
        (["a.bin", "a.safetensors"], "a.safetensors", False), (["a.bin", "A.SAFETENSORS"], "a.bin", True),
        (["x/a.bin", "a.safetensors"], "x/a.bin", False), (["x/a.bin", "x/a.safetensors"], "x/a.bin", True),
        (["X/a.safetensors"], "x/a.bin", False),
        (["a.bin", "a.safetensors"], None, True), (["a.safetensors", "config.json"], None, False),
        (["a.bin", "x/a.safetensors"], None, False), (["a.bin"], "a.bin", False),
    ],
)  # fmt: skip
def test_twins(files, path, expected):
    sheet = read(siblings=[{"rfilename": name} for name in files])
    assert sheet.values["has_safetensors_twin"].of(path) is expected


def test_a_twin_that_may_have_been_left_out_is_unknown():
    many = read(siblings=[{"rfilename": f"{n:0100}/a.safetensors"} for n in range(1000)]).values["has_safetensors_twin"]
    assert (many.of(f"{0:0100}/a.bin"), many.of(f"{999:0100}/a.bin")) == (True, UNKNOWN)
    odd = read(siblings=[{"rfilename": "a.bin"}, {"rfilename": 5}]).values["has_safetensors_twin"]
    assert odd.of("a.bin") is UNKNOWN


@pytest.mark.parametrize(
    ("readme", "expected"),
    [
        (b"---\nlicense: mit\n---\n# x", ("mit",)),
        (b"\xef\xbb\xbf---\r\nlicense: mit\r\n---\r\n", ("mit",)),
        (b"---\nlicense:\n- mit\n- gpl-3.0\n---", ("mit", "gpl-3.0")),
        (b"---\nlicense: other\nlicense_name: qwen\n---\n", ("qwen",)),
        (b"---\n---\nlicense: mit\n---\n", UNKNOWN),
        (b"# no front matter\n---\nlicense: mit\n---\n", UNKNOWN),
        (b"---\nlicense: mit\n", UNKNOWN),
        (b"---\nlicense: mit\nlicense: apache-2.0\n---\n", UNKNOWN),
        (b"---\nx: &a mit\nlicense: *a\n---\n", UNKNOWN),
        (b"---\nlicense: !!binary bWl0\n---\n", UNKNOWN),
        (b"---\n- license: mit\n---\n", UNKNOWN),
        (b"---\nlicense: [mit\n---\n", UNKNOWN),
        (b"---\nlicense: 1.0\n---\n", UNKNOWN),
        (b"---\nlicense: \xff\n---\n", UNKNOWN),
        (b"---\nlicense: mit\n" + b"a: b\n" * 20_000 + b"---\n", UNKNOWN),
        (b"---\na: " + b"[" * 10_000 + b"\nlicense: mit\n---\n", UNKNOWN),
        (b"", UNKNOWN),
    ],
)
def test_front_matter(readme, expected):
    sheet = of.readme(readme, "acme/tiny at 1a2b3c4d5e6f")
    assert licences(sheet) == expected
    assert sheet.sources["license"] == "README.md of acme/tiny at 1a2b3c4d5e6f"


def test_a_listing_tells_where_a_digest_lies():
    one, two, xet = "1" * 64, "2" * 64, "3" * 64
    page = [
        {"type": "file", "path": "a.bin", "size": 1, "oid": "0" * 40, "lfs": {"oid": one}, "xetHash": xet},
        {"type": "file", "path": "b.bin", "size": 1, "oid": "0" * 40, "lfs": {"oid": one}},
        {"type": "file", "path": "c.bin", "size": 1, "oid": "0" * 40, "lfs": {"oid": two}, "xetHash": 5},
        {"type": "directory", "path": "d", "size": 0, "oid": one},
        {"type": "file", "path": 5, "size": 1, "lfs": {"oid": two}},
        "x",
    ]
    placing = Placing([f"sha256:{one}"])
    assert of.place(page, placing) and not of.place({}, placing)
    paths = placing.done({})
    assert paths.of(f"sha256:{one}") == ("a.bin", "b.bin")
    assert (paths.of(f"sha256:{two}"), paths.of(f"xet:{xet}")) == ("c.bin", "a.bin")
    assert paths.of(f"sha256:{'4' * 64}") is UNKNOWN


def test_a_large_listing_keeps_what_is_looked_for():
    placing = Placing(["sha256:wanted"])
    for number in range(5000):
        placing.add(f"{number}.bin", [f"sha256:{number:064}"])
    placing.add("here.bin", ["sha256:wanted"])
    paths = placing.done({"xet:it": "sha256:wanted"})
    assert paths.of("sha256:wanted") == paths.of("xet:it") == "here.bin"
    assert paths.of(f"sha256:{4999:064}") is None, "to be asked again, and not taken for absent"
    assert sum(len(key) for key in paths.known) < 40_000
    crowd = Placing(["sha256:wanted"])
    for number in range(2000):
        crowd.add(f"{number}.bin", ["sha256:wanted"])
    assert crowd.done({}).of("sha256:wanted") is UNKNOWN


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("x" * 400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = ["id", "modelId", "author", "sha", "lastModified", "private", "gated", "tags", "cardData", "siblings",
           "securityRepoStatus"]  # fmt: skip
_NEAR = st.dictionaries(st.sampled_from(_FIELDS), _JSON) | st.builds(
    lambda card, rest: {**rest, "cardData": card},
    st.dictionaries(st.sampled_from(["license", "license_name", "license_link", "base_model"]), _JSON),
    st.dictionaries(st.sampled_from(_FIELDS), _JSON),
)


@settings(deadline=None)
@given(_JSON | _NEAR)
def test_any_json_is_read_without_a_fault(told):
    for sheet in (of.info(told, "a/b"), of.size(told, "x"), of.hub_scan(told, "models", "x")):
        assert sheet.values.keys() <= GATES.keys()
        assert sheet.sources.keys() == sheet.values.keys()
        for value in sheet.values.values():
            assert isinstance(value.of("a/b.bin"), object) if isinstance(value, Twins | Scan | Paths) else True
            assert len(repr(value)) < 100_000
    of.place(told, Placing(["sha256:x"]))


@settings(deadline=None)
@given(st.binary(max_size=200) | st.builds(lambda middle: b"---\n" + middle + b"\n---\n", st.binary(max_size=200)))
def test_any_readme_is_read_without_a_fault(data):
    found = front_matter(data)
    assert found is None or isinstance(found, dict)
    of.readme(data, "x")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 10_000, json.dumps([1]).encode() + b"x"])
def test_what_is_no_json_tells_nothing(data):
    assert of.info(document(data), "a/b").values == {}


def test_what_is_remembered_of_a_repo_is_bounded():
    big = "x" * 1_000_000
    sheet = read(
        tags=[big], author=big, cardData={"license": big, "base_model": [big] * 10},
        siblings=[{"rfilename": f"{n}/{big[:1000]}/a.safetensors"} for n in range(3000)],
    )  # fmt: skip
    assert len(repr(dict(sheet.values))) + len(repr(dict(sheet.sources))) < 100_000


def test_licences_that_nobody_knows_are_put_together_too():
    own, theirs = (read(cardData={"license": words}) for words in ("our words", "their words"))
    found = of.strangers(theirs.values, own.values)
    assert [each.id for each in found["license"]] == ["our words", "their words"]
