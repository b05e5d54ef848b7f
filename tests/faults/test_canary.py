"""A canary in every place where clients and hubs put secrets; then a search of everything that the process leaves."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import socket
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import lz4.frame
import pytest

from tests.faults.canaries import Canaries
from tests.faults.test_scrubber import until
from tests.hub import Repo, Scripted, TestHub
from tests.processes import Hubgate, configuration, hubgate, open_tunnel

HF, MS, PLAIN = "https://huggingface.co", "https://www.modelscope.cn", "https://plain.example"
RULES = """
version: 1
rules:
  - {id: no-nc, effect: deny, match: {repo: acme/nc}, reason: no, owner: o@example.org}
  - {id: watched, mode: audit, effect: deny, match: {repo: acme/tiny}, reason: no, owner: o@example.org}
"""
#: What the query of a URL may carry, by who takes it.
QUERIES = {
    "CloudFront": ("Expires=1999999999", "Policy", "Signature", "Key-Pair-Id"),
    "S3": ("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Security-Token"),
    "OSS": ("Expires=1999999999", "OSSAccessKeyId", "Signature", "security-token", "x-oss-signature"),
    "GCS": ("X-Goog-Algorithm=GOOG4", "X-Goog-Credential", "X-Goog-Signature"),
    "Azure": ("sv=2024", "sig"),
    "Alibaba": ("auth_key",),
    "token": ("token",),
    "access_token": ("access_token",),
    "others": ("api_key", "__sign", "password"),
}


class Attempts:
    """A client that shows all it has wherever it can, and keeps what it is told when something goes wrong."""

    HUBS = (b"Set-Cookie:", b"X-Amz-Token:")  #: what the hub says itself, in an answer that is passed on

    def __init__(self, proxy: Hubgate, c: Canaries, reader: str) -> None:
        self.proxy, self._c, self._reader = proxy, c, reader
        self.told: list[bytes] = []

    def headers(self, auth: str) -> dict[str, str]:
        c = self._c
        basic = base64.b64encode(f"{c('Basic user')}:{c('Basic password')}".encode()).decode()
        shown = {"Bearer": f"Bearer {self._reader}", "unknown": f"Bearer {c('Bearer')}", "Basic": f"Basic {basic}"}
        return {
            "Authorization": shown[auth],
            "Proxy-Authorization": f"Basic {c('Proxy-Authorization in a tunnel')}",
            "Cookie": f"token={c('Cookie')}; m_session_id={c('m_session_id')}; session={c('session')}",
            "X-Xet-Access-Token": c("X-Xet-Access-Token"),
            "X-Xet-Token": c("X-Xet-Token"),
            "X-Api-Key": c("X-Api-Key"),
            "X-Amz-Security-Token": c("X-Amz-Security-Token"),
            "Referer": f"{HF}/login?token={c('Referer')}",
            "User-Agent": f"client/1 ({c('User-Agent')})",
            "If-None-Match": f'"{c("If-None-Match")}"',
            "X-Unheard-Of": c("a header of nobody"),
        }

    def ask(
        self, url: str, method: str = "GET", body: bytes | None = None, auth: str = "Bearer", **more: str
    ) -> tuple[int, http.client.HTTPMessage, bytes] | None:
        """None: no answer came, or not all of it."""
        parts = urlsplit(url)
        connection = open_tunnel(self.proxy.port, self.proxy.ca / "ca.pem", parts.hostname or "")
        shown = {"Proxy-Authorization": f"Basic {self._c('Proxy-Authorization')}", "X-Secret": self._c("a CONNECT")}
        connection.set_tunnel(parts.hostname or "", 443, shown)
        with contextlib.closing(connection):
            try:
                target = f"{parts.path}?{parts.query}" if parts.query else parts.path
                connection.request(method, target, body, self.headers(auth) | more)
                response = connection.getresponse()
                got = response.status, response.headers, response.read()
            except (http.client.HTTPException, OSError) as fault:
                self.told.append(str(fault).encode())
                return None
        if got[0] >= 400 and b"hubgate" in got[2] + str(got[1]).encode():
            fields = str(got[1]).encode().splitlines()
            self.told += [response.reason.encode(), *(f for f in fields if not f.startswith(self.HUBS)), got[2]]
        return got

    def all(self, urls: list[str], auth: str = "Bearer", **more: str) -> list[int]:
        """The status of each; 0 for none."""
        with ThreadPoolExecutor(12) as pool:
            answers = pool.map(lambda url: self.ask(url, "GET", None, auth, **more), urls)
            return [got[0] if got else 0 for got in answers]

    def say(self, raw: str) -> None:
        """Bytes as they are, and all that is said to them."""
        with contextlib.suppress(OSError):
            self.told.append(self.proxy.said(raw.encode("latin-1")))

    def cut(self, raw: str, host: str = "") -> None:
        """Bytes, and nothing more: into a tunnel if `host` is given."""
        if host:
            connection = open_tunnel(self.proxy.port, self.proxy.ca / "ca.pem", host)
            connection.connect()
            connection.sock.sendall(raw.encode("latin-1"))
            connection.close()
        else:
            with socket.create_connection(("127.0.0.1", self.proxy.port), 60) as plain:
                plain.sendall(raw.encode("latin-1"))

    def upload(self, repo: str, password: str) -> None:
        """What git and git-lfs say to write, and what clients say by the API."""
        basic = "Basic " + base64.b64encode(f"{self._c('git user')}:{password}".encode()).decode()
        for site in (HF, MS):
            for service in ("git-upload-pack", "git-receive-pack"):
                self.ask(f"{site}/{repo}.git/info/refs?service={service}", Authorization=basic)
                pack = f"0000{self._c('a pack')}".encode()
                self.ask(f"{site}/{repo}.git/{service}", "POST", pack, Authorization=basic)
            for operation in ("upload", "download"):
                objects = [{"oid": "ab" * 32, "size": 9}]
                asked = {"operation": operation, "objects": objects, "ref": {"name": self._c("a batch")}}
                url = f"{site}/{repo}.git/info/lfs/objects/batch"
                self.ask(url, "POST", json.dumps(asked).encode(), Authorization=basic)
        secret = json.dumps({"token": self._c("a body"), "AccessToken": self._c("a login"), "paths": ["config.json"]})
        for url in (
            f"{HF}/api/repos/create",
            f"{HF}/api/models/{repo}/paths-info/main",
            f"{HF}/api/models/{repo}/commit/main",
            f"{HF}/oauth/token",
            f"{MS}/api/v1/login",
            f"{PLAIN}/form",
        ):
            self.ask(url, "POST", secret.encode(), **{"Content-Type": "application/json"})
        put = f"https://hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com/repos/x/{'ab' * 32}?X-Amz-Signature="
        self.ask(put + self._c("a PUT"), "PUT", self._c("what is put").encode())


def queries(c: Canaries) -> list[str]:
    """One for each kind of signature."""
    return [
        "&".join(name if "=" in name else f"{name}={c(f'{kind} {name}')}" for name in names)
        for kind, names in QUERIES.items()
    ]


def urls(c: Canaries) -> list[str]:
    """Every kind of resource of both hubs, with something secret in its query."""
    resources = [
        f"{HF}/acme/{repo}/resolve/main/{path}" for repo in ("tiny", "gated") for path in ("a.json", "old.bin")
    ]
    resources += [f"{HF}/api/models/acme/tiny", f"{HF}/api/whoami-v2", f"{HF}/acme/tiny/raw/main/config.json"]
    resources += [f"{HF}/api/models/acme/gated/xet-read-token/main", f"{HF}/api/models/acme/tiny/tree/main"]
    resources += [f"{HF}/acme/nc/resolve/main/config.json", f"{HF}/acme/no/resolve/main/x", f"{HF}/settings"]
    resources += [f"{MS}/models/acme/{repo}/resolve/master/config.json" for repo in ("tiny", "gated")]
    resources += [f"{MS}/api/v1/models/acme/tiny/repo/files", f"{PLAIN}/page", f"{PLAIN}/away", f"{PLAIN}/none"]
    resources += [f"{HF}/v2/acme/tiny/manifests/latest", f"{HF}/v1/reconstructions/{'e' * 64}"]
    resources += [f"https://{host}/repos/aa/bb/{'c' * 64}/{'d' * 64}" for host in ("cdn-lfs.hf.co", "us.aws.cdn.hf.co")]
    resources += [f"https://transfer.xethub.hf.co/xorbs/default/{'d' * 64}"]
    resources += [f"https://cdn-lfs-cn-1.modelscope.cn/prod/lfs-objects/aa/bb/{'c' * 60}"]
    found = queries(c)
    return [f"{url}?{found[n % len(found)]}" for n, url in enumerate(resources)] + [
        f"{url}?{query}" for query in found for url in (resources[1], resources[4], f"{PLAIN}/page")
    ]


def malformed(c: Canaries) -> Iterator[str]:
    secret = f"Authorization: Bearer {c('malformed')}\r\n"
    place = f"huggingface.co/acme/tiny?token={c('malformed query')}"
    user = f"{c('user of a URL')}:{c('password of a URL')}"
    yield f"GET http://{place} HTTP/1.1\r\nHost: huggingface.co\r\nHost: b.example\r\n{secret}\r\n"
    yield f"GET http://{place} HTTP/1.1\r\nHost: huggingface.co\r\n{secret}A: \x01{c('control')}\r\n\r\n"
    yield f"GET http://{place} HTTP/1.1\r\nHost: huggingface.co\r\n{secret} {c('folded')}\r\n\r\n"
    yield f"GET /?token={c('no proxy request')} HTTP/1.1\r\nHost: huggingface.co\r\n{secret}\r\n"
    yield f"{c('no method')} {c('no target')}\r\n{secret}\r\n"
    yield f"POST http://{place} HTTP/1.1\r\nHost: huggingface.co\r\n{secret}Content-Length: x{c('a length')}\r\n\r\n"
    for target in (f"http://{user}@huggingface.co/x", f"http://{user}@nobody.invalid/?sig={c('an address')}"):
        yield f"GET {target} HTTP/1.1\r\nHost: {urlsplit(target).hostname}\r\n{secret}Connection: close\r\n\r\n"
    for authority in (f"{user}@huggingface.co:443", f"127.0.0.1:{c('a port')}", "plain.example:443", "10.0.0.1:443"):
        yield f"CONNECT {authority} HTTP/1.1\r\nHost: x\r\n{secret}Connection: close\r\n\r\n{c('after a CONNECT')}"
    yield f"GET http://10.0.0.1/?Signature={c('a private address')} HTTP/1.1\r\nHost: 10.0.0.1\r\n{secret}\r\n"


#: What goes wrong upstream -> knobs of the hub.
FAULTS: dict[str, dict[str, Any]] = {
    "cut": {"drop_after": 10, "times": 30},
    "reset": {"drop_after": 0, "drop_rst": True, "times": 30},
    "stalls": {"stall_after": 10, "times": 12},
    "mute": {"hold": "for ever", "times": 12},
    "loop": {"redirect": "self"},
    "fails": {"status": 500},
    "page": {"status": 200, "body": "<html>sign in</html>", "content_type": "text/html"},
    "wrong bytes": {"corrupt_at": 3},
    "lies": {"length_lie": 7, "times": 30},
    "throttles": {"status": 429, "retry_after": 1},
}
REDIRECTS = ("https://[no?Signature={}", "http://169.254.169.254/?token={}", "https://u:{0}@evil.example/?sig={0}")


def processes(pid: int) -> list[int]:
    """A process and all that it has started."""
    children = [
        child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [pid, *(below for child in children for below in processes(int(child)))]


@pytest.fixture
def c(hub: TestHub) -> Canaries:
    """The hub knows the reader's token, and says secrets of its own."""
    made = Canaries()
    reader = f"hf_{made('a token that is good')}"
    hub.tokens[reader] = "canary"
    hub.modelscope_tokens[reader] = "canary"
    hub.repo("acme/gated").admitted = frozenset({reader})
    hub.repo("acme/gated", "models", hub="modelscope").admitted = frozenset({reader})
    hub.add(Repo("acme/mine", files={"a.txt": "x"}, private=True, readers={reader}))
    head = {"Cache-Control": "public, max-age=600", "ETag": '"a"'}
    hub.script("/page", Scripted(200, head, "page"))
    away = f"https://s3.example/x?Signature={made('Location')}"
    hub.script("/away", Scripted(301, head | {"Location": away}, ""))
    said = {"Set-Cookie": f"session={made('Set-Cookie')}", "X-Amz-Token": made("a header of the hub's")}
    hub.knob(headers=said, push=True)
    return made


