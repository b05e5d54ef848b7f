"""Releases: a URL that anybody may ask for redirects to a store of objects, by a URL that is signed anew each time.

Such a redirect is never kept, but what it hands out is remembered. The body behind it is then kept by RFC 9111 under
what the signed URL names without its signature, and given to whoever comes with such a URL of his own. What was handed
out to somebody's credentials is not remembered, so it is relayed and kept for nobody.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from ..access.public import has_credentials
from ..core.errors import UpstreamFailed
from ..core.messages import Request
from ..fetch.upstream import Answer
from ..hub.paths import is_signed, unsigned, url_key
from ..hub.resources import Plain
from ..hub.signed import expiry
from .means import Means


def granted(means: Means, request: Request) -> Plain | None:
    """What the signed URL of a request names, if it was handed out."""
    known = means.issued.find(request.url)  # but for its escapes, and these may mean something to the host
    return None if known is None else Plain("other", url_key(unsigned(request.url)))


def hands_out(means: Means, request: Request, answer: Answer) -> bool:
    """Whether the answer leads to a signed URL; it is remembered if one of our hosts is to be asked by it."""
    try:
        url = (answer.location or "").partition("#")[0]
        at = urlsplit(url)
    except (UpstreamFailed, ValueError):
        return True  # nobody knows where it leads
    if not is_signed(at.query):
        return False
    ours = at.scheme == "https" and means.classifier.hub_of(at.hostname or "", 443) == "other"
    if ours and not has_credentials(request):
        means.issued.note(url, "", None, expiry(url))
    return True
