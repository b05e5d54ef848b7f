"""`uploads: deny`: what writes to a hub is refused here, without a word to the hub.

Whatever a hub's grammar does not know as a read counts as writing. Hosts that are no hub are not meant: what a POST
does there nobody here knows. The message is put where each tool looks: `X-Error-Message` and JSON for hub clients, JSON
for git-lfs, text for git.
"""

from __future__ import annotations

from ..core.messages import Reply, Request
from ..core.status import Detail
from ..hub.resources import Kind, Passed, Resource
from .replies import refusal

MESSAGE = (
    "hubgate: nothing was sent to the hub, because this proxy is read-only (uploads: deny in its configuration). "
    "Upload without the proxy, or ask whoever runs it to set uploads: allow."
)


def writes(resource: Resource) -> bool:
    """Whether the request changes something at a hub, or prepares to."""
    return (
        isinstance(resource, Passed)
        and resource.hub != "other"
        and (resource.kind is Kind.UPLOAD or resource.repo is not None)
    )


def denied(request: Request, resource: Resource) -> Reply:
    reply = refusal(request, 403, MESSAGE, Detail.DENIED, hub=resource.hub, kind=resource.kind)
    if resource.kind is not Kind.GIT or "/info/lfs/" in request.path:
        return reply
    text = MESSAGE.encode() + b"\n"
    reply.headers = reply.headers.replace(("Content-Type", "text/plain"), ("Content-Length", str(len(text))))
    reply.body = b"" if request.method == "HEAD" else text
    return reply
