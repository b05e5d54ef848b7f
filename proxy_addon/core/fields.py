"""Which header fields are kept, which a later answer replaces, and which requests a stored response speaks for.

What belongs to one connection or one user never enters the store: hop-by-hop fields, whatever Connection names, cookies
being set, and the fields that `private=` or `no-cache=` name (RFC 9111 §3.1, §5.2.2.4, §5.2.2.7); nor a field whose
name says that it carries a credential, whatever the response allows. A field that is kept is kept as it came.
"""

from __future__ import annotations

import re

from .directives import Directives, split_list
from .messages import Headers, Request

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_COOKIES = frozenset({"set-cookie", "set-cookie2"})
_CREDENTIAL = re.compile(
    r"token|secret|password|credential|session|signature|csrf|xsrf|api-?key|(access|subscription)-key|-api$"
    r"|(^|-)auth($|-)|authorization|^authentication-info|^cookie2?$"
)

#: Cookies of load balancers, which tell connections apart and not people (Cloudflare, AWS, Alibaba Cloud, Azure, F5).
_NOBODYS = re.compile(
    r"\s*(__cf_bm|_cfuvid|__cflb|AWSALB(TG)?(CORS)?|AWSELB(CORS)?|acw_tc|ARRAffinity(SameSite)?|BIGipServer[^=]*)="
)

#: What describes the bytes on disk, and the key they are under: a 304 or a HEAD brings neither (RFC 9111 §3.2).
_BOUND = frozenset({"content-digest", "content-encoding", "content-length", "content-md5", "content-range", "vary"})

#: Selecting fields in which neither order nor letter case has a meaning.
_UNORDERED = frozenset({"accept-charset", "accept-encoding", "accept-language"})
_SPACE = re.compile(r"[ \t]*([;=])[ \t]*")


def is_credential(name: str) -> bool:
    """Whether a field of this lower-case name is made to show who somebody is. A variant chosen by its value would put
    that into the key, on disk."""
    return _CREDENTIAL.search(name) is not None


def unlocks(headers: Headers) -> bool:
    """Whether a request may have been answered because of who sent it. RFC 9111 §3.5 asks so of Authorization; servers
    know people by cookies and by fields of their own as well."""
    return any(
        is_credential(name) and not (name == "cookie" and all(map(_NOBODYS.match, value.split(";"))))
        for name, value in ((name.lower(), value) for name, value in headers)
        if name not in HOP_BY_HOP
    )


def personal(cookies: str) -> str:
    """What of a Cookie field may tell who somebody is."""
    parts = (part.strip() for part in cookies.split(";"))
    return "; ".join(part for part in parts if part and not _NOBODYS.match(part))


def storable_fields(headers: Headers, rules: Directives) -> Headers:
    """`headers` without what must not be stored; `rules` are the response's directives."""
    drop = HOP_BY_HOP | _COOKIES | rules.field_names("private") | rules.field_names("no-cache")
    drop |= {name.lower() for line in headers.get_all("connection") for name in split_list(line)}
    return Headers(f for f in headers if (name := f[0].lower()) not in drop and not is_credential(name))


def updated(stored: Headers, new: Headers) -> Headers:
    """`stored` with every field that `new` brings replaced, as a whole, but for those bound to the bytes."""
    brought = [field for field in new if field[0].lower() not in _BOUND]
    names = {name.lower() for name, _ in brought} | {"age"}  # an old Age says nothing about what was just confirmed
    return Headers((*(field for field in stored if field[0].lower() not in names), *brought))


def _normal(name: str, value: str | None) -> str | None:
    """A selecting field's value such that equal means equivalent (RFC 9111 §4.1)."""
    if value is None:
        return None
    members = split_list(value)
    if name in _UNORDERED:
        members = sorted(_SPACE.sub(r"\1", member.lower()).removesuffix(";q=1") for member in members)
    return ", ".join(members)


def secondary_key(request: Request, headers: Headers) -> tuple[tuple[str, str | None], ...] | None:
    """What Vary makes part of the key, by field name; None for `*`, which no request matches (RFC 9111 §4.1)."""
    names = {name.lower() for line in headers.get_all("vary") for name in split_list(line)}
    if "*" in names:
        return None
    return tuple((name, _normal(name, request.headers.get(name))) for name in sorted(names))


def matches(request: Request, vary: tuple[tuple[str, str | None], ...]) -> bool:
    return all(_normal(name, request.headers.get(name)) == value for name, value in vary)
