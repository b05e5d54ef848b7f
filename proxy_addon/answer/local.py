"""What is answered without a hub and without anything of it: what cannot be read, what nobody waits for, plain HTTP."""

from __future__ import annotations

from ..core.messages import Headers, Reply, Request
from ..core.status import Detail, Outcome
from ..hub.resources import Malformed, Resource, Telemetry
from .replies import refusal


def locally(request: Request, resource: Resource) -> Reply | None:
    match resource:
        case _ if request.scheme == "http" and resource.hub not in ("other", "-"):
            target = f"https://{request.host}{request.target}"  # a hub is never spoken to in the clear
            return Reply(308, Headers((("Location", target), ("Content-Length", "0"))), b"", _OURS)
        case Malformed(reason):
            return refusal(request, 400, f"hubgate: {reason}", Detail.MALFORMED)
        case Telemetry():
            return Reply(200, Headers((("Content-Length", "0"),)), b"", _OURS)
        case _:
            return None


_OURS = Outcome(detail=Detail.LOCAL)
