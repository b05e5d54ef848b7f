"""What is logged of errors that carry URLs and fields: enough to know where, and no secret."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy_addon.core.messages import Headers, Request
from proxy_addon.discreet import FORM, TOKENS, Discreet, censored

ROOT = Path(__file__).parent.parent
SECRET = "c4n4ry/+=c4n4ry"
LINK = f"https://cdn-lfs.hf.co/a/b?Expires=1&Signature={SECRET}&Policy={SECRET}"
FIELDS = {"Authorization": f"Bearer {SECRET}", "Cookie": f"token={SECRET}; b={SECRET}", "X-Xet-Access-Token": SECRET}

TEXTS = [
    LINK,
    f"cannot connect to '{LINK}', again",
    f"GET /a?{SECRET} failed",
    f"GET a?Signature={SECRET}",
    f"(/a?);{SECRET})",
    f"[https://cdn.example?{SECRET}]",
    f"is it /a?, or {LINK}?, or /b??{SECRET}",
    f"https://user:{SECRET.replace('/', '%2F')}@hub.example/x",
    f"URL('{LINK}')",
    f"Authorization: Basic {SECRET}",
    f"b'authorization': b'Bearer {SECRET}'",
    f"('Proxy-Authorization', 'Basic {SECRET}')",
    f"x-xet-access-token={SECRET}",
    f"X-Api-Key: {SECRET}",
    f"m_session_id_token={SECRET}",
    f"said bearer {SECRET}",
    f"Basic {SECRET} is wrong",
    f'{{"accessToken": "{SECRET}"}}',
    f'"password":"{SECRET}"',
    "hf_c4n4ryc4n4ryc4n4ryc4n4ry is invalid",
    f"Set-Cookie: {SECRET}; Path=/",
]


@pytest.mark.parametrize("text", TEXTS)
def test_no_secret_is_left_in_a_text(text: str) -> None:
    assert "c4n4ry" not in censored(text)


@pytest.mark.parametrize(
    "text",
    [
        "sync of hf:acme/tiny failed: huggingface.co answered 503",
        "connection from 10.0.0.1 refused: too many connections",
        "auth: /etc/hubgate/users:3: weak hash; the users that were good last are in force",
        "rules: rules/a.yaml:7: unknown key 'licence'; did you mean 'license'?",
        "cannot connect to cdn-lfs.hf.co: Connection refused",
        "rules/a.yaml:3: nothing is called 'x' (did you mean 'y'?); name one",
        "is it read/write?); which?really, a?b:c",
        "https://huggingface.co/acme/tiny/resolve/main/config.json",
        "piece 3 of sha256:00ff is damaged on disk: dropped, to be fetched again",
    ],
)
def test_what_holds_none_stays_as_it_is(text: str) -> None:
    assert censored(text) == text


def test_it_takes_no_time() -> None:
    """Whatever a client puts into a message."""
    began = time.process_time()
    for text in ("a-" * 50_000, "x://" * 30_000, "?" * 100_000, "token" * 20_000, "a@" * 50_000, "://" + "a" * 100_000):
        censored(text)
    assert time.process_time() - began < 20


async def refused() -> None:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:1/x?Signature={SECRET}"):
        pass


async def no_url() -> None:
    async with aiohttp.ClientSession(headers=FIELDS) as session, session.get(f"https://[no?Signature={SECRET}"):
        pass


async def answered() -> None:
    sent = aiohttp.RequestInfo(URL(LINK), "GET", CIMultiDictProxy(CIMultiDict(FIELDS)), URL(LINK))
    raise aiohttp.ClientResponseError(sent, (), status=500, message=f"at {LINK}", headers=CIMultiDict(FIELDS))


async def represented() -> None:
    sent = aiohttp.RequestInfo(URL(LINK), "GET", CIMultiDictProxy(CIMultiDict(FIELDS)), URL(LINK))
    raise RuntimeError(repr(aiohttp.TooManyRedirects(sent, ())), FIELDS, [("Authorization", f"Bearer {SECRET}")])


async def chained() -> None:
    try:
        await answered()
    except aiohttp.ClientError as fault:
        raise OSError(LINK) from fault


@pytest.mark.parametrize("fails", [refused, no_url, answered, represented, chained])
async def test_the_error_of_a_library_is_told_without_what_it_carries(fails: Callable[[], Any]) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(Discreet(FORM))
    log = logging.Logger("proxy_addon.test")
    log.addHandler(handler)
    try:
        await fails()
    except Exception as fault:
        log.exception("of %s: %s", LINK, fault)
        log.error("%r", fault)
        log.error("%s", asyncio.gather(fails(), return_exceptions=True).done())
    await asyncio.sleep(0)
    assert "Traceback" in out.getvalue() and fails.__name__ in out.getvalue()
    assert "c4n4ry" not in out.getvalue()


def test_one_record_is_one_line() -> None:
    record = logging.LogRecord("a", 40, "", 0, "CONNECT %s", ("x\r\n2026 ERROR forged\x1b[2J\x85",), None)
    assert Discreet("%(message)s").format(record) == "CONNECT x\\x0d\\x0a2026 ERROR forged\\x1b[2J\\x85"


def test_a_request_does_not_show_what_came_with_it() -> None:
    shown = repr(Request("GET", "https", "huggingface.co", 443, "/a", f"token={SECRET}", Headers(FIELDS.items())))
    assert "c4n4ry" not in shown and "huggingface.co" in shown


ENDS = f"""
import sys, threading
from proxy_addon.discreet import keep_quiet
keep_quiet()
def fails():
    raise OSError({LINK!r})
"""


@pytest.mark.parametrize(
    "how",
    [
        "fails()",
        "t = threading.Thread(target=fails); t.start(); t.join()",
        "class A:\n  def __del__(self): fails()\nA()",
        f"import logging; logging.getLogger('a').warning('%s %s', {LINK!r})",
        f"import logging; logging.getLogger('a').warning('at %s', {LINK!r})",
    ],
)
def test_what_ends_a_process_is_told_so_too(how: str) -> None:
    done = subprocess.run([sys.executable, "-c", ENDS + how], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "c4n4ry" not in done.stderr
    assert ("OSError" in done.stderr or "cdn-lfs" in done.stderr) is ("%s %s" not in how)


def test_every_process_of_a_server_logs_so() -> None:
    texts = {str(f.relative_to(ROOT / "proxy_addon")): f.read_text() for f in (ROOT / "proxy_addon").rglob("*.py")}
    assert [name for name, text in texts.items() if "basicConfig(" in text] == ["discreet.py"]
    calls = {name for name, text in texts.items() if "    log_to_standard_error()" in text}
    assert calls == {"serve.py", "background.py", "scrubber.py"}
    script = "from proxy_addon.discreet import log_to_standard_error as f; f(); import logging;"
    script += f"logging.getLogger('proxy_addon.a').info('at %s', {LINK!r})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.endswith("INFO proxy_addon.a: at https://cdn-lfs.hf.co/a/b?\n")


def test_a_core_dump_is_forbidden_for_good() -> None:
    script = (
        "import resource; from proxy_addon.discreet import forbid_core_dumps as f; f(); f();"
        "print(resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    least = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    assert done.stdout.strip() == f"({least}, {least})"


def test_the_tokens_are_those_that_the_commands_read() -> None:
    text = (ROOT / "proxy_addon/cli/inspecting.py").read_text()
    read = re.search(r"^TOKENS = .*$", text, re.MULTILINE)
    assert read is not None and set(re.findall(r'"([A-Z_]+)"', read[0])) == set(TOKENS)
