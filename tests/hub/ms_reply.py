"""How ModelScope says things: every JSON answer in one envelope, and a failure often with HTTP 200.

A code that begins with 10990101 comes from the git service behind the site, whose failures travel as 200.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from .exchange import Answer, Exchange, as_json
from .repo import Repo

if TYPE_CHECKING:
    from .server import TestHub

NO_REPO = 10010205001
NO_FILE = 10990101007
BAD_TOKEN = 10010103009
DENIED = 10990101003
SESSION = "m_session_id"
TYPES = frozenset({"models", "datasets", "studios"})
_asked = itertools.count(1)


def request_id() -> str:
    return f"{next(_asked):08x}-0000-4000-8000-000000000000"


def said(data: Any, **beside: Any) -> Answer:
    envelope = {"Code": 200, "Data": data, "Message": "success", "RequestId": request_id(), "Success": True}
    return as_json(envelope | beside)


def failed(status: int, code: int, message: str) -> Answer:
    body = {"Code": code, "Message": message, "RequestId": request_id(), "Success": False}
    return as_json(body, status=status)


def token_of(ex: Exchange) -> str | None:
    """The Bearer token, or else the one in the session cookie: old SDKs send the cookie only. The open API takes one
    by another name, too."""
    cookies = (part.strip().partition("=") for part in ex.header("cookie").split(";"))
    names = {SESSION, "modelscope_session"} if ex.path.startswith("/openapi/") else {SESSION}
    return ex.token or next((value for name, _, value in cookies if name in names and value), None)


def find(hub: TestHub, ex: Exchange, type: str, id: str) -> Repo | None:
    """The repo, if this site has it and the caller may know of it. A token that is not known is no token."""
    site = "ai" if ex.host.endswith(".ai") else "cn"
    repo = hub.modelscope.get((type, id)) or next(
        (r for (kind, _), r in hub.modelscope.items() if kind == type and id == str(number(r))), None
    )
    if repo is None or site not in repo.sites or (repo.private and not admitted(ex, repo)):
        return None
    return repo


def no_repo(id: str) -> Answer:
    return failed(404, NO_REPO, f"the repository {id} does not exist, or you may not see it")


def files_denied(ex: Exchange, repo: Repo) -> Answer | None:
    """Why the files of a repo that one may see cannot be had; None when they can."""
    if not repo.disabled and (not repo.gated or admitted(ex, repo)):
        return None
    return failed(403, DENIED, f"access denied: {repo.id} is open to those who asked for it and were let in")


def admitted(ex: Exchange, repo: Repo) -> bool:
    return token_of(ex) in repo.admitted


def number(repo: Repo) -> int:
    """The id that ModelScope gives a repo; some routes take it in place of the name."""
    return int(repo.object_id[:7], 16)
