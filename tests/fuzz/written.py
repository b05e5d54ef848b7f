"""What people write: configuration, rules, users, passwords, licences. A fault is told with its place, never raised."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from pathlib import Path

from hypothesis import strategies as st

from proxy_addon.auth import credentials, htpasswd, schemes
from proxy_addon.config.load import load as load_config
from proxy_addon.core.errors import ConfigError
from proxy_addon.policy import kept
from proxy_addon.policy.facts import Facts
from proxy_addon.policy.globs import glob, globs
from proxy_addon.policy.judge import Allow, Deny, Need
from proxy_addon.policy.licences import canonical, family, near
from proxy_addon.policy.load import RulesError, load
from proxy_addon.policy.reading import Texts
from proxy_addon.written import strict_yaml, units

from .target import Target, joined, octets, row, text_of

NOW = 1_700_000_000.0
ROOT = Path(__file__).parents[2]
_FILE = Path("/rules/a.yaml")
_PLACED = re.compile(r"/rules/a\.yaml(:[1-9]\d*)?: .+", re.DOTALL)
_ASKED = Facts.of_request(
    hub="huggingface", type="model", repo="org/name", revision="main", path="a.bin", client=None, user=None
)


def yaml(data: bytes) -> None:
    """Never raises; every value has a line within the text."""
    document = strict_yaml.parse(data)
    most = max(1, len(data.decode("utf-8", "replace").splitlines()) + 2)
    assert all(1 <= line <= most for line, _ in document.faults)
    assert all(1 <= line <= most for line in document.lines.values())
    with contextlib.suppress(ValueError):  # infinity
        json.dumps(document.value, allow_nan=False)


def rules(data: bytes) -> None:
    """A policy that answers, or faults that say where."""
    try:
        loaded = load([_FILE], now=NOW, reader=Texts({_FILE: data}))
    except RulesError as error:
        faults = str(error).split("\n/rules/")
        assert _PLACED.fullmatch(str(error)), error
        assert faults
        return
    answer = loaded.policy.judge(_ASKED, NOW)
    assert isinstance(answer, Allow | Deny | Need)


def config(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder, "hubgate.yaml")
        path.write_bytes(data)
        try:
            load_config(path, env={})
        except ConfigError as error:
            assert str(error)


def quantities(data: bytes) -> None:
    for read in (units.duration, units.size, units.rate):
        try:
            found = read(text_of(data))
        except ValueError as fault:
            assert str(fault)
        else:
            assert 0 <= found < 1e40


def patterns(data: bytes) -> None:
    """A glob, and a name against it: nothing raises but what says the fix, and nobody waits."""
    first, _, name = text_of(data[:4096]).partition("\n")
    try:
        one, several = glob(first), globs([first, "org/*"])
    except ValueError as fault:
        assert str(fault)
        return
    assert one.matches(name) <= several.matches(name)
    assert not one.literal or one.matches(first.casefold()) or "/" in first
    assert several.prefix(name) <= len(one.prefix) or several.prefix(name) <= len("org/")


def licences(data: bytes) -> None:
    text = text_of(data)
    for name in (None, text[:50]):
        found = canonical(text, hub="huggingface", name=name)
        assert found is None or canonical(found.id, hub="huggingface") is not None, found
    family(text)
    near(text[:100])


def users(data: bytes) -> None:
    parsed = htpasswd.parse(data, "users")
    assert not (parsed.users and parsed.faults)
    assert all(re.match(r"users:\d+: ", fault) and "\n" not in fault for fault in parsed.faults)
    for kept_as in parsed.users.values():
        assert schemes.fault(kept_as) is None
    after = htpasswd.parse(htpasswd.with_user(data, "ann", _HASH), "users")
    assert parsed.faults or after.users == {**parsed.users, "ann": _HASH}, (parsed, after)


def passwords(data: bytes) -> None:
    found = credentials.read([octets(data)])
    if found is not None:
        assert ":" not in found.user and not re.search(r"[\x00-\x1f\x7f]", found.user)
        found.password.decode()


def last_good(data: bytes) -> None:
    """Rules that were kept are read whole, or there are none: also where the digest is right."""
    import hashlib

    sealed = b"hubgate rules 1 %s\n" % hashlib.sha256(data).hexdigest().encode() + data
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for text in (data, sealed):
            Path(folder, kept.NAME).write_bytes(text)
            found = kept.read(Path(folder))
            assert found is None or all(isinstance(each, bytes) for each in found.texts.values())


_HASH = "$2y$10$" + "a" * 53
_RULE_FILES = [path.read_bytes() for path in sorted((ROOT / "rules").rglob("*.yaml"))]
_SMALL = (
    b"version: 1\nrules:\n  - {id: a, effect: deny, match: {repo: \"org/*\", license: mit}, reason: r}\n",
    b"version: 1\ndefaults: {decision: deny}\nlists: {trusted: [a, b]}\nrules:\n"
    b"  - id: big\n    effect: require_approval\n"
    b"    match: {repo_size: \">200GiB\", namespace_not_in: trusted}\n",
    b"version: 1\nexceptions:\n  - {id: e, match: {repo: acme/x}, overrides: [a], owner: o, expires: 2023-12-01}\n"
    b"tests:\n  - {name: t, given: {repo: a/b, license: mit}, expect: {decision: allow}}\n",
    b"version: 1\nclassifications:\n  - {id: c, class: embargoed, match: {repo: \"b/*\"}, owner: o, reason: r}\n",
)  # fmt: skip
_KEYS = (
    b"version: 1\n", b"rules:\n", b"  - ", b"id: ", b"effect: ", b"deny", b"allow", b"match: ", b"{", b"}", b"[",
    b"]", b", ",
    b"repo: ", b"\"org/*\"", b"**", b"license: ", b"mit", b"unknown", b"expires: ", b"2024-01-01", b"\">1GiB\"",
    b"\"<24h\"",
    b"any: ", b"not: ", b"tags: ", b"path: ", b"pickle_imports: ", b"client: ", b"10.0.0.0/8", b"user: ", b"null",
    b"~", b"1e9",
    b"\n", b"    ", b"&a", b"*a", b"!!binary", b"---", b"? ", b": ", b"|", b">", b"'", b"\t", b"\xef\xbb\xbf",
    b"\xe2\x80\xa8", b"\xff",
    b"reason: ", b"owner: ", b"tests: ", b"given: ", b"expect: ", b"decision: ", b"overrides: ", b"mode: audit",
    b"lists: ",
)  # fmt: skip
_CONFIG = (
    b"listen: 127.0.0.1:8080\ncache: {dir: /tmp/c, size: 10GB}\nclients: [127.0.0.1/32]\n",
    b'hubs: {huggingface: {mirrors: [https://mirror.example]}}\nupstream: {connect_to: ["a:443:127.0.0.1:1"]}\n',
    (ROOT / "proxy_addon/config/example.py").read_bytes(),
)
_UNITS = (
    b"5m",
    b"1h30m",
    b"200GB",
    b"4 MiB",
    b"400Mbps",
    b"50MB/s",
    b"0",
    b"1.5",
    b"ms",
    b"e",
    b"-",
    b"9" * 20,
    b"\xd9\xa3s",
)
_GLOBS = (b"org/*\norg/name", b"**/*.bin\na/b/c.bin", b"a*b*c*d\n" + b"a" * 300, b"*\n", b"**\na/b", b"[a]?\n[a]?")
_NAMED = (
    b"mit",
    b"Apache-2.0",
    b"(mit or gpl-3.0) and apache-2.0",
    b"llama3.1",
    b"other",
    b"cc-by-nc-4.0",
    b"GPL-2.0 WITH x",
)
_BASIC = (
    b"Basic YTpi",
    b"basic  YTpi",
    b"Basic " + b"w6k6w6k=",
    b"Bearer x",
    b"Basic 6To=",
    b"Basic ====",
    b"Basic YQ==",
)
_USERS = (b"ann:" + _HASH.encode() + b"\n", b"# x\n\nbob:$1$abc\nann:" + _HASH.encode() + b"\r\nAnn:x")
TARGETS = (
    Target("yaml", yaml, (*_SMALL, *_RULE_FILES[:3]), row(_KEYS, 25), _KEYS),
    Target("rules", rules, (*_SMALL, *_RULE_FILES), joined(st.just(b"version: 1\nrules:\n  - "), row(_KEYS, 20)),
        _KEYS),
    Target("config", config, _CONFIG, None, (*_KEYS, b"cache:", b"upstream:", b"size: ", b"mirrors: ", b"auth: ",
        b"sync: ")),
    Target("quantities", quantities, _UNITS, row(_UNITS, 4), _UNITS),
    Target("patterns", patterns, _GLOBS, row((b"a", b"*", b"**", b"/", b"\n", b"?", b".", b"[", b"\xc4\xb0"), 14),
        (b"*", b"**", b"/")),
    Target("licences", licences, _NAMED, row((*_NAMED, b" and ", b" or ", b"(", b")", b" with ", b"AND", b"/",
        b"\xc5\xbf"), 8), _NAMED),
    Target("users", users, _USERS, None, (b"\n", b"\r\n", b":", b"#", b"ann:", b"\xc3\xa9", b"e\xcc\x81", b"$2y$",
        b"$argon2id$")),
    Target("passwords", passwords, _BASIC, None, (b"Basic ", b"=", b" ", b"Og==")),
    Target("last good", last_good, (b'{"at": ' + b"9" * 400 + b', "paths": [], "files": [], "texts": {}}',
        b'{"at": 1, "paths": ["/a"], "files": ["/a"], "texts": {"/a": "version: 1"}}',
        b"[" * 20_000), None,
           (b"1e999", b"9" * 400, b"[" * 3000, b"\\ud800", b"null", b"{}")),
)  # fmt: skip
