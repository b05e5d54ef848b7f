"""R11: a hub, or what stands before it, sends other bytes than the file has, or a page in place of it.

The last of a file is held back until its digest holds, so nobody ends with a whole file of wrong bytes; what came is
not kept, is counted, and the next client gets the right bytes.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from proxy_addon.fetch.fill import TAIL
from proxy_addon.store.contract import PIECE
from tests.faults.asking import Ask, chance, crowd, curl, settled, take
from tests.faults.invariants import served_without
from tests.faults.test_cuts import DOCUMENTS, PLACES, Fault, made, tried
from tests.hub import TestHub, huggingface
from tests.hub.exchange import Answer, Exchange
from tests.processes import Hubgate

PAGE = "<!doctype html><title>Sign in</title><p>This network wants to know you first.</p>"
HTML = {"status": 200, "body": PAGE, "content_type": "text/html"}
LIES: dict[str, Fault] = {
    "another byte": lambda rnd, size: {"corrupt_at": rnd.randrange(size)},
    "another byte at the end": lambda rnd, size: {"corrupt_at": size - 1 - rnd.randrange(1000)},
    "another validator": lambda rnd, size: {"etag": "other", "skip": 1} if size > PIECE else {},
    "a page": lambda rnd, size: HTML,
    "an error page": lambda rnd, size: {**HTML, "status": rnd.choice([500, 503])},
}
COUNTED = {"another byte", "another byte at the end", "another validator"}


@pytest.mark.fault("R11", tries=19)
def test_a_lie_reaches_nobody_as_a_whole_and_is_not_kept(hub: TestHub, hasty: Hubgate, tmp_path: Path) -> None:
    disproved = "hubgate_fills_disproved_total"
    before = hasty.metrics()
    found = tried(hub, hasty, tmp_path, "lies", LIES)
    for what, file, got in found:
        assert got.refused or (got.cut and got.size <= file.source.size - TAIL), f"{what}: {got}"
    settled(hasty)
    counted = [what for what, _, _ in found if what.partition(" at ")[0] in COUNTED]
    assert hasty.metrics()[disproved] - before[disproved] >= len(counted)
    hub.unknob()
    for what, file, _ in found:
        assert (again := take(hasty, file.url)).right(file.source), f"{what}: {again}"
    settled(hasty)
    served_without(hub, hasty, {file.url: file.source for _, file, _ in found})


def page_of(size: int) -> bytes:
    """As long as the file."""
    return (PAGE + " " * size).encode()[:size]


@pytest.mark.fault("R11", tries=2)
@pytest.mark.parametrize("place", PLACES)
def test_a_page_as_long_as_the_file(hub: TestHub, hasty: Hubgate, tmp_path: Path, place: str) -> None:
    """A place that honours ranges, and has a validator, of a page."""
    file = made(hub, place, f"page-{place.split()[0]}", chance(f"page {place}"))
    families, size = hub.families, file.source.size

    async def page(hub: TestHub, ex: Exchange) -> Answer | None:
        if not fnmatchcase(ex.path, file.path):
            return await huggingface.answer(hub, ex)
        return Answer(200, [("Content-Type", "text/html"), ("ETag", '"page"')], page_of(size), ranges=True)

    hub.families = [(file.host, page), *families]
    got = [*crowd(hasty, [Ask(file.url)] * 3), curl(hasty, tmp_path / "curl", file.url, "--http2")]
    hub.families = families
    for took in got:
        assert took.refused or (took.cut and took.size <= size - TAIL), took
    assert take(hasty, file.url).right(file.source)
    settled(hasty)
    served_without(hub, hasty, {file.url: file.source})


@pytest.mark.fault("R11", tries=3)
def test_a_page_in_place_of_json(hub: TestHub, hasty: Hubgate) -> None:
    """It is not kept, and what is known already stands in."""
    known = [take(hasty, url) for url in DOCUMENTS]
    hub.knob(path="/api/*", **HTML)
    new = [f"{url}{'&' if '?' in url else '?'}page=1" for url in DOCUMENTS]
    for url, asked, was in zip(DOCUMENTS, new, known, strict=True):
        assert (got := take(hasty, asked)).refused and b"a page where a document was due" in got.body, got
        assert (took := take(hasty, url)).right_as(was) and "stale-if-error" in took.fields["cache-status"], took
    hub.unknob()
    assert all(json.loads(take(hasty, url).body) for url in new)


@pytest.mark.fault("R11", tries=2)
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_page_in_place_of_a_redirect(hub: TestHub, hasty: Hubgate, method: str) -> None:
    """A captive network answers for the hub itself: no fact about the file is believed."""
    for place in PLACES:
        file = made(hub, place, f"captive-{method}-{place.split()[0]}", chance(f"captive {method} {place}"))
        knob = hub.knob(host="*", **HTML)
        got = take(hasty, file.url, method=method)
        assert got.refused or ("x-repo-commit" not in got.fields and got.size != file.source.size), got
        hub.unknob(knob)
        assert take(hasty, file.url).right(file.source)
