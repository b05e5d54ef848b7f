import pytest

from proxy_addon.config import places
from proxy_addon.config.places import Listen, OtherHost


def test_listen():
    assert places.listen("127.0.0.1:8080") == Listen("127.0.0.1", 8080)
    assert places.listen("[::1]:0") == Listen("::1", 0)
    assert places.listen("localhost:1") == Listen("127.0.0.1", 1)
    assert str(Listen("::1", 5)) == "[::1]:5"
    assert [places.listen(at).loopback for at in ("127.9.9.9:1", "[::1]:1", "0.0.0.0:1", "10.0.0.1:1")] == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["8080", "127.0.0.1", ":8080", "127.0.0.1:99999", "::1:8080", "*:80", "host:80", 8080])
def test_a_listener_that_is_none(text):
    with pytest.raises(ValueError, match=r"write|ports are"):
        places.listen(text)


def test_other_hosts():
    exact, port, below = map(places.other_host, ("Download.PyTorch.org.", "a.example:8443", "*.bücher.example"))
    assert exact == OtherHost("download.pytorch.org")
    assert exact.matches("download.pytorch.org", 80) and not exact.matches("x.download.pytorch.org", 80)
    assert port.matches("a.example", 8443) and not port.matches("a.example", 443)
    assert below.matches("a.b.xn--bcher-kva.example", 1)
    assert not below.matches("xn--bcher-kva.example", 1) and not below.matches("evilxn--bcher-kva.example", 1)
    assert str(below) == "*.xn--bcher-kva.example"


@pytest.mark.parametrize(
    "text", ["https://a.b/", "10.0.0.1", "*", "*.org", "a..b", "a b", "-a.b", "a.b:", "a.b:x", 5, ""]
)
def test_what_is_no_other_host(text):
    with pytest.raises(ValueError, match=r"write|name at least|ports are"):
        places.other_host(text)


def test_connect_to_prefers_the_more_specific_rule():
    rules = places.connect_to(
        {"*:*": "127.0.0.1:1", "*:443": "127.0.0.1:2", "Hub.Example:443": "[::1]:3", "hub.example:*": "proxy:4"}
    )
    assert rules.lookup("hub.example", 443) == ("::1", 3)
    assert rules.lookup("hub.example", 80) == ("proxy", 4)
    assert rules.lookup("cdn.example", 443) == ("127.0.0.1", 2)
    assert rules.lookup("cdn.example", 80) == ("127.0.0.1", 1)
    assert places.connect_to({"*:443": "h:1"}).lookup("cdn.example", 80) is None
    assert not places.connect_to({})


@pytest.mark.parametrize(
    "rules", [[], "a:1", {"a": "b:1"}, {"a:1": "b"}, {"a:1": "b:0"}, {5: "b:1"}, {":1": "b:1"}, {"a:1": 5}]
)
def test_what_is_no_connect_to(rules):
    with pytest.raises(ValueError, match=r"write|ports are"):
        places.connect_to(rules)


def test_mirrors():
    assert places.mirror("https://hf-mirror.example/base/") == "https://hf-mirror.example/base"
    assert places.mirror("http://127.0.0.1:8000") == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    "text", ["http://a.example", "ftp://a", "a.example", "https://", "https://h:x", "https://a b", 5]
)
def test_what_is_no_mirror(text):
    with pytest.raises(ValueError, match=r"write|not safe"):
        places.mirror(text)


@pytest.mark.parametrize("text", ["https://u:hunter2@h.example", "http://u:hunter2@h.example/?x"])
def test_a_password_is_never_echoed(text):
    with pytest.raises(ValueError, match="drop user") as fault:
        places.mirror(text)
    assert "hunter2" not in str(fault.value)


def test_proxy():
    assert places.proxy("http://u:p@proxy.example:3128/") == "http://u:p@proxy.example:3128"
    for text in ("socks5://u:hunter2@h:1", "proxy:3128", "http://h:1/path?hunter2"):
        with pytest.raises(ValueError, match="write http://proxy") as fault:
            places.proxy(text)
        assert "hunter2" not in str(fault.value)
