"""Passwords in a running server: who is let in, as whom he is judged, what a flood costs, where no password may be."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import socket
import ssl
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from proxy_addon.auth import htpasswd, schemes
from tests.hub import TestHub
from tests.processes import Answer, Hubgate, configuration, everything, hubgate, open_tunnel
from tests.serve.test_plugin import plugin
from tests.serve.test_reload import TINY, eventually

HOST = "huggingface.co"
PATH = "/acme/tiny/resolve/main/config.json"
PLAIN = "GET http://plain.example/{} HTTP/1.1\r\nHost: plain.example\r\n{}\r\n"
CANARY = "canary-4f1d9c"
ALICE, BOB = f"alice-{CANARY}", f"bob:{CANARY}@/%"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def line(user: str, password: str) -> str:
    return f"{user}:{schemes.made(password.encode())}\n"


def through(
    proxy: Hubgate, user: str | None = None, password: str = "", host: str = HOST
) -> http.client.HTTPSConnection:
    connection = open_tunnel(proxy.port, proxy.ca / "ca.pem", host)
    if user is not None:
        connection.set_tunnel(host, 443, {"Proxy-Authorization": basic(user, password)})
    return connection


def get(connection: http.client.HTTPSConnection, path: str = PATH, **headers: str) -> Answer:
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return Answer(response.status, response.reason, response.headers, response.read())


def refused(proxy: Hubgate, *lines: str, target: str = f"{HOST}:443") -> bytes:
    """What is said to a CONNECT that is not let in."""
    head = "".join(f"{line}\r\n" for line in (f"Host: {target}", *lines, "Connection: close"))
    return proxy.said(f"CONNECT {target} HTTP/1.1\r\n{head}\r\n".encode())


def may(proxy: Hubgate, user: str, password: str) -> bool:
    try:
        return get(through(proxy, user, password)).status == 200
    except OSError as refusal:
        assert "407" in str(refusal)
        return False


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    cost10 = bcrypt.hashpw(BOB.encode(), bcrypt.gensalt(10)).decode().replace("$2b$", "$2y$")
    file.write_text("# who\n" + line("alice", ALICE) + f"\nbob:{cost10}\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def locked(start: Callable[..., Hubgate], users: Path, tmp_path: Path) -> Callable[..., Hubgate]:
    """Starts a proxy that asks for passwords."""
    return lambda **keys: start(auth=str(users), **keys)


def rewrite(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    os.replace(new, file)


def test_only_who_shows_a_password_gets_anything(locked: Callable[..., Hubgate], hub: TestHub) -> None:
    proxy = locked()
    assert get(through(proxy, "alice", ALICE)).status == get(through(proxy, "bob", BOB)).status == 200
    before = len(hub.requests())
    for lines, words in (
        ((), "this proxy wants a user and a password"),
        ((f"Proxy-Authorization: {basic('alice', BOB)}",), "the user or the password for this proxy is wrong"),
        ((f"Proxy-Authorization: {basic('mallory', ALICE)}",), "the user or the password for this proxy is wrong"),
        ((f"Proxy-Authorization: {basic('alice', '')}",), "the user or the password for this proxy is wrong"),
        (("Proxy-Authorization: Bearer x",), "one `Proxy-Authorization: Basic`"),
        ((f"Proxy-Authorization: {basic('alice', ALICE)}",) * 2, "one `Proxy-Authorization: Basic`"),
        ((f"Authorization: {basic('alice', ALICE)}",), "this proxy wants a user and a password"),
    ):
        for target in (f"{HOST}:443", "elsewhere.example:443"):
            said = refused(proxy, *lines, target=target).decode()
            assert said.startswith("HTTP/1.1 407 ") and words in said.partition("\r\n")[0], said
            assert 'Proxy-Authenticate: Basic realm="hubgate", charset="UTF-8"\r\n' in said
            assert words in json.loads(said.partition("\r\n\r\n")[2])["error"]
    with pytest.raises(OSError, match="407"):
        get(through(proxy))
    assert len(hub.requests()) == before


def test_an_absolute_request_shows_it_each_time(start: Callable[..., Hubgate], users: Path, hub: TestHub) -> None:
    proxy = start(auth=str(users), hubs={"others": ["plain.example"]})
    alice = f"Proxy-Authorization: {basic('alice', ALICE)}\r\n"
    with socket.create_connection(("127.0.0.1", proxy.port), 60) as plain:
        replies = []
        for fields in ("", alice, alice, "", f"Proxy-Authorization: {basic('alice', BOB)}\r\n", alice):
            plain.sendall(PLAIN.format("x", fields).encode())
            reply = http.client.HTTPResponse(plain)
            reply.begin()
            replies.append((reply.status, reply.getheader("Proxy-Authenticate") is not None))
            reply.read()
    assert [status == 407 for status, _ in replies] == [asked for _, asked in replies]
    assert [asked for _, asked in replies] == [True, False, False, True, True, False]
    posted = "POST http://plain.example/x HTTP/1.1\r\nHost: plain.example\r\nContent-Length: 9\r\n\r\nGET / HTT"
    said = proxy.said(posted.encode())
    assert said.count(b"HTTP/1.1 ") == 1 and said.startswith(b"HTTP/1.1 407 ") and b"Connection: close" in said
    assert proxy.metrics()["hubgate_auth_verified_total"] == 2


RULES = """
version: 1
rules:
  - {id: not-for-bob, effect: deny, match: {repo: "acme/*", user: bob}, reason: "Not for {user}.", owner: me}
