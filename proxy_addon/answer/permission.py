"""What a client shows to a hub, and as whom that makes him known here.

Of his fields only those count by which the hub tells users apart, and just these are sent when the hub is asked on his
behalf: a lease is proven with all that names its holder, and with nothing else. They go to the host that he addressed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..access.public import principal
from ..core.messages import Headers, Request
from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.classify import HOMES
from ..hub.resources import Repo
from .agent import agent_of, asking
from .means import Means

OTHER_NAMES = frozenset(f"https://{host}" for host in hf.HOME_HOSTS) - {hf.ORIGIN}  # which no client goes by

_REFUSALS = frozenset({401, 403, 404, 410, 451})
_SAYS_NOTHING = frozenset({"EntryNotFound", "RevisionNotFound"})  # of who may read the repo
_SESSION, _OPEN_SESSION = "m_session_id", "modelscope_session"  # of ModelScope, which sets others in every answer


@dataclass(frozen=True, slots=True)
class Permission:
    holder: str  # as leases call him
    origin: str  # "https://host", which he addressed
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    principal: str = ""
    agent: str = "hubgate"

    @property
    def asking(self) -> tuple[tuple[str, str], ...]:
        return (*asking(self.agent), *self.fields)


def permission(means: Means, request: Request, repo: Repo) -> Permission | None:
    """None if the client has shown the repo's hub nothing, or nothing that can be read in one way only."""
    if request.host not in HOMES[repo.hub, repo.site] or request.origin != f"https://{request.host}":
        return None
    tokens = request.headers.get_all("authorization")
    token = [("Authorization", token) for token in tokens if token.strip()]
    if len(tokens) > 1:
        return None
    if repo.hub == ms.HUB:
        sessions = list(_sessions(request.headers))
        named = [(name, text) for name, text in sessions if name == _SESSION or (_SESSION, text) not in sessions]
        cookie, known = ("; ".join(f"{name}={text}" for name, text in each) for each in (sessions, named))
    else:
        cookie = known = "" if token else "; ".join(request.headers.get_all("cookie")).strip()
    if not token and not cookie:
        return None
    shown = (*token, *((("Cookie", cookie),) if cookie else ()))
    holder = means.leases.name(repo.hub, repo.site, *(text for each in token for text in each), known)
    return Permission(holder, request.origin, shown, principal(Headers(shown)), agent_of(request.headers))


def refuses(status: int, code: str) -> bool:
    """Whether the hub has said, with this error code, that who asked may not read the repo."""
    return status in _REFUSALS and code not in _SAYS_NOTHING


def _sessions(headers: Headers) -> Iterator[tuple[str, str]]:
    """Names and what they hold. The open API has a name of its own for the same, which says nothing new of him."""
    for line in headers.get_all("cookie"):
        for part in line.split(";"):
            name, _, value = part.partition("=")
            if name.strip() in (_SESSION, _OPEN_SESSION) and value.strip():
                yield name.strip(), value.strip()
