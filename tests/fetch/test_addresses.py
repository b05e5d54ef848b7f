"""Which addresses may be dialled."""

from __future__ import annotations

import socket

import pytest

from proxy_addon.config.places import ConnectTo
from proxy_addon.core.errors import UpstreamFailed
from proxy_addon.fetch import addresses
from proxy_addon.fetch.addresses import Resolver, is_literal, is_public

PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
    "fd00:ec2::254", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1",
    "::127.0.0.1", "::10.0.0.1", "fec0::1", "feff::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public(address: str) -> None:
    assert is_public(address)


def test_literals() -> None:
    assert all(map(is_literal, ["1.2.3.4", "::1", "[::1]"]))
    assert not any(map(is_literal, ["hf.co", "1.2.3", "0x7f.1", "2130706433", ""]))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "2130706433", "0x7f.1", "127.1"])
async def test_every_spelling_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(UpstreamFailed):
        await Resolver(ConnectTo()).checked(host, 443)


async def test_the_operators_word_goes_first() -> None:
    resolver = Resolver(ConnectTo((("hub.test", 443, "127.0.0.1", 8443),)))
    assert await resolver.checked("hub.test", 443) == ("127.0.0.1", 8443)
    with pytest.raises(UpstreamFailed):
        await resolver.checked("localhost", 8443)


async def test_a_public_literal_is_what_it_says() -> None:
    assert await Resolver(ConnectTo()).checked("[2606:4700::1111]", 443) == ("2606:4700::1111", 443)


async def test_the_resolver_gives_only_what_was_checked() -> None:
    with pytest.raises(OSError, match="private address"):
        await Resolver(ConnectTo()).resolve("localhost", 443)
    found = await Resolver(ConnectTo(((None, None, "127.0.0.1", 9),))).resolve("anything.example", 443)
    assert {(entry["host"], entry["port"]) for entry in found} == {("127.0.0.1", 9)}


async def test_the_operators_own_proxy_and_mirrors_may_be_private() -> None:
    resolver = Resolver(ConnectTo(), trusted={("localhost", 3128)})
    assert (await resolver.resolve("localhost", 3128))[0]["port"] == 3128
    with pytest.raises(OSError, match="private address"):
        await resolver.resolve("localhost", 443)
    with pytest.raises(UpstreamFailed):  # a client that tunnels has no part in that trust
        await resolver.checked("localhost", 3128)


async def test_a_public_address_of_this_machine_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if loopback were public: there is no other address that every machine has."""
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    assert addresses.is_here("127.0.0.1") and not addresses.is_here("192.0.2.77")
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(UpstreamFailed, match=r"this machine|back here"):
            await Resolver(ConnectTo()).checked(host, 443)


async def test_of_several_addresses_those_that_are_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the one that was looked at, not the name, is what is connected to."""
    answers = [["127.0.0.1", "8.8.8.8"], ["10.0.0.1"]]

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", (address, port)) for address in answers.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert await Resolver(ConnectTo()).checked("rebinds.example", 443) == ("8.8.8.8", 443)
    with pytest.raises(UpstreamFailed):
        await Resolver(ConnectTo()).checked("rebinds.example", 443)
