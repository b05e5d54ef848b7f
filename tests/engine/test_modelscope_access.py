"""Who may have what of ModelScope, what no client may ever get, and one blob for both hubs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from proxy_addon.core.messages import Finished
from proxy_addon.core.status import Outcome
from proxy_addon.hub.modelscope import HUB
from tests.conftest import Starter
from tests.engine.rig import Clock, Rig, drained, request_for
from tests.engine.test_modelscope import CDN, LISTING, M, content, url_of
from tests.hub import Repo, Synthetic, TestHub

H = "https://huggingface.co"
READER = {"Authorization": "Bearer ms_reader", "Cookie": "m_session_id=ms_reader"}
COOKIE = {"Cookie": "m_session_id=ms_reader"}
SECRETS = (b"ms_reader", b"m_session_id", b"acw_tc", b"auth_key")


async def followed(r: Rig, url: str, headers: dict[str, str]) -> bytes:
    got = await r.get(url, headers)
    if got.status == 302:
        got = await r.get(got.header("Location") or "", {k: v for k, v in headers.items() if k != "Authorization"})
    assert got.status == 200 and not got.cut
    return got.body


def repo_of(hub: TestHub, id: str) -> Repo:
    return hub.repo(id, hub=HUB)


# -- private and gated ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["acme/private", "acme/gated"])
@pytest.mark.parametrize("path", ["config.json", "old.bin"])
@pytest.mark.parametrize("credential", [READER, COOKIE], ids=["token", "cookie"])
async def test_a_token_opens_a_repo_to_its_holder_only(
    hub: TestHub, start: Starter, id: str, path: str, credential: dict[str, str]
) -> None:
    r, data, url = await start(), content(hub, path, id=id), url_of(path, id=id)
    closed = 404 if id == "acme/private" else 403
    assert (await r.get(url)).status == closed
    for _ in range(2):
        assert await followed(r, url, credential) == data
        assert (await r.get(url)).status == closed
        assert (await r.get(url, {"Authorization": "Bearer ms_other"})).status == closed
    await r.idle()
    assert not await r.parts.store.responses.listing("file:", "", 10), "what a token opened is nothing to share"


async def test_a_private_listing_is_for_those_who_may_see_it(hub: TestHub, start: Starter) -> None:
    r, url = await start(), LISTING.replace("acme/tiny", "acme/private")
    for _ in range(2):
        assert (await r.get(url, READER)).status == 200
        assert (await r.get(url)).status == 404


async def test_a_gated_repo_may_be_listed_and_its_files_stay_closed(hub: TestHub, start: Starter) -> None:
    r, url = await start(), LISTING.replace("acme/tiny", "acme/gated")
    assert (await r.get(url)).status == 200 and (await r.get(url)).cache.startswith("hubgate; hit")
    assert (await r.get(url_of("config.json", id="acme/gated"))).status == 403


@pytest.mark.parametrize("path", ["config.json", "old.bin"])
async def test_a_repo_that_was_closed_is_asked_about_within_a_day(
    hub: TestHub, start: Starter, clock: Clock, path: str
) -> None:
    r = await start()
    await r.get(url_of(path))
    await r.idle()
    repo_of(hub, "acme/tiny").gated = "manual"
    clock.leap(25 * 3600)
    assert (await r.get(url_of(path))).status == 403
    hub.stop()
    assert (await r.get(url_of(path))).status >= 500, "it was refused since: nothing stale of it is for all"


async def test_a_redirect_to_a_login_page_proves_nothing(hub: TestHub, start: Starter) -> None:
    r = await start()
    await r.get(LISTING)
    hub.knob(path="/api/v1/models/acme/tiny/repo", redirect=f"{M}/login?next=x")
    got = await r.get(url_of("old.bin"))
    assert got.status == 302
    assert not await r.parts.store.responses.get("public:modelscope/models/acme/tiny")


async def test_a_refusal_that_travels_as_200_proves_nothing(hub: TestHub, start: Starter) -> None:
    """Not even when it is as long as the file."""
    words = '{"Code":10990101003,"Message":"no","Success":false}'
    hub.add(Repo("acme/odd", files={"config.json": "x" * len(words), "b.json": "y" * len(words)}, hub=HUB))
    r = await start()
    hub.knob(path="/api/v1/models/acme/odd/repo", status=200, body=words)
    for path in ("config.json", "b.json"):
        got = await r.get(url_of(path, id="acme/odd"))
        assert got.body == words.encode() and got.cache.endswith("detail=access")


async def test_nothing_secret_on_disk_or_sent_for_others(hub: TestHub, start: Starter, tmp_path: Path) -> None:
    r = await start()
    for headers in (READER, COOKIE, {}):
        await r.get(LISTING, headers)
        for path in ("config.json", "old.bin"):
            await r.get(url_of(path), headers)
            await followed(r, url_of(path, id="acme/private"), READER)
    await r.idle()
    public = [q for q in hub.requests() if "private" not in q.path and q.host != "cdn-lfs-cn-1.modelscope.cn"]
    assert public and not any("cookie" in q.headers or "authorization" in q.headers for q in public)
    await r.close()
    held = b"".join(file.read_bytes() for file in (tmp_path / "cache").rglob("*") if file.is_file())
    assert b"acme/tiny" in held and not [secret for secret in SECRETS if secret in held]


async def test_an_upload_makes_the_branch_be_asked_for_again(hub: TestHub, start: Starter) -> None:
    r = await start()
    assert (await r.get(url_of("config.json"))).status == 200
    repo_of(hub, "acme/tiny").commit({"config.json": "{}"})
    upload = request_for("POST", f"{M}/api/v1/repos/models/acme/tiny/commit/master")
    assert not r.parts.engine.takes(upload)
    r.parts.engine.completed(Finished(upload, 200, Outcome()))
    await r.parts.engine.settle()
    assert (await r.get(url_of("config.json"))).body == b"{}"


async def test_an_sdk_goes_on_after_wrong_bytes_since_it_checks_them_and_others_start_over(
    hub: TestHub, start: Starter
) -> None:
    r, data = await start(), content(hub, "old.bin")
    hub.knob(host=CDN, corrupt_at=70, times=1, range_ignored=True)
    assert (await r.get(url_of("old.bin"))).cut
    await r.idle()
    rest = {"Range": "bytes=1000000-"}
    assert (await r.get(url_of("old.bin"), rest)).status == 502
    for agent in ("modelscope/1.29.2; python/3.13.0", "modelscope_hub/0.5.1; python/3.13.0"):
        assert (await r.get(url_of("old.bin"), rest | {"User-Agent": agent})).body == data[1_000_000:]


# -- integrity ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "where"), [("config.json", "*/repo"), ("old.bin", "/prod/*")])
async def test_a_flipped_byte_reaches_nobody_and_stays_nowhere(
    hub: TestHub, start: Starter, path: str, where: str
) -> None:
    r, data = await start(), content(hub, path)
    knob = hub.knob(path=where, corrupt_at=70, range_ignored=True)
    got = await r.get(url_of(path))
    assert got.refused or (got.cut and len(got.body) < len(data))
    await r.idle()
    digest = repo_of(hub, "acme/tiny").file(path).source.sha256
    assert f"sha256:{digest}" not in [blob async for blob in r.kept()]
    hub.unknob(knob)
    again = await r.get(url_of(path))
    assert again.body == data and not again.cut


async def test_a_drop_is_mended_behind_the_clients_back(hub: TestHub, start: Starter) -> None:
    hub.knob(host=CDN, drop_after=600_000, times=2)
    r = await start()
    got = await r.get(url_of("old.bin"))
    assert got.body == content(hub, "old.bin") and not got.cut


async def test_an_expired_link_is_asked_for_anew(hub: TestHub, start: Starter) -> None:
    r = await start()
    knob = hub.knob(path="/api/v1/models/acme/tiny/repo", url_ttl=-1)
    await r.head(url_of("old.bin"))
    hub.unknob(knob)
    got = await r.get(url_of("old.bin"))
    assert got.body == content(hub, "old.bin") and hub.requests(host=CDN, status=403)


async def test_a_redirect_elsewhere_is_not_followed(hub: TestHub, start: Starter) -> None:
    r = await start()
    await r.get(LISTING)
    told = {"X-Linked-Etag": f'"{repo_of(hub, "acme/tiny").file("old.bin").sha256}"', "X-Linked-Size": "1500000"}
    hub.knob(path="/api/v1/models/acme/tiny/repo", redirect="https://evil.example/x", headers=told)
    got = await r.get(url_of("old.bin"))
    assert got.status == 302, "the client's own request, as the hub answers it"
    assert not hub.requests(host="evil.example")


# -- one blob for both hubs -----------------------------------------------------------------------------------------


@pytest.fixture
def both(hub: TestHub) -> Synthetic:
    """20 MB, the same on both hubs."""
    source = Synthetic(20_000_000, seed=11)
    hf = hub.add(Repo("acme/both", files={"w.bin": source, "a.txt": "a"}, storage={"w.bin": "lfs"}))
    hub.add(hf.mirror())
    return source


HF_URL = f"{H}/acme/both/resolve/main/w.bin"
MS_URL = url_of("w.bin", id="acme/both")
HUBS = {"hf-ms": (HF_URL, MS_URL, "*modelscope*"), "ms-hf": (MS_URL, HF_URL, "*hf.co")}


@pytest.mark.parametrize(("first", "second", "hosts"), HUBS.values(), ids=HUBS)
async def test_the_second_hub_sends_no_byte_of_what_the_first_has_sent(
    hub: TestHub, start: Starter, both: Synthetic, first: str, second: str, hosts: str
) -> None:
    r = await start()
    assert hashlib.sha256((await r.get(first)).body).hexdigest() == both.sha256
    await r.idle()
    hub.clear()
    got = await r.get(second)
    assert hashlib.sha256(got.body).hexdigest() == both.sha256 and not got.cut
    assert hub.bytes_sent(blob=both.sha256) == 0 and hub.bodies_of(both.sha256) == 0.0
    assert not hub.requests(host="cdn-lfs*")


async def test_bytes_of_a_public_repo_do_not_open_a_private_one(hub: TestHub, start: Starter, both: Synthetic) -> None:
    repo_of(hub, "acme/both").private = True
    r = await start()
    await r.get(HF_URL)
    await r.idle()
    assert (await r.get(MS_URL)).status == 404


OTHER = {
    "hf-fails": (HF_URL, MS_URL, "cdn-lfs*.hf.co", CDN),
    "ms-fails": (MS_URL, HF_URL, CDN, "cdn-lfs*.hf.co"),
}


@pytest.mark.parametrize("trouble", [{"status": 503}, {"status": 429, "retry_after": 30}, {"status": 403}])
@pytest.mark.parametrize(("wanted", "other", "failing", "helping"), OTHER.values(), ids=OTHER)
async def test_a_cold_fill_takes_the_bytes_from_the_other_hub(
    hub: TestHub,
    start: Starter,
    both: Synthetic,
    wanted: str,
    other: str,
    failing: str,
    helping: str,
    trouble: dict[str, int],
) -> None:
    r = await start()
    await r.head(other)
    hub.knob(host=failing, **trouble)
    got = await r.get(wanted)
    assert (got.status, got.cut) == (200, False) and hashlib.sha256(got.body).hexdigest() == both.sha256
    assert hub.requests(host=helping) and hub.bodies_of(both.sha256) == 1.0


async def test_a_place_that_fails_is_left_alone_while_another_helps(
    hub: TestHub, start: Starter, both: Synthetic
) -> None:
    r = await start(upstream__connections_per_file=1)
    await r.head(MS_URL)
    hub.knob(host="cdn-lfs*.hf.co", status=503)
    assert (await r.get(HF_URL)).body == bytes(both.read(0, both.size))
    assert len(hub.requests(host="cdn-lfs*.hf.co")) == 1 < len(hub.requests(host=CDN))


async def test_the_other_hub_goes_on_where_one_has_failed_midway(hub: TestHub, start: Starter, both: Synthetic) -> None:
    r = await start(upstream__connections_per_file=1)
    await r.head(MS_URL)
    hub.knob(host="cdn-lfs*.hf.co", drop_after=5_000_000, times=1)
    hub.knob(host="cdn-lfs*.hf.co", status=503, skip=1)
    got = await r.get(HF_URL)
    assert hashlib.sha256(got.body).hexdigest() == both.sha256 and not got.cut
    assert hub.bodies_of(both.sha256) < 1.3


async def test_a_wrong_other_place_leads_to_no_wrong_file(hub: TestHub, start: Starter, both: Synthetic) -> None:
    r = await start()
    await r.head(MS_URL)
    hub.knob(host="cdn-lfs*.hf.co", status=503)
    hub.knob(host=CDN, corrupt_at=9_000_000)
    got = await r.get(HF_URL)
    assert got.refused or (got.cut and len(got.body) < both.size)
    await r.idle()
    assert f"sha256:{both.sha256}" not in [blob async for blob in r.kept()]


async def test_a_place_that_is_not_proven_public_is_left_alone(
    hub: TestHub, start: Starter, both: Synthetic, clock: Clock
) -> None:
    r = await start()
    await r.head(MS_URL)
    clock.leap(25 * 3600)
    hub.knob(host="cdn-lfs*.hf.co", status=503)
    got = await r.get(HF_URL)
    assert got.status == 503 and not hub.requests(host=CDN)


async def test_a_lone_range_comes_from_its_own_place_only(hub: TestHub, start: Starter, both: Synthetic) -> None:
    """Nothing would prove it."""
    r = await start()
    await r.head(MS_URL)
    hub.knob(host="cdn-lfs*.hf.co", status=503)
    got = await r.get(HF_URL, {"Range": "bytes=9000000-9000099"})
    assert got.status == 503 and not hub.requests(host=CDN)


async def test_at_most_four_places_are_remembered(hub: TestHub, start: Starter) -> None:
    source = Synthetic(100_000, seed=12)
    r = await start()
    for n in range(6):
        hub.add(Repo(f"acme/copy{n}", files={"w.bin": source}, storage={"w.bin": "lfs"}, hub=HUB))
        await r.head(url_of("w.bin", id=f"acme/copy{n}"))
    rows = await r.parts.store.responses.get(f"places:sha256:{source.sha256}")
    urls = [url for _, url in rows[0].facts]
    assert [url.split("/")[5] for url in urls] == ["copy5", "copy4", "copy3", "copy2"]
    assert all("?" not in url for url in urls)


# -- signed links ---------------------------------------------------------------------------------------------------


async def test_a_cdn_link_is_answered_from_what_either_hub_has_sent(
    hub: TestHub, start: Starter, both: Synthetic
) -> None:
    r = await start()
    await r.get(MS_URL)
    await r.idle()
    link = hub.requests(host=CDN)[0]
    hub.clear()
    reply = await r.open("GET", f"https://{link.host}{link.path}?{link.query}")
    got = await drained(reply)
    assert hashlib.sha256(got.body).hexdigest() == both.sha256
    assert hub.bodies_of(both.sha256) == 0.0
