"""Links and tokens of a closed repo are judged by what was told to the one to whom they were handed out."""

from __future__ import annotations

from proxy_addon.access.public import principal
from proxy_addon.answer.remembered import Learned
from proxy_addon.core.messages import Headers, Reply
from proxy_addon.hub.resources import Repo, Subject
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig, request_for
from tests.hub import TestHub

NAMED, ANOTHER = (principal(Headers([("Authorization", f"Bearer hf_{name}")])) for name in ("reader", "other"))
LICENSE = frozenset({"license"})
READER = {"Authorization": "Bearer hf_reader"}
TOKEN = {"Authorization": "Bearer xet"}
LINK = "https://cdn-lfs-us-1.hf.co/repos/a/b/c?Signature=s"
CAS = "https://cas-server.xethub.hf.co/v1/reconstructions/f"
PRIVATE = Subject(Repo("huggingface", "models", "acme/private"), "main")
OPEN = Subject(Repo("huggingface", "models", "acme/tiny"), "main")


def seen(rig: Rig, subject: Subject, url: str, headers: dict[str, str] | None = None) -> Learned | None:
    return rig.parts.engine.facts.seen(subject, LICENSE, request_for("GET", url, headers))


async def told(start: Starter) -> Rig:
    """A reader has asked for its licence."""
    r = await start()
    asked = request_for("GET", "https://huggingface.co/acme/private/resolve/main/x", READER)
    assert isinstance(await r.parts.engine.facts.find(PRIVATE, LICENSE, asked), Learned)
    return r


async def test_only_what_was_handed_out_for_it(hub: TestHub, start: Starter) -> None:
    r = await told(start)
    known = r.parts.engine.origins._known
    assert seen(r, PRIVATE, LINK) is None and seen(r, PRIVATE, CAS, TOKEN) is None
    for subject, to in ((OPEN, NAMED), (PRIVATE, ANOTHER), (PRIVATE, "")):
        known.link(LINK, subject, to=to)
        known.token("xet", subject, to=to)
        assert seen(r, PRIVATE, LINK) is None and seen(r, PRIVATE, CAS, TOKEN) is None
    known.link(LINK, PRIVATE, to=NAMED)
    known.token("xet", PRIVATE, to=NAMED)
    assert seen(r, PRIVATE, LINK) is not None and seen(r, PRIVATE, CAS, TOKEN) is not None
    assert seen(r, PRIVATE, "https://huggingface.co/acme/private") is None


async def test_by_its_commit_too_and_past_its_time_for_a_day_when_nobody_tells_more(
    hub: TestHub, start: Starter, clock: Clock
) -> None:
    r = await told(start)
    r.parts.engine.origins._known.link(LINK, PRIVATE, to=NAMED)
    head = hub.repo("acme/private").head
    assert seen(r, Subject(PRIVATE.repo, head), LINK) is not None
    assert seen(r, Subject(PRIVATE.repo, "0" * 40), LINK) is None
    clock.leap(301)
    asked = request_for("GET", LINK)
    for ahead, held in ((0, Learned), (85_000, Learned), (1_500, Reply)):
        clock.leap(ahead)
        r.parts.engine.origins._known.link(LINK, PRIVATE, to=NAMED)
        assert seen(r, PRIVATE, LINK) is None
        assert isinstance(await r.parts.engine.facts.find(PRIVATE, LICENSE, asked), held)
