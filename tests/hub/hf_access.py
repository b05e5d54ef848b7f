"""Who may see a repo, said the way the hub says it.

A repo that is missing and one that is private look alike: 401 without a token, 404 with one. A gated repo shows its
metadata to everybody and its files to those who were let in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .exchange import Answer, Exchange, error, redirect
from .repo import PLURAL, Repo

if TYPE_CHECKING:
    from .server import TestHub

TYPES = frozenset(PLURAL.values()) - {"studios"}
AUTHENTICATE = ("WWW-Authenticate", 'Bearer realm="Authentication required", charset="UTF-8"')
DISABLED = "Access to this resource is disabled."
BAD_TOKEN = "Invalid credentials in Authorization header"


def find(hub: TestHub, ex: Exchange, type: str, id: str) -> Repo | Answer:
    """The repo under this name, or the answer in its stead."""
    if ex.token and ex.token not in hub.tokens:
        return error(401, BAD_TOKEN, None, AUTHENTICATE)
    if new := hub.renamed.get(f"{type}/{id}"):
        return redirect(307, ex.target.replace(f"/{id}", f"/{new}", 1))
    repo = hub.repos.get((type, id))
    if repo is None:
        others = [r for (t, i), r in hub.repos.items() if t == type and i.lower() == id.lower()]
        if others and _may_see(ex, others[0]):
            return redirect(307, ex.target.replace(f"/{id}", f"/{others[0].id}", 1))
    if repo is None or not _may_see(ex, repo):
        if ex.token:
            return error(404, "Repository not found", "RepoNotFound")
        return error(401, "Invalid username or password.", None, AUTHENTICATE)
    return repo


def files_denied(ex: Exchange, repo: Repo) -> Answer | None:
    """Why the files of a repo that one may see cannot be had; None when they can."""
    if repo.disabled:
        return error(403, DISABLED)
    if not repo.gated or ex.token in repo.admitted:
        return None
    kind = repo.type
    if ex.token is None:
        message = (
            f"Access to {kind} {repo.id} is restricted. You must have access to it and be authenticated to access it. "
            "Please log in."
        )
        return error(401, message, "GatedRepo", AUTHENTICATE)
    message = (
        f"Access to {kind} {repo.id} is restricted and you are not in the authorized list. "
        f"Visit https://huggingface.co/{repo.web} to ask for access."
    )
    return error(403, message, "GatedRepo")


def _may_see(ex: Exchange, repo: Repo) -> bool:
    return not repo.private or ex.token in repo.admitted
