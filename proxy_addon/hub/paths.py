"""The strict grammar of hub paths and the normal form of their queries.

A path that two readers could understand differently is refused: dot segments, empty segments, encoded slashes outside
the two places where the hubs themselves send them (a revision, the path of a resolve-cache URL), backslashes, NUL and
control characters, an escaped escape of any of these, text that is not UTF-8. `Ambiguous` carries the reason.
"""

from __future__ import annotations

import re
from hashlib import sha256
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes, urlencode

LONGEST = 1024  # bytes, decoded

_HIDDEN = re.compile(r"%(?:25)+(?:2[ef]|5c|0[0-9a-f]|1[0-9a-f])", re.I)
_ESCAPED = re.compile(r"%(?:25)*(?:2[ef]|5c|0[0-9a-f]|1[0-9a-f])", re.I)  # the same, in what is decoded
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
_BROKEN = re.compile(r"%(?![0-9a-fA-F]{2})")
_NEEDLESS = re.compile(r"%(?:[46][1-9a-f]|[57][0-9a]|3[0-9]|2[de]|5f|7e)", re.I)
_RAW = re.compile(r"[^\x21-\x7e]")


class Ambiguous(ValueError):
    """The path has more than one reading; the text says why."""


def segments(raw: str) -> tuple[str, ...]:
    """Raw segments of an absolute path, still percent-encoded, each checked; a trailing slash is dropped."""
    if not raw.startswith("/"):
        raise Ambiguous("the path does not start with '/'")
    if len(raw) > 4 * LONGEST or _RAW.search(raw) or _BROKEN.search(raw):
        raise Ambiguous("the path is too long or not percent-encoded as RFC 3986 asks")
    parts = raw[1:].split("/")
    if parts and parts[-1] == "":
        parts.pop()
    if len(raw) > LONGEST and len(unquote_to_bytes(raw)) > LONGEST:
        raise Ambiguous(f"the path is longer than {LONGEST} bytes")
    if _HIDDEN.search(raw):
        raise Ambiguous("the path hides a separator behind a double escape")
    for part in parts:
        plain(part, slashes=True)
    return tuple(parts)


def plain(part: str, *, slashes: bool = False) -> str:
    """One segment, decoded. `slashes`: an encoded slash may stand in it (a ref, a resolve-cache path)."""
    try:
        text = unquote(part, errors="strict") if "%" in part else part
    except UnicodeDecodeError:
        raise Ambiguous("the path is not UTF-8") from None
    if _ESCAPED.search(text):  # "%25%32%66"
        raise Ambiguous("the path hides a separator behind a double escape")
    return sound(text, slashes=slashes)


def sound(text: str, *, slashes: bool = False) -> str:
    """The same check for what is decoded already."""
    if _UNSAFE.search(text):
        raise Ambiguous("the path holds a control character, a backslash or what is no text")
    if len(text) > LONGEST:
        raise Ambiguous(f"the path is longer than {LONGEST} characters")
    if not slashes and "/" in text:
        raise Ambiguous("the path hides a slash")
    if any(p in ("", ".", "..") for p in text.split("/")):
        raise Ambiguous("the path has an empty or a dot segment")
    return text


def joined(parts: tuple[str, ...], *, slashes: bool = False) -> str:
    return "/".join(plain(p, slashes=slashes) for p in parts)


def without_git(id: str) -> str:
    """The name of a repo as it stands in a path, where git puts a `.git` behind it; no hub's name ends so."""
    return id[:-4] if id[-4:].lower() == ".git" and id[-5:-4] not in ("", "/") else id


def unescaped(part: str) -> str:
    """Without the escapes that mean nothing: of letters, digits and `-._~` (RFC 3986 §6.2.2.2)."""
    return _NEEDLESS.sub(lambda found: chr(int(found[0][1:], 16)), part)


def the_only(query: str, name: str) -> str:
    """A parameter by which a repo, a revision or a file is named; empty if it is not there.

    Raises `Ambiguous` where two readers may find different ones: twice, in any case, with different values."""
    values = {value for key, value in parse_qsl(query, keep_blank_values=True) if key.lower() == name.lower()}
    if len(values) > 1:
        raise Ambiguous(f"the query names {name!r} twice")
    return next(iter(values), "")


def parameters(query: str) -> dict[str, str]:
    """The parameters of a query in which each is named once, decoded as forms are (`+` is a space)."""
    if _HIDDEN.search(query) or _BROKEN.search(query):
        raise Ambiguous("the query hides a separator behind a double escape, or is not percent-encoded")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise Ambiguous("the query is not UTF-8") from None
    if any(_ESCAPED.search(value) for _, value in pairs):
        raise Ambiguous("the query hides a separator behind a double escape")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Ambiguous("the query names a parameter twice")
    return found


def quoted(path: str) -> str:
    """A decoded path as it goes into a URL."""
    return quote(path, safe="/")


def quoted_rev(rev: str) -> str:
    return quote(rev, safe="")


#: Query parameters that make a URL a permission: it must not be kept, not even as a key.
_SIGNATURES = frozenset({"signature", "x-amz-signature", "x-goog-signature", "sig", "key-pair-id", "auth_key"})


def is_signed(query: str) -> bool:
    return any(name.lower() in _SIGNATURES for name, _ in parse_qsl(query, keep_blank_values=True))


_TOKENS = frozenset({"__sign", "token", "access_token", "private_token", "api_key", "apikey", "authorization"})


def permits(query: str) -> bool:
    """Whether a parameter is a signature, or a token of somebody's."""
    return is_signed(query) or any(name.lower() in _TOKENS for name, _ in parse_qsl(query, keep_blank_values=True))


#: Which parameters are of the signature, by the one that holds it: S3, Google, CloudFront, Azure.
_OF_A_SIGNATURE = {
    "x-amz-signature": re.compile("x-amz-.*"),
    "x-goog-signature": re.compile("x-goog-.*"),
    "signature": re.compile("signature|expires|policy|key-pair-id|googleaccessid|awsaccesskeyid"),
    "sig": re.compile("sig|s[eprtv]|spr|sip|sk[estv]|skoid|sktid|jwt"),
    "auth_key": re.compile("auth_key"),
}


def unsigned(url: str) -> str:
    """What a signed URL names, whoever signed it and until when."""
    place, _, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    gone = [_OF_A_SIGNATURE[name] for name in (k.lower() for k, _ in pairs) if name in _OF_A_SIGNATURE]
    kept = [(k, v) for k, v in pairs if not any(g.fullmatch(k.lower()) for g in gone)]
    return f"{place}?{urlencode(kept, errors='surrogatepass')}"


def url_key(url: str) -> str:
    """The cache key of a plain URL. Keys are on disk, and a query may be a signature: only its digest goes there."""
    place, mark, query = url.partition("?")
    return f"plain:{place}" + (f"?{sha256(query.encode(errors='surrogatepass')).hexdigest()[:32]}" if mark else "")


_BOOLEANS = {"True": "true", "False": "false"}


def normal_query(query: str) -> str:
    """Sorted, with Python's booleans in lower case: httpx, requests and Rust clients then ask for the same thing."""
    if not query:
        return ""
    pairs = [(k, _BOOLEANS.get(v, v)) for k, v in parse_qsl(query, keep_blank_values=True)]
    return urlencode(sorted(pairs), errors="surrogatepass")
