"""`hubs.others` with the tools that people use: releases, wheels, package lists; each by RFC 9111."""

from __future__ import annotations

import hashlib
import itertools
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.clients.conftest import Site
from tests.clients.run import python_of
from tests.hub import Scripted, TestHub
from tests.hub.exchange import Answer, Exchange, redirect
from tests.processes import Hubgate, configuration

HOST = "https://plain.example"
OTHERS = {"others": ["plain.example", "*.plain.example"]}
BODY = hashlib.shake_256(b"release").digest(6_000_000)
ETAG = {"ETag": '"r1"', "Last-Modified": "Wed, 01 Oct 2025 00:00:00 GMT"}
FRESH = {"Cache-Control": "public, max-age=3600", **ETAG}
NUMBERS = itertools.count()
CURL = ("curl", "-sSfL", "-o", "got")


@pytest.fixture(scope="module")
def shared(hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose CA may name the further hosts."""
    folder = tmp_path_factory.mktemp("plain")
    with Hubgate(configuration(folder, hub, hubs=OTHERS)) as proxy:
        yield Site(hub, proxy, proxy.bundle, folder)


def got(folder: Path) -> bytes:
    return (folder / "got").read_bytes()


# -- releases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_a_release_is_fetched_once(site: Site, http: str) -> None:
    url = f"{HOST}/releases{http}/tool.tar.gz"
    site.hub.script(f"/releases{http}/tool.tar.gz", Scripted(200, FRESH, BODY, ranges=True))
    for _ in ("cold", "warm"):
        assert got(site.tool(*CURL, http, url)) == BODY
    assert len(site.hub.requests()) == 1
    site.hub.stop()
    assert got(site.tool("wget", "-q", "-O", "got", "--ca-certificate={ca}", url)) == BODY


@pytest.mark.parametrize(
    "command",
    [(*CURL, "-C", "-"), ("wget", "-q", "-c", "-O", "got", "--ca-certificate={ca}")],
    ids=["curl", "wget"],
)
def test_a_release_goes_on_where_it_was_cut(site: Site, command: tuple[str, ...]) -> None:
    path = f"/resumed/{command[0]}/tool.tar.gz"
    site.hub.script(path, Scripted(200, FRESH, BODY, ranges=True))
    for sent in (len(BODY) - 2_500_001, 0):
        home = site.home()
        home.mkdir()
        (home / "got").write_bytes(BODY[:2_500_001])
        site.hub.clear()
        assert got(site.tool(*command, HOST + path, home=home)) == BODY
        assert site.hub.bytes_sent() == sent
        site.tool(*CURL, HOST + path)


def signed_releases(hub: TestHub) -> None:
    """As big sites have it: a redirect to a store of objects, signed anew each time."""
    given: set[str] = set()

    def release(ex: Exchange) -> Answer:
        signature = f"X-Amz-Date=2026&X-Amz-Expires=300&X-Amz-Signature=SECRET{next(NUMBERS)}"
        given.add(f"{signature}&response-content-type=a%2Fb")
        return redirect(302, f"https://objects.plain.example/bucket/77?{signature}&response-content-type=a%2Fb")

    def asset(ex: Exchange) -> Answer:
        if ex.record.query not in given:
            return Answer(403, [], b"no signature")
        return Answer(200, [*ETAG.items()], BODY, ranges=True, conditional=True)

    hub.on("/acme/tool/releases/download/*", release)
    hub.on("/bucket/*", asset, host="objects.plain.example")


def test_a_release_behind_signed_redirects_is_fetched_once(site: Site) -> None:
    signed_releases(site.hub)
    url = f"{HOST}/acme/tool/releases/download/v1/tool.tar.gz"
    for _ in ("cold", "warm"):
        assert got(site.tool(*CURL, url)) == BODY
    assert site.hub.bytes_sent(host="objects.plain.example") == len(BODY)
    stores = [file for file in (site.folder / "cache").rglob("*") if file.is_file()]
    assert len(stores) > 2
    assert not [file for file in (*stores, site.folder / "access.log") if b"SECRET" in file.read_bytes()]


def test_nobody_gets_in_by_a_link_that_was_not_issued(site: Site) -> None:
    signed_releases(site.hub)
    site.tool(*CURL, f"{HOST}/acme/tool/releases/download/v1/tool.tar.gz")
    forged = site.proxy.ask(
        "https://objects.plain.example/bucket/77?X-Amz-Signature=guessed&response-content-type=a%2Fb"
    )
    assert (forged.status, forged.body) == (403, b"no signature")


def test_a_release_for_which_a_token_was_needed_is_shared_with_nobody(site: Site) -> None:
    signed_releases(site.hub)
    url, token = f"{HOST}/acme/tool/releases/download/v2/tool.tar.gz", ("-H", "Authorization: Bearer mine")
    for count in (1, 2):
        assert got(site.tool(*CURL, *token, url)) == BODY
        assert len(site.hub.requests(host="objects.plain.example", status=200)) == count


# -- wheels ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def wheel(tmp_path: Path) -> bytes:
    info = "demo-1.0.dist-info"
    with closing(zipfile.ZipFile(tmp_path / "demo.whl", "w")) as archive:
        archive.writestr("demo.bin", BODY[:2_000_000])
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"demo.bin,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return (tmp_path / "demo.whl").read_bytes()


def test_a_wheel_by_pip(site: Site, wheel: bytes) -> None:
    name = "demo-1.0-py3-none-any.whl"
    link = f'<a href="https://files.plain.example/{name}#sha256={hashlib.sha256(wheel).hexdigest()}">{name}</a>'
    html = {"Content-Type": "text/html", "Cache-Control": "max-age=600, public", "ETag": '"index"'}
    forever = {"Cache-Control": "max-age=365000000, immutable, public", "ETag": '"wheel"'}
    site.hub.script("/simple/demo/", Scripted(200, html, f"<!DOCTYPE html><html><body>{link}</body></html>"))
    site.hub.script(f"/{name}", Scripted(200, forever, wheel, ranges=True), host="files.plain.example")
    pip = (str(python_of("hub1")), "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check")
    for _ in ("cold", "warm"):
        home = site.home()
        site.said(*pip, "--index-url", f"{HOST}/simple/", "demo==1.0", home=home, PIP_CONFIG_FILE="/dev/null")
        assert (home / name).read_bytes() == wheel
    assert len(site.hub.requests(path=f"/{name}")) == 1
    assert [seen.status for seen in site.hub.requests(path="/simple/demo/")] == [200, 304], "pip always asks anew"


# -- lists that change ----------------------------------------------------------------------------------------------


def test_a_list_that_is_asked_for_only_if_it_has_changed(site: Site) -> None:
    """As apt does: `Cache-Control: max-age=0` and the date of the copy that it has."""
    dated = {"Last-Modified": "Wed, 01 Oct 2025 00:00:00 GMT", "Cache-Control": "max-age=3600", "ETag": '"one"'}
    newer = {**dated, "Last-Modified": "Thu, 02 Oct 2025 00:00:00 GMT", "ETag": '"two"'}
    one, two = Scripted(200, dated, "one\n"), Scripted(200, newer, "two\n")
    site.hub.script("/dists/InRelease", one, one, two)
    url, apt = f"{HOST}/dists/InRelease", ("-R", "-H", "Cache-Control: max-age=0")
    home = site.tool(*CURL, *apt, url)
    for body, statuses in ((b"one\n", [200, 304]), (b"two\n", [200, 304, 200])):
        site.tool(*CURL, *apt, "-z", "got", url, home=home)
        assert got(home) == body
        assert [seen.status for seen in site.hub.requests()] == statuses
    assert got(site.tool(*CURL, url)) == b"two\n"
    assert len(site.hub.requests()) == 3, "who does not insist gets what is fresh"


def test_variants_of_one_url(site: Site) -> None:
    site.hub.on("/varied", lambda ex: Answer(200, [*FRESH.items(), ("Vary", "Accept")], ex.header("accept").encode()))
    for _ in ("cold", "warm"):
        for kind in ("text/html", "application/json"):
            assert got(site.tool(*CURL, "-H", f"Accept: {kind}", f"{HOST}/varied")) == kind.encode()
    assert len(site.hub.requests()) == 2


def test_what_may_not_be_kept_is_not(site: Site) -> None:
    for name, field in (("no-store", "no-store"), ("private", "private, max-age=60")):
        site.hub.script(f"/{name}", Scripted(200, {"Cache-Control": field}, "mine"))
        for count in (1, 2):
            assert got(site.tool(*CURL, f"{HOST}/{name}")) == b"mine"
            assert len(site.hub.requests(path=f"/{name}")) == count
