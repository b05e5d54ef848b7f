"""One name for a revision: that of a branch or a tag, all of its ref, or the digits of a commit.

git finds a commit by many more texts (gitrevisions(7)): by where it stands to another (`dev^0`, `dev~1`), by a ref of
which the beginning is left out (`heads/dev`, `pr/1`), by what somebody has checked out (`HEAD`). What a hub makes of
those nobody promises, and a rule for `dev` would not know them again: they are refused, and so is what can be no ref's
name at all (git-check-ref-format(1)). What is really called `heads/dev` has a name, too: `refs/heads/heads/dev`. A
commit's id may be shortened, in either case: which commit that is says the hub, and rules for it ask.

Where a hub itself gives a revision a second name, and clients use it, both are the one that rules know.
"""

from __future__ import annotations

import re

from .paths import Ambiguous

#: Every repo of Hugging Face has the trunk `main`, and the hub's own JavaScript asks for HEAD; by `~parquet` DuckDB,
#: Polars and fsspec ask for what the hub has made of a data set.
_SECOND_NAMES = {"huggingface": {"HEAD": "main", "~parquet": "refs/convert/parquet"}}
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|(?:\A|/)\.|(?:\.|\.lock)(?:/|\Z)|\A@\Z", re.IGNORECASE)
_LACKS_REFS = re.compile(r"(?:(?:heads|tags|remotes|convert)/|pr/[0-9]+\Z)", re.IGNORECASE)
_CHECKED_OUT = re.compile(r"(?:[A-Z]+_)*HEAD")  # `lm_head` is a name like others
_BARE = re.compile(r"refs(?:/(?:heads|tags|remotes|pr|convert))?", re.IGNORECASE)


def known_as(hub: str, rev: str) -> str:
    """By the name that rules know."""
    return _SECOND_NAMES.get(hub, {}).get(rev, rev)


def check(rev: str) -> None:
    """Raises `Ambiguous` for what is decoded, has no empty segment and is no revision's own name."""
    if _NO_REF.search(rev):
        raise Ambiguous("the revision can be no name in git; write a branch, a tag, or a commit's id")
    if _LACKS_REFS.match(rev) or _BARE.fullmatch(rev):
        raise Ambiguous(
            "the revision is part of a ref; write a branch or a tag by its name, or all of the ref: refs/..."
        )
    if _CHECKED_OUT.fullmatch(rev):
        raise Ambiguous("the revision is HEAD or the like; write the name of the branch")
