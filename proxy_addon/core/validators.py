"""Validators: entity tags and modification dates, compared as RFC 9110 §8.8 says.

A tag is kept and compared as the text that came. Only a well-formed `"..."` is strong; text without quotes is nobody's
standard, is equal to itself only, and never strong.
"""

from __future__ import annotations

import re

from .dates import parse_date
from .messages import Headers

_TAG = re.compile(r'(?:W/)?"[^"]*"|[^,\s][^,]*')


def split_tags(value: str) -> tuple[str, ...]:
    """The members of If-Match or If-None-Match; commas inside a tag do not part."""
    return tuple(tag.strip() for tag in _TAG.findall(value))


def is_strong(tag: str | None) -> bool:
    return tag is not None and len(tag) > 1 and tag[0] == tag[-1] == '"'


def strong_match(one: str | None, other: str | None) -> bool:
    """RFC 9110 §8.8.3.2: both strong and the same."""
    return one == other and is_strong(one)


def weak_match(one: str | None, other: str | None) -> bool:
    """RFC 9110 §8.8.3.2: the same but for the weakness flag."""
    return one is not None and other is not None and one.removeprefix("W/") == other.removeprefix("W/")


def is_strong_date(last_modified: str | None, date: str | None) -> bool:
    """Whether Last-Modified is a strong validator: a second or more before Date (RFC 9110 §8.8.2.2)."""
    modified, made = parse_date(last_modified), parse_date(date)
    return modified is not None and made is not None and made - modified >= 1


def conditional(headers: Headers) -> Headers:
    """The conditions of a validation request for what has `headers`; empty without a validator (RFC 9111 §4.3.1)."""
    etag, modified = headers.get("etag"), headers.get("last-modified")
    fields = []
    if etag:
        fields.append(("If-None-Match", etag))
    if modified and parse_date(modified) is not None:
        fields.append(("If-Modified-Since", modified))
    return Headers(fields)
