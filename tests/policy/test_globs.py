import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.policy.globs import MAX_LENGTH, glob, globs


@pytest.mark.parametrize(
    ("text", "name", "fits"),
    [
        ("Qwen/*", "qwen/Qwen3-8B", True),
        ("Qwen/*", "Qwen/a/b", False),
        ("Qwen/*", "Qwen2/a", False),
        ("meta-llama/Llama-4-*", "Meta-Llama/llama-4-scout", True),
        ("**/*.bin", "model.bin", True),
        ("**/*.bin", "a/b/MODEL.BIN", True),
        ("**/*.bin", "a/bin", False),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("a/**/b", "a/b", True),
        ("a/**/b/**/c*d", "a/x/b/y/b/c-d", True),
        ("a/**/b/**/c*d", "a/x/y/b-/c-d", False),
        ("**", "gpt2", True),
        ("*a*b", "xaab", True),
        ("*a*b", "xaba", False),
        ("a.c", "abc", False),
        ("a[bc]?", "a[bc]?", True),
        ("torch._utils.*", "torch._utils.a.b", True),
    ],
)
def test_what_a_glob_fits(text, name, fits):
    assert glob(text).matches(name) is fits
    assert globs(["never", text]).matches(name) is fits


@pytest.mark.parametrize("text", ["", "a**", "**.bin", "a/b**/c", "x" * (MAX_LENGTH + 1)])
def test_what_is_no_glob(text):
    with pytest.raises(ValueError, match="write"):
        glob(text)


def test_the_longest_literal_prefix_that_fits_is_told():
    several = globs(["a/*", "a/bc*", "a/bcd", "z/long-but-other"])
    assert [several.prefix(name) for name in ("a/x", "a/bcx", "A/BCD", "q/q")] == [2, 4, 5, -1]


def plainly(segments, parts):
    """The meaning of a glob, without any care for time."""
    if not segments:
        return not parts
    if segments[0] == "**":
        return any(plainly(segments[1:], parts[n:]) for n in range(len(parts) + 1)) if segments[1:] else bool(parts)
    if not parts:
        return False
    fits = re.fullmatch("[^/]+" if segments[0] == "*" else segments[0].replace("*", "[^/]*"), parts[0])
    return bool(fits) and plainly(segments[1:], parts[1:])


_SEGMENTS = st.lists(st.one_of(st.just("**"), st.text("ab*", min_size=1, max_size=4)), min_size=1, max_size=5)


@given(_SEGMENTS, st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5))
@settings(max_examples=500, deadline=None)
def test_a_compiled_glob_means_what_it_says(segments, parts):
    segments = [each if each == "**" else re.sub(r"\*+", "*", each) for each in segments]
    assert glob("/".join(segments)).matches("/".join(parts)) is plainly(segments, parts)


@pytest.mark.parametrize("text", ["*a" * 200, "**/a/" * 80 + "b", "**/*a*a*a*a*a*a*b", "/".join(["*a*a*b"] * 30)])
def test_no_name_makes_a_glob_slow(text):
    """Without atomic groups each of these takes longer than anybody waits (the run has a time limit)."""
    for name in ("a" * 4096, "a/" * 2048, "aa/" * 1300 + "c"):
        assert not glob(text).matches(name + "!")
