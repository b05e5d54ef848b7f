"""The facts of a repo: asked for once, kept as long as they hold, and never somebody else's."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from proxy_addon.answer.facts import FactFinder
from proxy_addon.answer.remembered import Learned
from proxy_addon.answer.replies import SMALL
from proxy_addon.core.errors import UpstreamFailed
from proxy_addon.core.messages import Reply
from proxy_addon.hub import modelscope
from proxy_addon.hub.resources import Repo, Subject
from proxy_addon.policy.facts import GATES, UNKNOWN, Gate
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig, request_for
from tests.hub import Repo as HubRepo
from tests.hub import Synthetic, TestHub
from tests.hub.ms_reply import number

H = "https://huggingface.co"
READER, OTHER = {"Authorization": "Bearer hf_reader"}, {"Authorization": "Bearer hf_other"}
TINY = Subject(Repo("huggingface", "models", "acme/tiny"), "main")
EVERY = frozenset(name for name, gate in GATES.items() if gate is Gate.REPO)
LICENSE = frozenset({"license"})


def of(id: str, rev: str | None = None, type: str = "models", hub: str = "huggingface", **more: Any) -> Subject:
    return Subject(Repo(hub, type, id), rev, **more)


def finder(rig: Rig) -> FactFinder:
    return rig.parts.engine.facts


async def find(
    rig: Rig, subject: Subject, need: Iterable[str] = LICENSE, headers: dict[str, str] | None = None, url: str = H
) -> Learned | Reply:
    return await finder(rig).find(subject, frozenset(need), request_for("GET", f"{url}/x", headers))


async def learned(
    rig: Rig, subject: Subject, *need: str, headers: dict[str, str] | None = None, url: str = H
) -> Learned:
    found = await find(rig, subject, need or ("license",), headers, url)
    assert isinstance(found, Learned)
    return found


async def licence(rig: Rig, subject: Subject, headers: dict[str, str] | None = None, url: str = H) -> object:
    found = (await learned(rig, subject, headers=headers, url=url)).values["license"]
    return ", ".join(each.id for each in found) if isinstance(found, tuple) else found


async def refusal(rig: Rig, subject: Subject, headers: dict[str, str] | None = None, url: str = H) -> Reply:
    found = await find(rig, subject, LICENSE, headers, url)
    assert isinstance(found, Reply)
    return found


def seen(rig: Rig, subject: Subject, *need: str, headers: dict[str, str] | None = None) -> Learned | None:
    return finder(rig).seen(subject, frozenset(need or ("license",)), request_for("GET", f"{H}/x", headers))


def card(*lines: str) -> str:
    return "\n".join(["---", *lines, "---", "", "# Model", ""])


# -- what is learned ------------------------------------------------------------------------------------------------


async def test_every_fact_and_where_it_came_from(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    found = await learned(r, of("acme/tiny", "main", path="old.bin"), *EVERY)
    commit = repo.commits[repo.head]
    assert {k: v for k, v in found.values.items() if k != "license"} == {
        "commit": repo.head,
        "license_conflict": None,
        "gated": False,
        "private": False,
        "repo_size": sum(f.size for f in commit.files.values()),
        "tags": ("license:apache-2.0", "region:us"),
        "base_model": (),
        "hub_scan": "safe",
        "revision_age": float(commit.when),
        "has_safetensors_twin": True,
        "author": "acme",
    }
    assert await licence(r, TINY) == "apache-2.0"
    assert found.sources.keys() == found.values.keys() == EVERY
    assert found.sources["license"] == f"card of acme/tiny at {repo.head[:12]}"
    assert found.sources["repo_size"] == f"sizes of the files of acme/tiny at {repo.head[:12]}"
    assert found.name == ""
    assert [(q.path, q.query) for q in hub.requests()] == [
        ("/api/models/acme/tiny/revision/main", ""),
        *sorted(
            [
                (f"/api/models/acme/tiny/revision/{repo.head}", "blobs=true"),
                (f"/api/models/acme/tiny/revision/{repo.head}", "securityStatus=true"),
            ],
            key=lambda asked: [q.query for q in hub.requests()].index(asked[1]),
        ),
    ]


async def test_facts_of_content_are_not_ours(hub: TestHub, start: Starter) -> None:
    r = await start()
    assert (await learned(r, TINY, "digest", "pickle_imports", "template")).values == {}
    assert hub.requests() == []
    assert (await learned(r, TINY, "digest", "gated")).values == {"gated": False}


async def test_each_revision_has_a_licence_of_its_own(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.add(HubRepo("acme/turned", files={"README.md": card("license: mit")}))
    free = repo.head
    closed = repo.commit({"README.md": card("license: cc-by-nc-4.0")})
    assert await licence(r, of("acme/turned", free)) == "mit"
    assert await licence(r, of("acme/turned", closed)) == "cc-by-nc-4.0"
    assert await licence(r, of("acme/turned", "main")) == await licence(r, of("acme/turned")) == "cc-by-nc-4.0"


async def test_what_the_hub_does_not_tell_is_unknown(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.add(HubRepo("acme/bare", files={"a.txt": "x"}))
    found = await learned(r, of("acme/bare"), *EVERY)
    assert found.values["license"] is UNKNOWN and found.values["has_safetensors_twin"] is False
    assert hub.requests(path="*/raw/*/README.md", status=404)
    hub.knob(path="/api/models/acme/bare*", status=200, body="[1, 2]")
    nothing = await learned(r, of("acme/bare", "main"), *EVERY)
    assert all(value is UNKNOWN for value in nothing.values.values())


async def test_a_bucket_has_no_such_facts(hub: TestHub, start: Starter) -> None:
    found = await learned(await start(), of("acme/bucket", type="buckets"), *EVERY)
    assert all(value is UNKNOWN for value in found.values.values())
    assert hub.requests() == []


@pytest.mark.parametrize("id", ["acme/tiny?x=1", "acme/tiny#x", "acme/ti ny", "acme/%74iny", "acme/t\u00edny"])
async def test_a_name_that_no_url_takes_as_it_is(hub: TestHub, start: Starter, id: str) -> None:
    r = await start()
    for subject in (of(id), of(id, "main"), ms(id)):
        assert (await learned(r, subject, "license", "repo_size")).values == {"license": UNKNOWN, "repo_size": UNKNOWN}
    assert hub.requests() == []


async def test_a_readme_that_is_not_there_says_nothing(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.add(HubRepo("acme/bare", files={"a.txt": "x"}))
    hub.knob(path="*/raw/*", status=404, headers={"X-Error-Code": "EntryNotFound"}, body=card("license: mit"))
    assert await licence(r, of("acme/bare")) is UNKNOWN


async def test_the_readme_is_read_only_where_the_info_has_no_licence(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.add(HubRepo("acme/late", files={"README.md": card("license: gpl-3.0")}, info={"cardData": None, "tags": []}))
    await learned(r, of("acme/late", "main"), "gated", "tags")
    assert hub.requests(path="*/raw/*") == []
    found = await learned(r, of("acme/late", "main"), "license")
    assert [each.id for each in found.values["license"]] == ["gpl-3.0"]  # type: ignore[attr-defined]
    assert found.sources["license"] == f"README.md of acme/late at {hub.repo('acme/late').head[:12]}"
    assert await licence(r, TINY) == "apache-2.0"
    assert len(hub.requests(path="*/raw/*")) == 1


async def test_a_file_s_own_scan_and_twin(hub: TestHub, start: Starter) -> None:
    r = await start()
    issues = [{"path": "x/bad.bin", "level": "unsafe"}]
    files = {"x/bad.bin": "a", "x/ok.bin": "b", "ok.safetensors": "c"}
    hub.add(HubRepo("acme/scanned", files=files, issues=issues))
    for path, level, twin in (("x/bad.bin", "unsafe", False), ("x/ok.bin", "safe", False), ("ok.bin", "safe", True)):
        found = await learned(r, of("acme/scanned", "main", path=path), "hub_scan", "has_safetensors_twin")
        assert found.values == {"hub_scan": level, "has_safetensors_twin": twin}
    assert (await learned(r, of("acme/scanned", "main"), "hub_scan")).values == {"hub_scan": "unsafe"}
    assert len(hub.requests()) == 2


async def test_a_scan_is_asked_for_again_also_at_a_commit(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    subject = of("acme/tiny", repo.head, path="old.bin")
    assert (await learned(r, subject, "hub_scan")).values == {"hub_scan": "safe"}
    repo.issues = [{"path": "old.bin", "level": "unsafe"}]
    clock.leap(301)
    assert (await learned(r, subject, "hub_scan")).values == {"hub_scan": "unsafe"}


# -- how often the hub is asked -------------------------------------------------------------------------------------


async def test_cold_warm_and_after_a_restart(hub: TestHub, start: Starter) -> None:
    r = await start()
    assert seen(r, TINY) is None
    assert await licence(r, TINY) == "apache-2.0"
    assert len(hub.requests()) == 1
    known = seen(r, TINY, "license", "gated", "tags")
    assert known is not None and known.values["gated"] is False
    assert seen(r, TINY, "license", headers=OTHER) is not None, "what anybody may know"
    assert seen(r, TINY, "repo_size") is None
    await r.close()
    again = await start()
    assert seen(again, TINY) is None
    assert await licence(again, TINY) == "apache-2.0"
    assert len(hub.requests()) == 1


async def test_one_stored_answer_for_clients_and_rules(hub: TestHub, start: Starter) -> None:
    r = await start()
    await r.get(f"{H}/api/models/acme/tiny/revision/main", {"User-Agent": "hf_hub/1"})
    assert await licence(r, TINY) == "apache-2.0"
    assert await licence(r, of("acme/tiny")) == "apache-2.0"
    await r.get(f"{H}/api/models/acme/tiny")
    assert [q.path for q in hub.requests()] == ["/api/models/acme/tiny/revision/main", "/api/models/acme/tiny"]


async def test_asked_again_when_it_is_too_old(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    pinned = of("acme/tiny", repo.head)
    assert await licence(r, TINY) == await licence(r, pinned) == "apache-2.0"
    repo.commit({"README.md": card("license: mit")})
    clock.leap(290)
    assert await licence(r, TINY) == "apache-2.0"
    clock.leap(11)
    assert seen(r, TINY) is None and seen(r, pinned) is not None
    assert await licence(r, TINY) == "mit"
    clock.leap(23 * 3600)
    hub.clear()
    assert await licence(r, pinned) == "apache-2.0" and hub.requests() == []
    clock.leap(3600)
    assert seen(r, pinned) is None
    assert await licence(r, pinned) == "apache-2.0" and len(hub.requests()) == 1


async def test_two_clients_at_once_are_one_request(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.knob(hold="info")
    asking = [asyncio.create_task(licence(r, TINY)) for _ in range(8)]
    await asyncio.to_thread(hub.wait, 1)
    hub.release("info")
    assert set(await asyncio.gather(*asking)) == {"apache-2.0"}
    assert len(hub.requests()) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache-Control": "no-cache"}, {"Cache-Control": "no-store"}, {"Cache-Control": "only-if-cached"},
        {"Cache-Control": "max-age=0"}, {"Pragma": "no-cache"}, {"Range": "bytes=0-1"}, {"If-None-Match": "*"},
        {"If-Range": "x", "Range": "bytes=5-"}, {"Accept": "text/html", "X-Forwarded-For": "1.2.3.4"},
    ],
)  # fmt: skip
async def test_a_client_cannot_change_how_facts_are_found(
    hub: TestHub, start: Starter, headers: dict[str, str]
) -> None:
    r = await start()
    assert await licence(r, TINY, {**headers, "User-Agent": "me/1"}) == "apache-2.0"
    sent = hub.requests()[0].headers
    assert sent.keys() == {"host", "user-agent", "accept", "accept-encoding"} and sent["accept"] == "*/*"
    assert sent["user-agent"] == "me/1"
    await r.close()
    assert await licence(await start(), TINY, headers) == "apache-2.0"
    assert len(hub.requests()) == 1, "what is stored is used, whatever the client says"


# -- a hub that fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "told"), [(500, 500), (503, 503), (504, 504), (429, 429)])
async def test_a_hub_that_fails_is_no_answer(hub: TestHub, start: Starter, status: int, told: int) -> None:
    r = await start()
    hub.knob(status=status)
    for headers in ({}, READER):
        with pytest.raises(UpstreamFailed) as failed:
            await find(r, TINY, headers=headers)
        assert failed.value.status == told
    assert seen(r, TINY) is None
    hub.unknob()
    assert len(hub.requests(path="*/raw/*")) == 0


async def test_a_part_that_fails_is_not_remembered_as_unknown(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.knob(path="/api/*", skip=1, times=1, status=500)
    with pytest.raises(UpstreamFailed):
        await find(r, TINY, {"license", "repo_size"})
    assert isinstance((await learned(r, TINY, "license", "repo_size")).values["repo_size"], int)


async def test_what_it_said_before_stands_in(hub: TestHub, start: Starter, clock: Clock) -> None:
    r = await start()
    await licence(r, TINY)
    clock.leap(400)
    hub.stop()
    assert await licence(r, TINY) == "apache-2.0"
    clock.leap(8)
    assert seen(r, TINY) is not None, "for a moment, so that not each request waits"
    clock.leap(3)
    assert seen(r, TINY) is None
    assert await licence(r, TINY) == "apache-2.0"
    with pytest.raises(UpstreamFailed) as failed:
        await find(r, of("acme/nc"))
    assert failed.value.status == 504
    clock.leap(8 * 86400)
    with pytest.raises(UpstreamFailed):
        await find(r, TINY)


async def test_when_anybody_s_share_is_used_up_the_client_has_its_own(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.knob(times=1, status=429, retry_after=60)
    assert await licence(r, TINY, READER) == "apache-2.0"
    assert [q.headers.get("authorization") for q in hub.requests()] == [None, "Bearer hf_reader"]
    assert seen(r, TINY) is None and seen(r, TINY, headers=READER) is not None


# -- repos that are closed ------------------------------------------------------------------------------------------


async def test_a_private_repo_is_asked_about_with_the_client_s_own_token(hub: TestHub, start: Starter) -> None:
    r, private = await start(), of("acme/private", "main")
    assert await licence(r, private, READER) == "mit"
    assert [q.headers.get("authorization") for q in hub.requests()] == [None, "Bearer hf_reader"]
    assert await licence(r, private, READER) == "mit"
    found = await learned(r, private, "private", "repo_size", headers=READER)
    assert found.values["private"] is True and found.values["repo_size"]
    assert len(hub.requests()) == 3
    assert not [row async for row in r.kept()], "nothing of it is on disk"


async def test_what_a_token_brought_is_for_nobody_else(hub: TestHub, start: Starter) -> None:
    r, private = await start(), of("acme/private", "main")
    await licence(r, private, READER)
    for headers in ({}, OTHER, {"Cookie": "token=hf_reader"}):
        assert seen(r, private, headers=headers) is None
        hub.clear()
        assert (await refusal(r, private, headers)).status in (401, 404)
        assert hub.requests()
    assert await licence(r, private, READER) == "mit"


async def test_permission_is_asked_for_again(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, private = await start(), of("acme/private", hub.repo("acme/private").head)
    await licence(r, private, READER)
    clock.leap(299)
    assert seen(r, private, headers=READER) is not None
    clock.leap(2)
    assert seen(r, private, headers=READER) is None
    hub.repo("acme/private").admitted = frozenset()
    assert (await refusal(r, private, READER)).status == 404


async def test_the_client_hears_the_hub_s_own_refusal(hub: TestHub, start: Starter) -> None:
    r, private = await start(), of("acme/private", "main")
    nobody = await refusal(r, private)
    assert (nobody.status, nobody.headers.get("www-authenticate") is None) == (401, False)
    assert nobody.headers.get("cache-control") == "no-store" and nobody.headers.get("x-policy-rule") is None
    assert isinstance(nobody.body, bytes) and json.loads(nobody.body) == {"error": "Invalid username or password."}
    other = await refusal(r, private, OTHER)
    assert (other.status, other.headers.get("x-error-code")) == (404, "RepoNotFound")
    assert other.headers.get("x-error-message") == "Repository not found"
    missing = await refusal(r, of("acme/none"))
    assert missing.status == 401
    revision = await refusal(r, of("acme/tiny", "nowhere"))
    assert (revision.status, revision.headers.get("x-error-code")) == (404, "RevisionNotFound")
    head = await finder(r).find(private, LICENSE, request_for("HEAD", f"{H}/x"))
    assert isinstance(head, Reply) and head.body == b"" and head.headers.get("content-length") != "0"


async def test_at_once_with_one_token_is_one_request(hub: TestHub, start: Starter) -> None:
    r, private = await start(), of("acme/private", "main")
    await refusal(r, private)
    hub.clear()
    hub.knob(hold="info")
    asking = [asyncio.create_task(licence(r, private, READER)) for _ in range(4)]
    await asyncio.to_thread(hub.wait, 1)
    hub.release("info")
    assert set(await asyncio.gather(*asking)) == {"mit"}
    assert [q.headers["authorization"] for q in hub.requests()] == ["Bearer hf_reader"]


async def test_at_once_with_two_tokens_each_hears_for_itself(hub: TestHub, start: Starter) -> None:
    r, private = await start(), of("acme/private", "main")
    await refusal(r, private)
    hub.clear()
    hub.knob(hold="info")
    mine, theirs = (asyncio.create_task(find(r, private, headers=headers)) for headers in (READER, OTHER))
    await asyncio.to_thread(hub.wait, 2)
    hub.release("info")
    assert isinstance(await mine, Learned) and isinstance(await theirs, Reply)


@pytest.mark.parametrize(
    "url", ["https://cas-server.xethub.hf.co", "https://us.aws.cdn.hf.co", "https://modelscope.cn"]
)
async def test_credentials_go_only_where_the_client_sent_them(hub: TestHub, start: Starter, url: str) -> None:
    r = await start()
    assert (await refusal(r, of("acme/private", "main"), READER, url)).status == 401
    assert all("authorization" not in q.headers for q in hub.requests())


async def test_git_s_password_is_a_token(hub: TestHub, start: Starter) -> None:
    r = await start()
    basic = {"Authorization": "Basic dXNlcjpoZl9yZWFkZXI="}  # user:hf_reader
    assert await licence(r, of("acme/private", "main"), basic) == "mit"
    assert hub.requests()[-1].headers["authorization"] == "Bearer hf_reader"
    for broken in ("Basic !", "Basic dXNlcg==", "Basic", "Basic /w=="):
        assert (await refusal(r, of("acme/private", "main"), {"Authorization": broken})).status in (401, 404)


async def test_a_repo_that_was_opened_is_everybody_s(hub: TestHub, start: Starter, clock: Clock) -> None:
    r, private = await start(), of("acme/private", "main")
    await licence(r, private, READER)
    hub.repo("acme/private").private = False
    clock.leap(301)
    assert await licence(r, private, READER) == "mit"
    assert seen(r, private) is not None


async def test_a_gated_repo_tells_its_facts_to_all(hub: TestHub, start: Starter) -> None:
    r = await start()
    found = await learned(r, of("acme/gated", "main"), "license", "gated")
    assert found.values["gated"] == "auto" and len(hub.requests()) == 1


# -- other names ----------------------------------------------------------------------------------------------------


async def test_a_repo_that_was_renamed(hub: TestHub, start: Starter) -> None:
    r = await start()
    found = await learned(r, of("acme/old-name", "main"), "license", "repo_size", "license_conflict")
    assert found.name == "acme/tiny" and found.values["license_conflict"] is None
    assert hub.requests(path="/api/models/acme/tiny/revision/*")
    hub.clear()
    assert (await learned(r, of("acme/old-name", "main"))).name == "acme/tiny"
    assert hub.requests() == []
    assert (await learned(r, of("Acme/TINY", "main"))).name == "", "a matter of case is no other name"


async def test_a_renamed_repo_that_is_private(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.rename("acme/was-private", "acme/private")
    assert (await learned(r, of("acme/was-private", "main"), headers=READER)).name == "acme/private"
    assert (await refusal(r, of("acme/was-private", "main"))).status == 401


@pytest.mark.parametrize(
    "target", ["https://evil.example/api/models/a/b", "https://us.aws.cdn.hf.co/api/models/a/b", "self",
               "http://huggingface.co/api/models/a/b", "https://huggingface.co:8443/api/models/a/b",
               "https://modelscope.cn/api/v1/models/a/b"],
)  # fmt: skip
async def test_a_redirect_that_leads_away_or_nowhere(hub: TestHub, start: Starter, target: str) -> None:
    r = await start()
    for subject, headers in ((TINY, None), (of("acme/private", "main"), READER)):
        hub.clear()
        hub.knob(path="/api/*", redirect=target)
        with pytest.raises(UpstreamFailed) as failed:
            await find(r, subject, headers=headers)
        assert failed.value.status == 502 and "redirects" in failed.value.reason
        assert {q.host for q in hub.requests()} == {"huggingface.co"} and len(hub.requests()) <= 4


async def test_what_was_changed_is_asked_for_again(hub: TestHub, start: Starter) -> None:
    r = await start()
    await licence(r, TINY)
    await licence(r, of("acme/nc"))
    finder(r).forget(TINY.repo)
    assert seen(r, TINY) is None and seen(r, of("acme/nc")) is not None


# -- digests --------------------------------------------------------------------------------------------------------


async def test_a_digest_is_looked_up_in_the_listing(hub: TestHub, start: Starter) -> None:
    r = await start()
    weights = Synthetic(700_000, seed=3)
    files = {"a/w.bin": weights, "b/w.bin": weights, "README.md": card("license: mit"), "v.bin": Synthetic(600_000, 4)}
    repo = hub.add(HubRepo("acme/twice", files=files, storage={p: "lfs" for p in ("a/w.bin", "b/w.bin", "v.bin")}))
    twice, once = (f"sha256:{repo.file(path).sha256}" for path in ("a/w.bin", "v.bin"))
    hub.knob(page_size=1)
    assert (await learned(r, of("acme/twice", digest=twice), "path")).values == {"path": ("a/w.bin", "b/w.bin")}
    asked = len(hub.requests())
    assert (await learned(r, of("acme/twice", digest=once), "path")).values == {"path": "v.bin"}
    assert (await learned(r, of("acme/twice", digest="sha256:" + "0" * 64), "path")).values == {"path": UNKNOWN}
    assert len(hub.requests()) == asked and len(hub.requests(path="*/tree/*")) == 6
    assert (await learned(r, of("acme/twice", path="x.bin"), "path", "gated")).values["path"] == "x.bin"


async def test_facts_of_a_digest_s_own_file(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.repo("acme/tiny")
    repo.issues = [{"path": "model.safetensors", "level": "unsafe"}]
    subject = of("acme/tiny", digest=f"sha256:{repo.file('old.bin').sha256}")
    assert (await learned(r, subject, "path", "hub_scan")).values == {"path": "old.bin", "hub_scan": "safe"}
    assert (await learned(r, subject, "hub_scan")).values == {"hub_scan": "unsafe"}, "the worst, if nobody says which"


@pytest.mark.parametrize("mode", ["auto", "native"])
async def test_a_xet_hash_is_looked_up_too(hub: TestHub, start: Starter, mode: str) -> None:
    r = await start(hubs={"huggingface": {"xet": mode}})
    file = hub.repo("acme/tiny").file("model.safetensors")
    found = await learned(r, of("acme/tiny", "main", digest=f"xet:{file.xet}"), "path")
    assert found.values == {"path": "model.safetensors"}
    assert seen(r, of("acme/tiny", "main", digest=f"xet:{file.xet}"), "path") is not None


async def test_a_xet_hash_whose_bytes_are_known_needs_no_listing_that_names_it(hub: TestHub, start: Starter) -> None:
    r = await start(hubs={"huggingface": {"xet": "native"}})
    assert (await r.head(f"{H}/acme/tiny/resolve/main/model.safetensors")).status == 200
    await r.parts.engine.settle()
    await r.close()
    r = await start()
    await r.get(f"{H}/api/models/acme/tiny/tree/{hub.repo('acme/tiny').head}?recursive=true&expand=false")
    subject = of("acme/tiny", "main", digest=f"xet:{hub.repo('acme/tiny').file('model.safetensors').xet}")
    assert (await learned(r, subject, "path")).values == {"path": "model.safetensors"}
    assert len(hub.requests(path="*/tree/*")) == 4, "pages; the first as the client asked for it"


async def test_no_listing_is_read_without_end(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.add(HubRepo("acme/many", files={f"{n:03}.txt": str(n) for n in range(30)}))
    hub.knob(page_size=1)
    found = await learned(r, of("acme/many", digest="sha256:" + "0" * 64), "path")
    assert found.values == {"path": UNKNOWN} and len(hub.requests(path="*/tree/*")) == 20


# -- base models ----------------------------------------------------------------------------------------------------


def tuned(hub: TestHub, *bases: str, license: str = "mit") -> Subject:
    lines = [f"license: {license}", "base_model:", *(f"- {base}" for base in bases)]
    hub.add(HubRepo("acme/tuned", files={"README.md": card(*lines)}))
    return of("acme/tuned", "main")


async def test_a_card_that_promises_more_than_its_base(hub: TestHub, start: Starter) -> None:
    r = await start()
    found = await learned(r, tuned(hub, "acme/tiny", "acme/nc"), "license_conflict")
    assert found.values == {
        "license_conflict": "the card says mit, its base model acme/nc says cc-by-nc-4.0"
    } and len(hub.requests()) == 3  # fmt: skip
    assert seen(r, of("acme/tuned", "main"), "license_conflict") == found


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        (["acme/tiny"], None), (["acme/none"], UNKNOWN), (["acme/private"], UNKNOWN), (["not a repo"], UNKNOWN),
        (["acme/tiny?x"], UNKNOWN),
        (["acme/tiny"] * 5, None), (["acme/tiny", "acme/space", "acme/a", "acme/b", "acme/c"], UNKNOWN),
    ],
)  # fmt: skip
async def test_bases(hub: TestHub, start: Starter, bases: list[str], expected: object) -> None:
    r = await start()
    assert (await learned(r, tuned(hub, *bases), "license_conflict")).values == {"license_conflict": expected}
    assert len(hub.requests(path="/api/models/*")) <= 5


async def test_more_bases_than_are_looked_at(hub: TestHub, start: Starter) -> None:
    r = await start()
    for n in range(5):
        hub.add(HubRepo(f"acme/b{n}", files={"README.md": card("license: mit", "base_model: acme/nc")}))
    found = await learned(r, tuned(hub, *(f"acme/b{n}" for n in range(5))), "license_conflict")
    assert found.values == {"license_conflict": UNKNOWN}
    assert not hub.requests(path="/api/models/acme/b4*") and not hub.requests(path="/api/models/acme/nc*")


async def test_bases_are_asked_for_only_if_needed(hub: TestHub, start: Starter) -> None:
    r = await start()
    await learned(r, tuned(hub, "acme/nc"), *(EVERY - {"license_conflict"}))
    assert not hub.requests(path="/api/models/acme/nc*")


async def test_a_private_base_is_read_with_the_client_s_token(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.add(HubRepo("acme/secret", files={"README.md": card("license: mit", "base_model: [acme/private, acme/nc]")},
                    private=True, readers={"hf_reader"}))  # fmt: skip
    found = await learned(r, of("acme/secret", "main"), "license_conflict", headers=READER)
    assert found.values == {"license_conflict": "the card says mit, its base model acme/nc says cc-by-nc-4.0"}
    assert all("authorization" not in q.headers for q in hub.requests(path="/api/models/acme/nc*"))
    assert seen(r, of("acme/secret", "main"), "license_conflict") is None
    assert seen(r, of("acme/private"), "license") is None


# -- ModelScope -----------------------------------------------------------------------------------------------------

MS = "https://modelscope.cn"
MS_READER = {"Cookie": "m_session_id=ms_reader"}


def ms(id: str, rev: str | None = None, type: str = "models", **more: Any) -> Subject:
    return of(id, rev, type, "modelscope", **more)


async def test_modelscope_tells_what_it_knows(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.repo("acme/tiny", hub="modelscope")
    found = await learned(r, ms("acme/tiny", "master", path="old.bin"), *EVERY, url=MS)
    commit = repo.commits[repo.head]
    assert {k: v for k, v in found.values.items() if k != "license"} == {
        "commit": UNKNOWN,
        "license_conflict": None,
        "gated": False,
        "private": False,
        "repo_size": sum(f.size for f in commit.files.values()),
        "tags": (),
        "base_model": (),
        "hub_scan": "unscanned",
        "revision_age": float(commit.when),
        "has_safetensors_twin": True,
        "author": "acme",
    }
    assert await licence(r, ms("acme/tiny", "master"), url=MS) == "apache-2.0"
    assert [q.path for q in hub.requests()] == ["/api/v1/models/acme/tiny", "/api/v1/models/acme/tiny/repo/files"]
    digest = f"sha256:{repo.file('old.bin').sha256}"
    assert (await learned(r, ms("acme/tiny", digest=digest), "path", url=MS)).values == {"path": "old.bin"}


async def test_a_dataset_is_listed_in_pages(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.repo("acme/tiny-ds", "datasets", hub="modelscope")
    hub.knob(page_size=2)
    found = await learned(r, ms("acme/tiny-ds", "master", "datasets"), "repo_size", "has_safetensors_twin", url=MS)
    size = sum(f.size for f in repo.commits[repo.head].files.values())
    assert found.values == {"repo_size": size, "has_safetensors_twin": False}
    assert len(hub.requests(path="*/repo/tree")) == 2


async def test_a_listing_that_is_cut_short_tells_no_size(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.add(HubRepo("acme/wide", hub="modelscope", files={f"{n:02}": "x" for n in range(50)}, type="dataset"))
    hub.knob(page_size=2)
    found = await learned(r, ms("acme/wide", "master", "datasets"), "repo_size", url=MS)
    assert found.values == {"repo_size": UNKNOWN} and len(hub.requests(path="*/repo/tree")) == 20


async def test_the_repo_s_own_word_on_its_size_holds(hub: TestHub, start: Starter) -> None:
    r = await start()
    hub.add(HubRepo("acme/told", hub="modelscope", files={"a.bin": "x"}, info={"StorageSize": 12_345}))
    found = await learned(r, ms("acme/told", "master"), "has_safetensors_twin", "repo_size", url=MS)
    assert found.values == {"has_safetensors_twin": False, "repo_size": 12_345}
    assert (await learned(r, ms("acme/told", "v9"), "repo_size", url=MS)).values == {"repo_size": 12_345}


async def test_a_repo_by_its_number(hub: TestHub, start: Starter) -> None:
    r, repo = await start(), hub.repo("acme/tiny-ds", "datasets", hub="modelscope")
    found = await learned(r, ms(str(number(repo)), "master", "datasets"), url=MS)
    assert found.name == "acme/tiny-ds"


async def test_a_studio_is_asked_about_by_the_open_api(hub: TestHub, start: Starter) -> None:
    r = await start()
    assert await licence(r, ms("acme/studio", type="studios"), url=MS) == "mit"
    assert [q.path for q in hub.requests()] == ["/openapi/v1/studios/acme/studio"]


async def test_the_other_site_has_repos_of_its_own(hub: TestHub, start: Starter) -> None:
    r, abroad = await start(), Subject(Repo("modelscope", "models", "acme/abroad", "ai"))
    assert await licence(r, abroad, url="https://www.modelscope.ai") == "mit"
    assert hub.requests()[0].host == "www.modelscope.ai"


async def test_a_private_repo_of_modelscope(hub: TestHub, start: Starter) -> None:
    r, private = await start(), ms("acme/private", "master")
    nobody = await refusal(r, private, url=MS)
    assert nobody.status == 404 and isinstance(nobody.body, bytes) and json.loads(nobody.body)["Success"] is False
    assert await licence(r, private, MS_READER, MS) == "mit"
    found = await learned(r, private, "private", "repo_size", headers=MS_READER, url=MS)
    assert found.values["private"] is True and found.values["repo_size"]
    assert seen(r, private) is None and seen(r, private, headers=MS_READER) is not None
    hub.clear()
    finder(r).forget(private.repo)
    assert (await refusal(r, private, MS_READER, "https://www.modelscope.ai")).status == 404
    assert (await refusal(r, private, MS_READER, "https://cdn-lfs-cn-1.modelscope.cn")).status == 404
    assert all("cookie" not in q.headers for q in hub.requests())


async def test_a_failure_that_is_told_with_200_is_a_refusal(hub: TestHub, start: Starter) -> None:
    r = await start()
    words = json.dumps({"Code": 10990101007, "Message": "no", "Success": False})
    hub.knob(host="modelscope.cn", status=200, body=words)
    told = await refusal(r, ms("acme/tiny", "master"), url=MS)
    assert (told.status, told.body) == (404, words.encode()), "or a program would take it for the file"
    assert (await refusal(r, ms("acme/tiny", "master"), MS_READER, MS)).status == 404


async def test_a_long_listing_of_a_closed_repo_is_not_read_by_the_loop(
    hub: TestHub, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, Any] = {f"{'long' * 40}/{n}.txt": "x" for n in range(400)}
    hub.add(HubRepo("acme/many", files=files, hub="modelscope", private=True, readers={"ms_reader"}))
    r, read, whole = await start(), dict[bool, int](), modelscope.failure_of

    def failure_of(data: bytes) -> int | None:
        here = threading.current_thread() is threading.main_thread()
        read[here] = max(read.get(here, 0), len(data))
        return whole(data)

    monkeypatch.setattr(modelscope, "failure_of", failure_of)
    who = {"Authorization": "Bearer ms_reader"}
    subject = of("acme/many", "master", hub="modelscope")
    found = await learned(r, subject, "has_safetensors_twin", headers=who, url="https://www.modelscope.cn")
    assert found.values["has_safetensors_twin"] is False
    assert read[False] > SMALL >= read[True]
