"""R21: a rule file that is broken, in every way that an editor or a disk breaks one, at the start and while it runs.

While it runs, and at a start with rules kept from before, the last good set stays in force, and health says why; with
nothing to go by everything is denied. Never is a rule open by mistake.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy_addon.policy.rulebook import Rulebook
from tests.faults.killed import Mortal
from tests.faults.nursery import Nursery
from tests.faults.test_disk import health
from tests.faults.test_scrubber import until
from tests.hub import TestHub
from tests.processes import ROOT

TINY = "https://huggingface.co/acme/tiny/resolve/main/config.json"
GOOD = 'version: 1\nrules:\n  - {id: no-acme, effect: deny, match: {repo: "acme/*"}, reason: "no", owner: me}\n'
type Break = Callable[[Path], object]


def replaced(text: str | bytes) -> Break:
    return lambda path: path.write_bytes(text.encode() if isinstance(text, str) else text)


def loops(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def is_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


BREAKS: dict[str, Break] = {
    "cut": replaced(GOOD[:60]),
    "empty": replaced(""),
    "comment": replaced("# nothing\n"),
    "no rules": replaced("version: 1\nrules:\n"),
    "zeros": replaced(bytes(len(GOOD))),
    "latin": replaced(b"\xff" + GOOD.encode()),
    "key": replaced(GOOD.replace("effect", "efect")),
    "value": replaced(GOOD.replace("deny", "dney")),
    "version": replaced(GOOD.replace("version: 1", "version: 2")),
    "twice": replaced(GOOD + GOOD.partition("\n")[2]),
    "bomb": replaced("a: &a [x]\nb: [" + "*a, " * 10 + "]\n"),
    "tag": replaced("!!python/object/apply:os.system [id]\n"),
    "huge": replaced(GOOD + "#" * 20_000_000),
    "gone": Path.unlink,
    "loop": loops,
    "directory": is_a_directory,
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    rules = tmp_path / "h/rules"
    rules.mkdir(parents=True)
    shutil.copy(ROOT / "rules/default.yaml", rules)
    (rules / "own.yaml").write_text(GOOD)
    return rules / "own.yaml"


def mended(own: Path) -> None:
    if own.is_dir() and not own.is_symlink():
        own.rmdir()
    else:
        own.unlink(missing_ok=True)
    own.write_text(GOOD)


@pytest.mark.fault("R21")
@pytest.mark.parametrize("name", BREAKS)
def test_every_way_to_break_it(tmp_path: Path, own: Path, name: str) -> None:
    book = Rulebook((own.parent,), tmp_path / "kept", clock=time.time, keeps=True)
    book.open()
    digest = book.policy.digest
    BREAKS[name](own)
    for _ in range(2):
        book.look()
    assert book.reasons and all("is in force" in reason for reason in book.reasons)
    assert (book.policy.digest, book.policy.size) == (digest, 1)
    again = Rulebook((own.parent,), tmp_path / "kept", clock=time.time, keeps=True)
    again.open()
    assert (again.policy.digest, again.policy.size) == (digest, 1) and again.reasons, "a restart changes nothing"
    mended(own)
    for _ in range(2):
        book.look()
    assert book.reasons == ()


@pytest.mark.fault("R21", tries=4)
def test_broken_while_it_runs(nursery: Nursery, hub: TestHub, tmp_path: Path, own: Path, tries: int) -> None:
    with Mortal(nursery, hub, tmp_path / "h") as mortal:
        seen = ""
        for name in ("cut", "key", "zeros", "gone")[:tries]:
            BREAKS[name](own)
            until(lambda seen=seen: str(health(mortal.proxy)["reasons"]) not in ("[]", seen), f"{name}: nobody is told")  # type: ignore[misc]
            seen = str(health(mortal.proxy)["reasons"])
            assert mortal.proxy.ask(TINY)["X-Policy-Rule"] == "no-acme", name
        mended(own)
        until(lambda: health(mortal.proxy)["status"] == "ok", "it does not end")
        assert hub.requests() == []


@pytest.mark.fault("R21", tries=3)
def test_broken_at_the_start(nursery: Nursery, hub: TestHub, tmp_path: Path, own: Path, tries: int) -> None:
    with Mortal(nursery, hub, tmp_path / "h") as mortal:
        for name in ("cut", "zeros", "directory")[:tries]:
            BREAKS[name](own)
            mortal.killed()
            mortal.again()
            assert health(mortal.proxy)["status"] == "degraded"
            assert mortal.proxy.ask(TINY)["X-Policy-Rule"] == "no-acme", "as it was kept"
            mortal.killed()
            shutil.rmtree(mortal.proxy.cache / "rules")
            mortal.again()
            assert health(mortal.proxy)["status"] == "degraded"
            assert mortal.proxy.ask(TINY).status == mortal.proxy.ask(TINY.replace("acme", "other")).status == 403
            mended(own)
            until(lambda: any(mortal.proxy.cache.glob("rules/*/last-good")), "they are not kept")
            assert health(mortal.proxy)["status"] == "ok"
        assert hub.requests() == []