"""


def test_each_user_is_judged_by_his_own_rules(locked: Callable[..., Hubgate], tmp_path: Path) -> None:
    (tmp_path / "hubgate/rules").mkdir(parents=True)
    (tmp_path / "hubgate/rules/own.yaml").write_text(RULES)
    proxy = locked()
    alice, bob = through(proxy, "alice", ALICE), through(proxy, "bob", BOB)
    for _ in range(3):  # in memory from the second time on, in whatever order they come
        assert get(alice).status == 200
        denied = get(bob)
        assert denied.status == 403 and denied["X-Policy-Rule"] == "not-for-bob"
        assert "Not for bob." in (denied["X-Error-Message"] or "")
    assert get(bob)["X-Policy-Rule"] and get(alice).status == 200
    assert proxy.stop() == 0
    lines = [
        (line["user"], line["status"], line.get("rule")) for line in proxy.logged() if "config.json" in line["url"]
    ]
    assert set(lines) == {("alice", 200, None), ("bob", 403, "not-for-bob")} and len(lines) == 8
    told = json.loads(hubgate("rules", "report", "--json", "--config", str(proxy.config)).stdout)
    assert [(each["name"], each["requests"]) for each in told["denied"]["users"]] == [("bob", 4)]


def test_two_users_on_one_plain_connection_are_two_users(
    start: Callable[..., Hubgate], users: Path, tmp_path: Path
) -> None:
    proxy = start(auth=str(users), hubs={"others": ["plain.example"]})
    with socket.create_connection(("127.0.0.1", proxy.port), 60) as plain:
        for name, password in (("alice", ALICE), ("bob", BOB)) * 2:
            plain.sendall(PLAIN.format(name, f"Proxy-Authorization: {basic(name, password)}\r\n").encode())
            reply = http.client.HTTPResponse(plain)
            reply.begin()
            reply.read()
    assert proxy.stop() == 0
    assert [(line["user"], line["url"].rpartition("/")[2]) for line in proxy.logged()] == [
        ("alice", "alice"), ("bob", "bob"),
    ] * 2  # fmt: skip


def test_who_is_taken_out_is_out_at_the_next_request(locked: Callable[..., Hubgate], users: Path) -> None:
    proxy = locked()
    alice, bob = through(proxy, "alice", ALICE), through(proxy, "bob", BOB)
    assert get(alice).status == get(bob).status == 200
    kept = users.read_text()
    rewrite(users, "".join(row for row in kept.splitlines(keepends=True) if not row.startswith("bob")))
    proxy.wait_for("auth: 1 users in force")
    gone = get(bob)
    assert gone.status == 403 and "may not use this proxy any more" in gone.json["error"]
    assert gone["Connection"] == "close" and get(alice).status == 200
    with pytest.raises(OSError, match="407"):
        get(through(proxy, "bob", BOB))
    rewrite(users, kept)
    proxy.wait_for("auth: 2 users in force")
    assert get(through(proxy, "bob", BOB)).status == 200, "what was wrong a moment ago is not any more"
    rewrite(users, re.sub("alice:.*\n", line("alice", "another"), kept))
    eventually(lambda: may(proxy, "alice", "another"))
    assert get(alice).status == 403 and not may(proxy, "alice", ALICE)


def health(proxy: Hubgate) -> Any:
    connection = http.client.HTTPConnection(proxy.settings["admin"]["listen"], timeout=60)
    connection.request("GET", "/healthz")
    return json.loads(connection.getresponse().read())["reasons"]


def test_a_broken_edit_keeps_who_was_good_last(locked: Callable[..., Hubgate], users: Path) -> None:
    proxy = locked()
    kept = users.read_text()
    for bad, word in (
        (kept + "carol:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n", f"{users}:5: carol: the password is kept as SHA-1"),
        (kept.replace("bob:", "Alice:"), f"{users}:4: Alice: differs from alice in case only, on line 2"),
    ):
        rewrite(users, bad)
        assert word in proxy.wait_for(word) and "qUqP5" not in proxy.told
        assert word in health(proxy)[0] and health(proxy)[0].endswith("the users that were good last are in force")
        assert get(through(proxy, "alice", ALICE)).status == get(through(proxy, "bob", BOB)).status == 200
    users.unlink()
    proxy.wait_for(f"{users}: cannot be read: No such file")
    assert get(through(proxy, "alice", ALICE)).status == 200
    rewrite(users, kept)
    eventually(lambda: health(proxy) == [])
    users.chmod(0o644)
    proxy.wait_for(f"{users}: is open to others (mode 0644); chmod 600 {users}")
    users.chmod(0o600)
    rewrite(users, "# nobody\n")
    proxy.wait_for("auth: 0 users in force")
    assert b" 407 " in refused(proxy, f"Proxy-Authorization: {basic('alice', ALICE)}")
    assert "names nobody" in health(proxy)[0]


def test_a_flood_of_wrong_passwords_is_hashed_ten_times_and_who_is_right_not_again(
    locked: Callable[..., Hubgate],
) -> None:
    proxy = locked()
    alice = through(proxy, "alice", ALICE)
    assert get(alice).status == 200
    said = [refused(proxy, f"Proxy-Authorization: {basic('alice', f'guess {n}')}") for n in range(60)]
    statuses = [int(each[9:12]) for each in said]
    assert statuses[:10] == [407] * 10 and set(statuses[10:]) <= {407, 429} and statuses.count(429) >= 40
    late = said[statuses.index(429)]
    assert b"too many wrong passwords for this proxy came from this address; wait " in late and b"Retry-After: " in late
    before = proxy.metrics()
    assert before["hubgate_auth_verified_total"] == 1 + statuses.count(407)
    assert before["hubgate_auth_refused_total"] == 60
    for _ in range(20):
        assert get(alice).status == get(through(proxy, "alice", ALICE)).status == 200
    assert proxy.metrics()["hubgate_auth_verified_total"] == before["hubgate_auth_verified_total"]
    other = socket.create_connection(("127.0.0.1", proxy.port), 60, source_address=("127.0.0.9", 0))
    with other:
        other.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\nProxy-Authorization: {basic('bob', BOB)}\r\n\r\n".encode())
        assert b" 200 " in other.recv(4096), "another address is not guilty"


def test_the_password_is_nowhere(locked: Callable[..., Hubgate], hub: TestHub, tmp_path: Path) -> None:
    proxy = locked(hubs={"others": ["plain.example"]})
    encoded = base64.b64encode(f"alice:{ALICE}".encode()).decode()
    field = f"Proxy-Authorization: {basic('alice', ALICE)}"
    assert get(through(proxy, "alice", ALICE), **{"Proxy-Authorization": basic("alice", ALICE)}).status == 200
    passed = through(proxy, "alice", ALICE)
    get(passed, "/acme/tiny.git/info/refs?service=git-upload-pack", **{"Proxy-Authorization": basic("alice", ALICE)})
    get(through(proxy, "alice", ALICE), "/api/whoami-v2", **{"Proxy-Authorization": basic("alice", ALICE)})
    proxy.said(PLAIN.format("x", f"{field}\r\nConnection: close\r\n").encode())
    said = [refused(proxy, f"Proxy-Authorization: {basic('alice', ALICE + 'x')}"), refused(proxy, field, "bad line")]
    with socket.create_connection(("127.0.0.1", proxy.port), 60) as cut:
        cut.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\n{field}\r\n".encode())
        cut.shutdown(socket.SHUT_WR)
        said.append(everything(cut))
    told = [proxy.asked_admin(path).body for path in ("/", "/metrics", "/healthz")]
    assert any(request.path.endswith("/info/refs") for request in hub.requests())
    for request in hub.requests():
        assert "proxy-authorization" not in {name.lower() for name in dict(request.headers)}
    assert proxy.stop() == 0
    everywhere = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()] + said + told
    everywhere.append(proxy.told.encode())
    for secret in (CANARY, encoded, encoded[8:40]):
        assert not any(secret.encode() in each for each in everywhere)
    assert len(proxy.logged()) >= 6


@pytest.mark.parametrize(
    ("text", "mode", "fault"),
    [
        (
            "alice:$apr1$x$y\n",
            0o600,
            "{0}:1: alice: the password is kept as MD5 (apr1), which is too weak; only bcrypt",
        ),
        ("\nbob:hunter2-canary\n", 0o600, "{0}:2: bob: the password is kept as plain text or DES"),
        ("alice\n", 0o600, "{0}:1: is no `name:hash`; remove the line"),
        ("# fine\n", 0o604, "{0}: is open to others (mode 0604); chmod 600 {0}"),
        ("# fine\n", 0o660, "{0}: is open to others (mode 0660); chmod 600 {0}"),
        (None, 0, "{0}: cannot be read: No such file or directory; write it with: hubgate auth add USER"),
    ],
)
def test_no_port_is_opened_with_a_file_that_is_not_good(tmp_path, text, mode, fault) -> None:
    file = tmp_path / "users"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    done = hubgate("serve", "--config", str(configuration(tmp_path, auth="users")))
    assert done.returncode == 2 and fault.format(file) in done.stderr
    assert f"{tmp_path}/hubgate.yaml:" in done.stderr and ": auth: " in done.stderr
    assert "canary" not in done.stderr and "listens" not in done.stderr


def test_a_listener_for_the_network_needs_clients_or_auth(tmp_path, users: Path) -> None:
    config = configuration(tmp_path, listen="0.0.0.0:0")
    done = hubgate("serve", "--config", str(config))
    assert done.returncode == 2 and "add `clients: [10.0.0.0/8]` with your own networks, or `auth`, or" in done.stderr
    with Hubgate(configuration(tmp_path, listen="0.0.0.0:0", auth=str(users))) as proxy:
        assert b" 407 " in refused(proxy)
        with pytest.raises((OSError, ssl.SSLError)):
            get(through(proxy, "alice", "wrong"))
    open_admin = configuration(tmp_path, admin={"listen": "0.0.0.0:0"}, auth=str(users))
    assert "admin.listen: is open to the network" in hubgate("serve", "--config", str(open_admin)).stderr


def test_names_and_passwords_in_any_letters(start: Callable[..., Hubgate], tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_bytes(htpasswd.with_user(b"", "größe", schemes.made("päßwörd 密码".encode())))
    file.chmod(0o600)
    proxy = start(auth=str(file))
    for name in ("größe", unicodedata.normalize("NFD", "größe")):
        assert get(through(proxy, name, "päßwörd 密码")).status == 200
    with pytest.raises(OSError, match="407"):
        proxy.ask(TINY)


def test_the_plugin_asks_too_and_mitmdump_shows_no_password(hub: TestHub, users: Path, tmp_path: Path) -> None:
    config = configuration(tmp_path / "plugin", hub, auth=str(users), access_log=None)
    with plugin(config, tmp_path / "mitm") as mitmdump:
        port = int(mitmdump.wait_for("listening at").rpartition(":")[2].strip(" .\n"))
        ca = tmp_path / "mitm/mitmproxy-ca-cert.pem"

        def asked(*fields: str) -> str:
            lines = "".join(f"{each}\r\n" for each in (f"Host: {HOST}:443", *fields))
            with socket.create_connection(("127.0.0.1", port), 60) as plain:
                plain.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\n{lines}\r\n".encode())
                return plain.recv(4096).decode().partition("\r\n")[0]

        eventually(lambda: "hubgate is starting" not in asked())
        assert " 407 " in asked() and " 407 " in asked(f"Proxy-Authorization: {basic('alice', CANARY)}")
        connection = open_tunnel(port, ca, HOST)
        connection.set_tunnel(HOST, 443, {"Proxy-Authorization": basic("alice", ALICE)})
        assert get(connection).status == 200
        get(
            connection, "/acme/tiny.git/info/refs?service=git-upload-pack", **{"Proxy-Authorization": basic("bob", BOB)}
        )
        connection.close()
        assert mitmdump.stop() == 0, mitmdump.told
        assert CANARY not in mitmdump.told and basic("alice", ALICE)[20:40] not in mitmdump.told