@pytest.fixture
def begin(hub: TestHub, tmp_path: Path, c: Canaries) -> Iterator[Callable[..., Hubgate]]:
    """Starts hubgate with every place that a process may write to below `tmp_path`."""
    environment = {name: c(name) for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN")}
    for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        (tmp_path / "places" / name).mkdir(parents=True)
        environment[name] = str(tmp_path / "places" / name)
    with contextlib.ExitStack() as running:

        def start(folder: str, **keys: Any) -> Hubgate:
            upstream = {"connect_to": {"*:443": f"127.0.0.1:{hub.port}"}, "ca_file": str(hub.ca_pem)}
            upstream |= {"connect_timeout": "1s", "stall_timeout": "1s"} | keys.pop("upstream", {})
            keys = {"hubs": {"others": ["plain.example"]}, "upstream": upstream} | keys
            config = configuration(tmp_path / folder, hub, **keys)
            return running.enter_context(Hubgate(config, **environment))

        yield start


def everywhere(c: Canaries, root: Path, told: dict[str, bytes]) -> dict[str, list[str]]:
    found = c.below(root)
    return found | {name: hits for name, text in told.items() if (hits := c.found_in(text))}


def shown(proxy: Hubgate) -> dict[str, bytes]:
    """What whoever looks at the process sees; of the process itself not the environment, which is not its own doing."""
    told = {page: proxy.asked_admin(page).body for page in ("/", "/metrics", "/healthz")}
    for pid in processes(proxy.pid):
        for name in ("cmdline", "comm", *(("environ",) if pid != proxy.pid else ())):
            told[f"{name} of {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes()
    return told


def learn_links(c: Canaries, url: str) -> None:
    """The query of a link that a hub has signed is a secret too."""
    c.learn(*(v for name, v in parse_qsl(urlsplit(url).query) if name in ("Policy", "Signature", "auth_key")))


def test_what_works_leaves_no_secret(hub: TestHub, begin: Callable[..., Hubgate], tmp_path: Path, c: Canaries) -> None:
    reader = f"hf_{c('a token that is good')}"
    proxy = begin("open", sync=[{"repo": "hf:datasets/acme/tiny-ds"}])
    a = Attempts(proxy, c, reader)
    for auth in ("Bearer", "unknown", "Basic"):
        statuses = a.all(urls(c), auth)
        assert statuses.count(0) < 3 and len(set(statuses)) > 3, statuses
    closed = f"{HF}/acme/gated/resolve/main/old.bin", f"{HF}/acme/mine/raw/main/a.txt"
    got, text = (a.ask(url, **{"Cache-Control": "no-store"}) for url in closed)
    assert got is not None and text is not None and (got[0], text[0]) == (302, 200), (got, text)
    learn_links(c, got[1]["Location"])
    assert [a.ask(got[1]["Location"], auth="unknown")[0] for _ in range(2)] == [200, 200]  # type: ignore[index]
    got = a.ask(f"{HF}/api/models/acme/gated/xet-read-token/main")
    assert got is not None and got[0] == 200
    c.learn(json.loads(got[2])["accessToken"])
    batch = {"operation": "download", "objects": [{"oid": hub.digest("acme/gated", "old.bin"), "size": 1_500_000}]}
    for site, kind in ((HF, "Bearer"), (MS, "Bearer")):
        got = a.ask(f"{site}/acme/gated.git/info/lfs/objects/batch", "POST", json.dumps(batch).encode(), kind)
        assert got is not None and got[0] == 200, got
        href = json.loads(got[2])["objects"][0]["actions"]["download"]["href"]
        learn_links(c, href)
        assert a.ask(href) is not None
    a.upload("acme/mine", reader)
    for raw in malformed(c):
        a.say(raw)
    secret = f"Authorization: Bearer {c('cut')}\r\nCookie: token={c('cut cookie')}\r\n"
    a.cut(f"GET http://huggingface.co/?token={c('cut query')} HTTP/1.1\r\n{secret}")
    a.cut(f"GET /acme/tiny/resolve/main/old.bin?Signature={c('cut query')} HTTP/1.1\r\n{secret}", "huggingface.co")
    whole = f"GET /acme/tiny/resolve/dev/old.bin?Signature={c('left')} HTTP/1.1\r\nHost: huggingface.co\r\n{secret}\r\n"
    a.cut(whole, "huggingface.co")
    post = f"POST /api/repos/create HTTP/1.1\r\nHost: huggingface.co\r\n{secret}Content-Length: 999\r\n\r\n"
    a.cut(post + c("half a body"), "huggingface.co")
    a.cut(c("no TLS inside"), "huggingface.co")
    until(lambda: proxy.metrics()['hubgate_sync_behind{repo="hf:datasets/acme/tiny-ds"}'] == 0, "it is not in sync")

    told = {f"running: {name}": text for name, text in shown(proxy).items()}
    assert len([name for name in told if "environ" in name]) >= 1, "nothing works beside it"
    assert everywhere(c, tmp_path, told) == {}, "while it runs"
    for name in ("HF_TOKEN", "MODELSCOPE_API_TOKEN"):
        assert [q for q in hub.requests() if c(name) in str(q.headers)] == [], "nobody's token but the client's"
    assert proxy.stop() == 0
    told = {"standard error": proxy.told.encode(), "error pages": b"\n".join(a.told)}
    assert everywhere(c, tmp_path, told) == {}
    assert len(proxy.logged()) > 150 and "Traceback" not in proxy.told
    assert list((tmp_path / "open/cache").glob("pieces/??/*/*.val"))


def test_what_fails_leaves_no_secret(hub: TestHub, begin: Callable[..., Hubgate], tmp_path: Path, c: Canaries) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/rules.yaml").write_text(RULES)
    proxy = begin("ruled", rules=[str(tmp_path / "rules")], freshness={"ref": "0s", "api": "0s", "not_found": "0s"})
    a = Attempts(proxy, c, f"hf_{c('a token that is good')}")
    assert 403 in a.all([f"{HF}/acme/nc/resolve/main/config.json?token={c('denied')}"])
    some = urls(c)[:22]
    for silent in (True, False):
        hub.stop(silent=silent)
        assert 504 in a.all(some[:6] if silent else some)
        hub.start()
    outcomes = dict[str, list[int]]()
    for name, effect in FAULTS.items():
        knob = hub.knob(**effect)
        outcomes[name] = a.all(some, Range="bytes=0-99")
        hub.unknob(knob)
        hub.release("for ever")
    assert 500 in outcomes["fails"] and 429 in outcomes["throttles"] and 302 in outcomes["loop"], outcomes
    for n, redirect in enumerate(REDIRECTS):
        knob = hub.knob(redirect=redirect.format(c(f"redirect {n}")))
        a.all(some)
        hub.unknob(knob)
    told = shown(proxy)
    assert proxy.stop() == 0
    told |= {"standard error": proxy.told.encode(), "error pages": b"\n".join(a.told)}
    assert everywhere(c, tmp_path, told) == {}
    assert len(proxy.told.splitlines()) > 10, "something was logged"
    assert {line["status"] for line in proxy.logged()} >= {403, 429, 500, 504}


@pytest.mark.parametrize("how", ["untrusted", "proxy"])
def test_no_way_to_the_hub_leaves_no_secret(
    hub: TestHub, begin: Callable[..., Hubgate], tmp_path: Path, c: Canaries, how: str
) -> None:
    """Its certificate is nobody's, or the proxy to it, which wants a password, is not there."""
    upstream = {
        "untrusted": {"ca_file": None},
        "proxy": {"proxy": f"http://{c('user of a proxy')}:{c('password of a proxy')}@127.0.0.1:1"},
    }[how]
    proxy = begin(how, upstream=upstream)
    proxy.config.write_text("")  # which names that password, as it must
    a = Attempts(proxy, c, c("a token"))
    assert not {200, 206} & set(a.all(urls(c)[:22]))
    told = shown(proxy)
    assert proxy.stop() == 0
    told |= {"standard error": proxy.told.encode(), "error pages": b"\n".join(a.told)}
    assert everywhere(c, tmp_path, told) == {}


def test_the_commands_tell_no_secret(hub: TestHub, begin: Callable[..., Hubgate], tmp_path: Path, c: Canaries) -> None:
    reader = f"hf_{c('a token that is good')}"
    proxy = begin("open")
    Attempts(proxy, c, reader).all(urls(c)[:8])
    link = f"{HF}/acme/gated/resolve/main/old.bin?Signature={c('explained')}"
    environment = {"HF_TOKEN": reader, "MODELSCOPE_API_TOKEN": reader, "TMPDIR": str(tmp_path / "places/TMPDIR")}
    environment |= {"HTTPS_PROXY": f"http://alice:{c('password of HTTPS_PROXY')}@127.0.0.1:9"}
    commands = [
        ("explain", link),
        ("doctor",),
        ("cache", "ls"),
        ("rules", "report"),
        ("prefetch", "hf:acme/gated"),
    ]

    def run(arguments: tuple[str, ...]) -> str:
        done = hubgate(*arguments, "--config", str(proxy.config), **environment)
        assert len(done.stdout + done.stderr) > 10, arguments
        return done.stdout + done.stderr

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(run, commands))
    told = {" ".join(arguments[:2]): text.encode() for arguments, text in zip(commands, said, strict=True)}
    assert proxy.stop() == 0
    assert everywhere(c, tmp_path, told | {"standard error": proxy.told.encode()}) == {}


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    c = Canaries("learned-from-a-hub")
    secret = c("place").encode()
    plants = {
        "plain": b"x" * 5000 + secret + b"y",
        "upper": secret.upper(),
        "hex": secret.hex().encode(),
        "percent": quote(secret).encode()
        if quote(secret) != secret.decode()
        else b"".join(b"%%%02x" % o for o in secret),
        "utf-16": secret.decode().encode("utf-16"),
        "gzip": b"before" + gzip.compress(b"a" * 9000 + secret) + b"after",
        "zlib": b"before" + zlib.compress(secret) + b"after",
        "lz4": b"before" + lz4.frame.compress(b"a" * 9000 + secret),
        "twice packed": gzip.compress(zlib.compress(secret)),
        "packed base64": zlib.compress(base64.b64encode(b"user:" + secret)),
        "learned": b"... learned-from-a-hub ...",
        **{f"base64-{n}": base64.b64encode(b"u" * n + secret + b"v" * n) for n in range(4)},
        **{f"url64-{n}": base64.urlsafe_b64encode(b"\xff" * n + secret) for n in range(4)},
    }
    for name, data in plants.items():
        (tmp_path / name).write_bytes(data)
    assert set(c.below(tmp_path)) == set(plants)
    assert c.found_in(plants["plain"]) == ["place"]
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / secret.decode()).touch()
    assert list(c.below(tmp_path / "clean")) == [secret.decode()]


@pytest.mark.parametrize("plant", ["row", "blob over pages", "deleted", "log"])
def test_the_search_looks_into_databases(tmp_path: Path, plant: str) -> None:
    c = Canaries()
    db = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("PRAGMA secure_delete=off")
    db.execute("CREATE TABLE t (a, b)")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x" * 500) for n in range(100)])
    assert c.below(tmp_path) == {}
    text = c("place")
    over = b"z" * (4096 * 3 - 20) + text.encode()
    value = {"row": text, "blob over pages": zlib.compress(over, 0), "deleted": text, "log": text}[plant]
    db.execute("INSERT INTO t VALUES (1000, ?)", (value,))
    if plant == "deleted":
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("DELETE FROM t WHERE a = 1000")
    if plant != "log":
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert c.below(tmp_path)[{"log": "a.db-wal"}.get(plant, "a.db")] == ["place"]
    db.close()
