"""curl and aria2 on a CDN link that they have from elsewhere: whole, resumed, in sixteen pieces; both hubs."""

from __future__ import annotations

import hashlib

import pytest

from tests.clients.conftest import Site
from tests.clients.test_tools import ARIA2, CURL1, SIZE
from tests.hub.ask import ask

PLACES = {
    "huggingface": "https://huggingface.co/{}/resolve/main/big.bin",
    "modelscope": "https://www.modelscope.cn/models/{}/resolve/master/big.bin",
}


def link(site: Site, place: str, name: str, seed: int) -> tuple[str, str]:
    """A good link, which the proxy has not seen, and the digest of what it leads to."""
    sha256 = site.hub.add_synthetic(f"acme/{name}", "big.bin", SIZE, seed=seed, hub=place)  # type: ignore[arg-type]
    found = ask(site.hub, PLACES[place].format(f"acme/{name}")).location
    site.hub.clear()
    return found, sha256


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("tool", [ARIA2, CURL1], ids=["aria2", "curl"])
def test_a_link_costs_one_body_cold_and_none_warm(site: Site, place: str, tool: tuple[str, ...]) -> None:
    found, sha256 = link(site, place, f"cdn-{tool[0]}", 300 + 2 * list(PLACES).index(place) + (tool is CURL1))
    for bodies in (1.0, 0.0):
        site.hub.clear()
        home = site.tool(*tool, found)
        assert hashlib.sha256((home / "got").read_bytes()).hexdigest() == sha256
        assert bodies <= site.hub.bodies_of(sha256) < bodies + 0.001  # one byte more tells that the link is good


@pytest.mark.parametrize("place", PLACES)
def test_a_link_is_taken_up_where_it_was_left(site: Site, place: str) -> None:
    found, sha256 = link(site, place, "cdn-left", 310 + list(PLACES).index(place))
    assert hashlib.sha256((site.tool(*CURL1, found) / "got").read_bytes()).hexdigest() == sha256
    site.hub.stop()
    for tool, flag in ((CURL1, ("-C", "-")), (ARIA2, ("-c",))):
        home = site.home()
        home.mkdir()
        whole = site.proxy.ask(found).body
        (home / "got").write_bytes(whole[:7_000_000])
        site.tool(*tool, *flag, found, home=home)
        assert hashlib.sha256((home / "got").read_bytes()).hexdigest() == sha256
