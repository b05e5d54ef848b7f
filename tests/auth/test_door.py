"""The door: verified once, off the loop, by the file as it is now."""

from __future__ import annotations

import asyncio
import base64
import threading
from pathlib import Path

import pytest

from proxy_addon.auth import Door, Login, Turned, Users, door, schemes
from proxy_addon.auth.attempts import BURST

RIGHT = schemes.made(b"right")
OTHER = schemes.made(b"other")
HERE = "10.0.0.1"


class Timer:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """A door whose hashes are counted, and held back while `gate` is closed."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.timer, self.users = Timer(), Users(file)
        self.users.current = {"alice": RIGHT, "bob": OTHER}
        self.door = Door(self.users, self.timer)
        self.hashed: list[bytes] = []
        self.threads: set[threading.Thread] = set()
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()
        real = schemes.matches

        def counted(kept: str, password: bytes) -> bool:
            self.hashed.append(password)
            self.threads.add(threading.current_thread())
            self.begun.set()
            assert self.gate.wait(10)
            return real(kept, password)

        monkeypatch.setattr(schemes, "matches", counted)

    async def enter(self, user: str = "alice", password: str = "right", address: str = HERE) -> Login | Turned:
        return await self.door.enter([basic(user, password)], address)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def site(tmp_path, monkeypatch):
    made = Site(tmp_path / "users", monkeypatch)
    yield made
    made.gate.set()
    made.door.close()


def status(found: Login | Turned) -> int:
    return found.status if isinstance(found, Turned) else 200


async def test_right_is_hashed_once_and_off_the_loop(site):
    assert [await site.enter() for _ in range(3)] == [Login("alice", RIGHT)] * 3
    assert site.hashed == [b"right"] and threading.main_thread() not in site.threads
    assert site.door.known([basic("alice", "right")]) == Login("alice", RIGHT)
    assert site.door.known([basic("alice", "wrong")]) is site.door.known([basic("bob", "right")]) is None
    assert site.door.known([]) is None


async def test_what_was_right_is_asked_again_in_time(site):
    await site.enter()
    site.timer.now += door.REMEMBERED
    assert site.door.known([basic("alice", "right")]) is None
    assert status(await site.enter()) == 200 and site.hashed == [b"right"] * 2


async def test_equal_attempts_that_come_together_are_one(site):
    site.gate.clear()
    tasks = [asyncio.create_task(site.enter()) for _ in range(50)]
    assert await asyncio.to_thread(site.begun.wait, 10)
    tasks[0].cancel()  # whoever came first may leave
    site.gate.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError) and ended[1:] == [Login("alice", RIGHT)] * 49
    assert site.hashed == [b"right"] and not site.door._under_way


@pytest.mark.parametrize(
    ("user", "password"), [("alice", "other"), ("bob", "right"), ("nobody", "right"), ("ALICE", "right")]
)
async def test_wrong_is_wrong_costs_one_hash_and_is_remembered_a_moment(site, user, password):
    assert [status(await site.enter(user, password)) for _ in range(5)] == [407] * 5
    assert len(site.hashed) == 1, "a name that nobody has costs as much as a wrong password"
    site.timer.now += door.WRONG
    assert status(await site.enter(user, password)) == 407 and len(site.hashed) == 2


async def test_a_proof_holds_for_one_line_of_the_file(site):
    login = await site.enter()
    assert site.door.turned(login) is None
    for users in ({"bob": OTHER}, {"alice": OTHER, "bob": OTHER}):
        site.users.current = users
        assert site.door.known([basic("alice", "right")]) is None
        assert not site.door.stands(login) and site.door.turned(login).status == 403
        assert status(await site.enter()) == 407
    assert status(await site.enter("alice", "other")) == 200
    site.users.current = {"alice": RIGHT}
    assert status(await site.enter()) == 200, "what was wrong by another line says nothing"


async def test_who_is_removed_while_he_is_verified_is_not_let_in(site):
    site.gate.clear()
    task = asyncio.create_task(site.enter())
    assert await asyncio.to_thread(site.begun.wait, 10)
    site.users.current = {"bob": OTHER}
    site.gate.set()
    assert status(await task) == 407


def test_who_has_shown_nothing_is_turned_away_inside_a_tunnel(site):
    assert site.door.turned(None).status == 403


async def test_guesses_run_out_before_they_are_hashed(site):
    said = [await site.enter("alice", f"guess {n}") for n in range(BURST + 20)]
    assert [status(each) for each in said] == [407] * BURST + [429] * 20
    assert len(site.hashed) == BURST and said[-1].wait >= 1 and f"wait {said[-1].wait} s" in said[-1].words
    assert status(await site.enter("bob", "other", "10.0.0.2")) == 200
    assert status(await site.enter()) == 429 and len(site.hashed) == BURST + 1


async def test_who_was_right_is_not_turned_away_for_what_others_guess(site):
    await site.enter()
    for n in range(BURST + 1):
        await site.enter("alice", f"guess {n}")
    hashed = len(site.hashed)
    assert status(await site.enter()) == 200 and len(site.hashed) == hashed
    site.timer.now += door.REMEMBERED
    for n in range(BURST + 1):
        await site.enter("alice", f"guess again {n}")
    assert status(await site.enter()) == 200


async def test_a_guess_from_elsewhere_does_not_wait_for_a_flood(site):
    site.gate.clear()
    flood = [asyncio.create_task(site.enter("alice", f"guess {n}")) for n in range(40)]
    good = asyncio.create_task(site.enter("bob", "other", "10.0.0.2"))
    assert await asyncio.to_thread(site.begun.wait, 10)
    site.gate.set()
    assert status(await good) == 200
    assert site.hashed.index(b"other") <= 2, "no more than what is under way is hashed before it"
    await asyncio.gather(*flood)


async def test_with_nobody_in_the_file_nothing_is_hashed(site):
    site.users.current = {}
    assert status(await site.enter()) == 407 and site.hashed == []


async def test_memory_is_bounded(site, monkeypatch):
    monkeypatch.setattr(door, "MOST_WRONG", 3)
    for n in range(8):
        await site.enter("alice", f"guess {n}")
    assert len(site.door._wrong) == 3
    await site.enter()
    site.users.current = {"bob": OTHER}
    await site.enter("bob", "other", "10.0.0.2")
    assert set(site.door._proofs) == {"bob"}


async def test_no_password_is_kept(site):
    await site.enter()
    await site.enter("alice", "canary")
    held = repr(vars(site.door)) + repr(site.door._proofs) + repr(site.door._wrong)
    assert "canary" not in held and "right" not in held


async def test_marks_are_not_the_same_in_two_processes(site):
    assert site.door._key != Door(site.users)._key
