"""What `explain` and `rules diff` know by: an engine of their own on the configured cache, as a running server has one.

The rules of that engine are none, so that it denies nothing; what they would say is judged by hand. Without `ask` no
hub is asked, and all that is known is what is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..config import Settings
from ..core.messages import PORTS, Headers, Request
from ..hub import hf_listing, ms_listing
from ..hub import huggingface as hf
from ..hub import modelscope as ms
from ..hub.classify import Classifier
from ..hub.resources import File, Malformed, Resource
from ..hub.targets import within

if TYPE_CHECKING:
    from ..answer.inspection import Inspection
    from ..catalogue import Catalogue

AGENT = "hubgate; explain"
SHUT = "no hub is asked (--offline)"
#: hub -> variables of the environment that may hold the user's own token, as its clients read them
TOKENS = {hf.HUB: ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), ms.HUB: ("MODELSCOPE_API_TOKEN", "MODELSCOPE_TOKEN")}
_PREFIXES = ("hf:", "ms:", "ms.ai:")


@dataclass(frozen=True, slots=True)
class Desk:
    inspection: Inspection
    catalogue: Catalogue


@asynccontextmanager
async def inspecting(settings: Settings, *, ask: bool) -> AsyncIterator[Desk]:
    """Raises ConfigError when the cache directory is not usable."""
    from ..answer.inspection import Inspection
    from ..catalogue import Catalogue
    from ..wiring import assemble

    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    parts = await assemble(settings.model_copy(update={"rules": (), "access_log": None}))
    try:
        if not ask:
            parts.upstream.shut = SHUT
        engine = parts.engine
        yield Desk(Inspection(engine.origins, engine.facts, engine.handle, engine.contents), Catalogue(parts.store))
    finally:
        await parts.close()


class Naming:
    """From what people name to a request for it."""

    def __init__(self, settings: Settings) -> None:
        hubs = settings.hubs
        enabled = [name for name in (hf.HUB, ms.HUB) if getattr(hubs, name).enabled]
        self._classifier = Classifier(enabled=enabled, others=hubs.others)

    def request(
        self, what: str, client: str, environment: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[Request, Resource]:
        """`what` is a URL, or `hf:org/name@rev/path` and the like. Raises ValueError.

        The token that `environment` has for the hub is put into the request, as its clients do."""
        url = _url(what) if what.startswith(_PREFIXES) else what
        at = urlsplit(url)
        if at.scheme not in PORTS or not at.hostname:
            raise ValueError(
                f"{what.partition('?')[0]!r} is no URL; write https://..., hf:org/name[@revision][/path] or ms:org/name"
            )
        host, port = at.hostname.rstrip("."), at.port or PORTS[at.scheme]
        if self._classifier.hub_of(host, port) is None:
            raise ValueError(f"{host} is none of the hosts that this configuration serves, so that no rule is asked")
        found = self._classifier.classify(method, at.scheme, host, port, at.path or "/", at.query)
        if isinstance(found, Malformed):
            raise ValueError(f"{what.partition('?')[0]!r}: {found.reason}")
        fields = (("User-Agent", AGENT), ("Accept", "*/*"), *token(found.hub, environment or {}))
        request = Request(method, at.scheme, host, port, at.path or "/", at.query, Headers(fields), client=client)
        return request, found


def token(hub: str, environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Fields of a request that has the user's own token for this hub."""
    found = next((value for name in TOKENS.get(hub, ()) if (value := environment.get(name, "").strip())), "")
    return (("Authorization", f"Bearer {found}"),) if found and found.isascii() and found.isprintable() else ()


def _url(text: str) -> str:
    target, path = within(text)
    hugging = target.repo.hub == hf.HUB
    if path is not None:
        file = File(target.repo, target.revision, path)
        return hf.resolve_url(file) if hugging else ms.resolve_url(file)
    if target.rev is None:
        return hf_listing.api_url(target.repo) if hugging else ms_listing.api_url(target.repo)
    if hugging:
        return hf_listing.revision_url(target.repo, target.rev)
    return ms_listing.listing_url(target.repo, target.rev)
