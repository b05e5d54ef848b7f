"""Links to the CDN that a user got elsewhere, on another machine say, and downloads through the proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Site
from tests.clients.test_tools import ARIA2, CURL1, CURL2, WGET, put, sha256
from tests.hub import Synthetic
from tests.hub.ask import ask

TOOLS = {"aria2": ARIA2, "curl-h1": CURL1, "curl-h2": CURL2, "wget": WGET}
RESUMED = {
    "aria2": (*ARIA2, "-c"),
    "curl-h1": (*CURL1, "-C", "-"),
    "curl-h2": (*CURL2, "-C", "-"),
    "wget": (*WGET, "-c"),
}


def linked(site: Site, id: str, seed: int) -> tuple[str, Synthetic]:
    """A new file: a signed link to it, of which the proxy has seen nothing, and its bytes."""
    url, source = put(site, id, seed)
    link = ask(site.hub, url).location
    assert link is not None and link.startswith("https://cdn-lfs")
    site.hub.clear()
    return link, source


def once(site: Site, source: Synthetic) -> bool:
    """The hub has sent all of it once; a byte more may have gone to find out whether a link is good."""
    return 1.0 <= site.hub.bodies_of(source.sha256) < 1.0001


@pytest.mark.parametrize("name", TOOLS)
def test_a_link_cold_and_warm(site: Site, name: str) -> None:
    link, source = linked(site, f"acme/linked-{name}", seed=100 + list(TOOLS).index(name))
    for _ in ("cold", "warm"):
        assert sha256(site.tool(*TOOLS[name], link) / "got") == source.sha256
        assert once(site, source)


@pytest.mark.parametrize("name", RESUMED)
def test_a_link_goes_on_where_it_was_cut(site: Site, name: str) -> None:
    link, source = linked(site, f"acme/cut-{name}", seed=110 + list(TOOLS).index(name))
    for _ in ("cold", "warm"):
        home = begun(site, source, 7_000_000)
        assert sha256(site.tool(*RESUMED[name], link, home=home) / "got") == source.sha256
    assert site.hub.bodies_of(source.sha256) < 1.0001


def begun(site: Site, source: Synthetic, size: int) -> Path:
    home = site.home()
    home.mkdir()
    (home / "got").write_bytes(source.read(0, size))
    return home


def test_a_link_and_the_file_are_one_body(site: Site) -> None:
    link, source = linked(site, "acme/both", seed=120)
    assert sha256(site.tool(*ARIA2, link) / "got") == source.sha256
    assert sha256(site.tool(*CURL1, "https://huggingface.co/acme/both/resolve/main/big.bin") / "got") == source.sha256
    assert once(site, source)


def test_a_forged_link_opens_nothing(site: Site) -> None:
    link, source = linked(site, "acme/forged", seed=121)
    site.tool(*CURL1, link)
    place = link.partition("?")[0]
    for query in ("", "?Expires=9999999999&Signature=x&Key-Pair-Id=k"):
        assert site.proxy.ask(place + query).status == 403
    assert once(site, source)
