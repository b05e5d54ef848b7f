"""The proof that a repo is public, and what a refusal does to it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from proxy_addon.access.public import PROOF_LASTS, PublicRepos, giving, has_credentials, listing, principal, showing
from proxy_addon.core.messages import Headers, Request, StoredResponse
from proxy_addon.hub.resources import Repo
from tests.contracts.model import DictResponses, DictView

STALE = 3600.0  # seconds that a proof counts past its time while nobody can be asked


class Hands:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def request(*fields: tuple[str, str]) -> Request:
    return Request("GET", "https", "huggingface.co", 443, "/", headers=Headers(fields))


async def test_a_proof_lasts_a_day_and_is_then_remembered_for_a_while() -> None:
    clock = Hands()
    rows = DictView(responses := DictResponses())
    repos = PublicRepos(responses, clock, clock, stale_if_error=STALE)
    assert not await repos.proven("r") and not repos.seen(rows, "r") and not await repos.known("r")
    await repos.note_success("r", clock.now)
    clock.now += PROOF_LASTS - 1
    assert await repos.proven("r") and repos.seen(rows, "r")
    clock.now += 2
    assert not await repos.proven("r") and not repos.seen(rows, "r") and await repos.known("r")
    clock.now += STALE - 2
    assert await repos.known("r")
    clock.now += 1
    assert not await repos.known("r")


async def test_a_clock_that_jumps_back_prolongs_nothing() -> None:
    clock = Hands()
    repos = PublicRepos(DictResponses(), clock, clock, stale_if_error=STALE)
    await repos.note_success("r", clock.now)
    clock.now -= PROOF_LASTS + 1
    assert not await repos.proven("r")
    await repos.note_success("r", clock.now)
    assert await repos.proven("r")


async def test_a_refusal_ends_the_proof_at_once_and_is_forgotten_soon() -> None:
    clock, rows = Hands(), DictResponses()
    repos = PublicRepos(rows, clock, clock, stale_if_error=STALE)
    await repos.note_success("r", clock.now)
    await repos.note_refusal("r")
    assert repos.refused("r") and not await repos.proven("r") and not await repos.known("r")
    clock.now += 301
    assert not repos.refused("r") and not await repos.known("r")
    await repos.note_success("r", clock.now)
    assert await repos.proven("r") and not repos.refused("r")


def test_cookies_of_load_balancers_make_nobody_another() -> None:
    asking = ["m_session_id=a; x=y", "acw_tc=1; m_session_id=a; x=y", "m_session_id=a;AWSALB=2;x=y; acw_tc=3;"]
    assert len({principal(Headers([("Cookie", each)])) for each in asking}) == 1
    assert principal(Headers([("Cookie", asking[0])])) != principal(Headers([("Cookie", "m_session_id=b; x=y")]))
    assert principal(Headers([("Cookie", "acw_tc=1; __cf_bm=2")])) == ""


async def test_a_young_proof_is_not_written_again() -> None:
    clock, rows = Hands(), DictResponses()
    repos = PublicRepos(rows, clock, clock, stale_if_error=STALE)
    await repos.note_success("r", clock.now)
    first = rows.rows["public:r"]
    clock.now += 599
    await repos.note_success("r", clock.now)
    assert rows.rows["public:r"] is first
    clock.now += 2
    await repos.note_success("r", clock.now)
    assert rows.rows["public:r"][0].response_time == clock.now


async def test_a_disk_that_refuses_rows_takes_no_proof_away() -> None:
    class Refusing(DictResponses):
        async def put(self, key: str, variants: Sequence[StoredResponse]) -> None:
            raise OSError("no space left")

    clock = Hands()
    repos = PublicRepos(Refusing(), clock, clock, stale_if_error=STALE)
    await repos.note_refusal("other")
    await repos.note_success("r", clock.now)
    assert await repos.proven("r") and not await repos.proven("other")
    await repos.note_refusal("r")
    assert not await repos.proven("r")


async def test_a_repo_that_was_changed_is_proven_no_more_nor_is_its_listing() -> None:
    clock = Hands()
    repos = PublicRepos(DictResponses(), clock, clock, stale_if_error=STALE)
    repo = Repo("huggingface", "models", "org/name")
    for key in (repo.key, listing(repo)):
        await repos.note_success(key, clock.now)
    await repos.forget(repo.key)
    assert not await repos.proven(repo.key) and not await repos.proven(listing(repo))
    assert not repos.refused(repo.key)


@pytest.mark.parametrize("ends", ["note_refusal", "forget"])
async def test_an_answer_to_what_was_asked_before_comes_too_late(ends: str) -> None:
    clock = Hands()
    repos, asked = PublicRepos(DictResponses(), clock, clock, stale_if_error=STALE), clock.now
    clock.now += 1
    await getattr(repos, ends)("r")
    for repo in ("r", "showing:r"):
        await repos.note_success(repo, asked)
        assert not await repos.proven(repo) and not await repos.known(repo)
    assert repos.refused("r") == (ends == "note_refusal")
    await repos.note_success("r", clock.now)
    assert await repos.proven("r") and not repos.refused("r")


async def test_a_proof_that_is_in_doubt_counts_no_more_and_is_no_refusal() -> None:
    clock, rows = Hands(), DictResponses()
    repos, view, asked = PublicRepos(rows, clock, clock, stale_if_error=STALE), DictView(rows), clock.now
    for repo in ("r", "showing:r"):
        await repos.note_success(repo, asked)
    clock.now += 1
    repos.doubt("r")
    await repos.note_success("r", asked)
    for repo in ("r", "showing:r"):
        assert not repos.seen(view, repo)
        assert not await repos.proven(repo) and not await repos.known(repo) and not repos.refused(repo)
    assert not rows.rows.get("public:r") and not rows.rows.get("public:showing:r")
    await repos.note_success("r", clock.now)
    assert repos.seen(view, "r") and await repos.proven("showing:r")


async def test_a_clock_that_was_set_back_after_a_refusal_matters_for_an_hour() -> None:
    clock, timer = Hands(), Hands()
    repos = PublicRepos(DictResponses(), clock, timer, stale_if_error=STALE)
    await repos.note_refusal("r")
    clock.now -= 10 * PROOF_LASTS
    timer.now += 3601
    await repos.note_success("r", clock.now)
    assert await repos.proven("r")


async def test_who_gives_the_files_to_all_shows_the_card_as_well() -> None:
    clock, rows = Hands(), DictResponses()
    repos, view = PublicRepos(rows, clock, clock, stale_if_error=STALE), DictView(rows)
    repo = Repo("huggingface", "models", "org/name")
    await repos.note_success(repo.key, clock.now)
    for name, holds in ((showing(repo), True), (listing(repo), False)):
        assert (await repos.proven(name), await repos.known(name), repos.seen(view, name)) == (holds,) * 3
    await repos.note_refusal(repo.key)
    assert not await repos.known(showing(repo)) and not repos.seen(view, showing(repo))


def test_what_a_gated_repo_shows_to_all_is_no_proof_that_its_files_are_open() -> None:
    repo = Repo("huggingface", "models", "org/name")
    assert giving(repo, "config.json", 200) == giving(repo, "docs/README.md", 200) == repo.key
    of_all = [("README.md", 200), ("README.md", 404), ("config.json", 404), ("config.json", 307), ("config.json", 301)]
    assert {giving(repo, path, status) for path, status in of_all} == {showing(repo)}


def test_credentials_and_the_name_of_who_holds_them() -> None:
    alice, bob = request(("Authorization", "Bearer a")), request(("cookie", "token=b"))
    assert has_credentials(alice) and has_credentials(bob) and not has_credentials(request(("Accept", "*/*")))
    names = {principal(alice.headers), principal(bob.headers), principal(request().headers)}
    assert len(names) == 3 and principal(request().headers) == ""
    assert principal(alice.headers) == principal(request(("AUTHORIZATION", "Bearer a")).headers)
    assert not any("Bearer" in name or "token" in name for name in names)


class Failing(DictResponses):
    """A disk that can be told to fail."""

    fails = False

    async def get(self, key: str) -> Sequence[StoredResponse]:
        return () if self.fails else await super().get(key)

    async def read(self, key: str) -> Sequence[StoredResponse]:
        if self.fails:
            raise OSError("no descriptors left")
        return await super().get(key)

    async def put(self, key: str, variants: Sequence[StoredResponse]) -> None:
        if self.fails:
            raise OSError("no space left")
        await super().put(key, variants)


async def test_a_proof_that_the_disk_does_not_let_go_counts_no_more() -> None:
    clock, rows = Hands(), Failing()
    repos, view = PublicRepos(rows, clock, clock, stale_if_error=STALE), DictView(rows)
    for repo in ("r", "showing:r"):
        await repos.note_success(repo, clock.now)
    rows.fails = True
    with pytest.raises(OSError, match="left"):
        await repos.note_refusal("r")
    clock.now += 301
    for repo in ("r", "showing:r"):
        assert not repos.seen(view, repo)
        assert not await repos.proven(repo) and not await repos.known(repo)
    rows.fails = False
    assert not repos.seen(view, "r") and "public:r" in rows.rows
    assert not await repos.proven("r") and not await repos.known("showing:r")
    assert rows.rows == {}, "the next who asks takes it off the disk"
    await repos.note_success("r", clock.now)
    assert await repos.proven("r") and repos.seen(view, "r")
