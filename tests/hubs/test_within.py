"""A repo and a file of it, as people name them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.hub.targets import spelled, within


@pytest.mark.parametrize(
    ("text", "repo", "rev", "path"),
    [
        ("hf:a/b", "hf:a/b", None, None),
        ("hf:a/b/", "hf:a/b", None, None),
        ("hf:gpt2", "hf:gpt2", None, None),
        ("hf:gpt2@main/config.json", "hf:gpt2", "main", "config.json"),
        ("hf:a/b@v1", "hf:a/b", "v1", None),
        ("hf:a/b@v1/x/y.bin", "hf:a/b", "v1", "x/y.bin"),
        ("hf:a/b/x@y.bin", "hf:a/b", None, "x@y.bin"),
        ("hf:a/b@f%2Fx/p", "hf:a/b", "f/x", "p"),
        ("hf:datasets/a/b@refs/pr/1/x", "hf:datasets/a/b", "refs/pr/1", "x"),
        ("hf:datasets/a/b@refs/convert/parquet", "hf:datasets/a/b", "refs/convert/parquet", None),
        ("ms:studios/a/b/x y", "ms:studios/a/b", None, "x y"),
        ("ms.ai:a/b@master/z", "ms.ai:a/b", "master", "z"),
        ("hf://a/b", "hf:a/b", None, None),
    ],
)
def test_a_name_is_read(text, repo, rev, path):
    found, file = within(text)
    assert (spelled(found.repo), found.rev, file) == (repo, rev, path)


@pytest.mark.parametrize("text", ["", "hf:", "a/b", "hf:a b/c", "hf:a/b@", "hf:a/b@..", "ms:a", "x:a/b"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(ValueError, match=r"hf:org|revision|ms:org"):
        within(text)


@given(st.text(max_size=40))
def test_nothing_else_is_raised(text):
    for prefix in ("", "hf:", "ms:datasets/a/b@", "hf:a/"):
        try:
            within(prefix + text)
        except ValueError as fault:
            assert str(fault)
