import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.hub.hf_listing import commit_of, entries, next_page
from proxy_addon.hub.resources import File, Repo
from proxy_addon.hub.targets import Entry, Target, file_of, moved_to, same, target, wanted

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
REVS = st.from_regex(r"[A-Za-z0-9_-]{1,9}(/[A-Za-z0-9_-]{1,9}){0,2}", fullmatch=True)
PATHS = st.text(st.characters(blacklist_characters="\x00"), min_size=1, max_size=30)
REPOS = st.builds(
    lambda at, org, name: Repo(at[0], at[1], f"{org}/{name}", at[2]),
    st.sampled_from([
        *(("huggingface", type, "") for type in ("models", "datasets", "spaces")),
        *(("modelscope", type, site) for type in ("models", "datasets", "studios") for site in ("", "ai")),
    ]), NAMES, NAMES,
)  # fmt: skip
SHA = "a" * 40


@pytest.mark.parametrize(
    ("text", "type", "repo", "rev"),
    [
        ("hf:acme/tiny", "model", Repo("huggingface", "models", "acme/tiny"), None),
        ("hf:gpt2", "model", Repo("huggingface", "models", "gpt2"), None),
        ("hf:acme/tiny@refs/pr/1", "model", Repo("huggingface", "models", "acme/tiny"), "refs/pr/1"),
        ("hf:acme/tiny@v1", "dataset", Repo("huggingface", "datasets", "acme/tiny"), "v1"),
        ("hf://datasets/acme/tiny@v1", "model", Repo("huggingface", "datasets", "acme/tiny"), "v1"),
        ("hf:models/acme/tiny", "space", Repo("huggingface", "models", "acme/tiny"), None),
        (" ms:acme/tiny ", "model", Repo("modelscope", "models", "acme/tiny"), None),
        ("ms:datasets/acme/tiny@v1.0.0", "model", Repo("modelscope", "datasets", "acme/tiny"), "v1.0.0"),
        ("ms:acme/tiny", "studio", Repo("modelscope", "studios", "acme/tiny"), None),
        ("ms.ai:studios/acme/tiny", "model", Repo("modelscope", "studios", "acme/tiny", "ai"), None),
        ("hf:studios/tiny", "model", Repo("huggingface", "models", "studios/tiny"), None),
    ],
)
def test_targets_as_people_write_them(text, type, repo, rev):
    assert target(text, type) == Target(repo, rev)


@pytest.mark.parametrize(
    "text",
    [
        *("acme/tiny", "gh:acme/tiny", "https://huggingface.co/acme/tiny"),
        *("hf:", "hf:a/b/c", "hf:../x", "hf:acme/ti ny"),
        *("ms:tiny", "ms:datasets/tiny", "ms:spaces/acme/tiny", "ms.cn:acme/tiny"),
        *("hf:acme/tiny@", "hf:acme/tiny@a..b", "hf:acme/tiny@a b", "hf:acme/tiny@/"),
    ],
)
def test_what_is_no_target_is_told_how_to_write_one(text):
    with pytest.raises(ValueError, match=r"hf:org/name|name a branch"):
        target(text)


def test_a_type_that_the_hub_does_not_have_is_told_what_it_is_called_there():
    with pytest.raises(ValueError, match="has no studios; write hf:spaces/org/name"):
        target("hf:acme/tiny", "studio")
    with pytest.raises(ValueError, match=r"has no spaces; write ms\.ai:studios/org/name"):
        target("ms.ai:acme/tiny", "space")


def test_a_default_branch_is_the_same_by_name():
    assert same(target("hf:acme/tiny"), target("hf:acme/tiny@main"))
    assert same(target("ms:acme/tiny"), target("ms://acme/tiny@master"))
    assert not same(target("ms:acme/tiny"), target("ms.ai:acme/tiny"))
    assert not same(target("hf:acme/tiny"), target("hf:acme/tiny@v1"))


@given(repo=REPOS, rev=st.none() | REVS)
@settings(max_examples=100, deadline=None)
def test_what_is_printed_can_be_typed(repo, rev):
    assert target(str(Target(repo, rev))) == Target(repo, rev)


@given(repo=REPOS, rev=REVS, path=PATHS)
@settings(max_examples=100, deadline=None)
def test_a_key_names_its_file(repo, rev, path):
    file = File(repo, rev, path)
    assert file_of(file.key) == file


def test_other_keys_name_none():
    assert file_of("ref:huggingface/models/acme/tiny@main") is None
    assert file_of("file:huggingface/models/acme/tiny") is None


def test_a_listing_gives_files_with_the_digests_that_it_names():
    page = [
        {"type": "directory", "path": "sub", "oid": SHA, "size": 0},
        {"type": "file", "path": "small", "oid": SHA, "size": 3},
        {"type": "file", "path": "large", "oid": SHA, "size": 9, "lfs": {"oid": "b" * 64, "size": 9}},
        {"type": "file", "path": "old", "oid": SHA, "size": 9, "lfs": {"oid": "sha256:" + "c" * 64}},
        {"type": "file", "path": "odd", "oid": "?", "size": 1},
        {"type": "file", "path": "broken", "size": "1"},
        "nonsense",
    ]
    assert entries(page) == [
        Entry("small", 3, f"git:{SHA}"),
        Entry("large", 9, f"sha256:{'b' * 64}"),
        Entry("old", 9, f"sha256:{'c' * 64}"),
        Entry("odd", 1, ""),
    ]
    for nonsense in ({"error": "x"}, None, "text"):
        with pytest.raises(ValueError, match="no listing"):
            entries(nonsense)


@pytest.mark.parametrize("info", [{}, {"sha": "main"}, {"sha": 5}, [], None])
def test_an_info_without_a_commit_is_none(info):
    with pytest.raises(ValueError, match="no commit"):
        commit_of(info)


def test_the_next_page():
    assert next_page('<https://huggingface.co/api/x?cursor=3>; rel="next"') == "https://huggingface.co/api/x?cursor=3"
    assert next_page('<https://a/1>; rel="prev", <https://a/3>; rel=next') == "https://a/3"
    assert next_page('<https://a/1>; rel="prev"') is None
    assert next_page(None) is None


@pytest.mark.parametrize(
    ("path", "include", "exclude", "is_wanted"),
    [
        ("a/b.bin", [], [], True),
        ("a/b.bin", ["*.bin"], [], True),
        ("a/b.bin", ["*.txt", "a/"], [], True),
        ("a/b.bin", ["*.txt"], [], False),
        ("a/b.bin", [], ["a/*"], False),
        ("a/b.bin", ["*.bin"], ["*b.bin"], False),
        ("A.BIN", ["*.bin"], [], False),
    ],
)
def test_globs_go_over_the_whole_path(path, include, exclude, is_wanted):
    assert wanted(path, include, exclude) is is_wanted


def test_where_a_repo_has_moved():
    assert moved_to("/api/datasets/acme/tiny/revision/main") == "hf:datasets/acme/tiny"
    assert moved_to("https://huggingface.co/acme/tiny/resolve/main/x") == "hf:acme/tiny"
    assert moved_to("/login") == moved_to("/a/../b") == moved_to("//[") == ""
