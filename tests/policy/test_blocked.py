"""Every reader gets the rule, the reason and the way out; nothing that others wrote gets out of its field."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy_addon.core.messages import Headers, Request
from proxy_addon.hub.classify import Classifier
from proxy_addon.hub.resources import Repo, Resource, Subject
from proxy_addon.policy.blocked import (
    FIELD,
    Blocked,
    Decision,
    Denial,
    Reader,
    audit_fields,
    blocked,
    reader_of,
)
from proxy_addon.policy.judge import Spoke

DENIAL = Denial(
    "lic-noncommercial",
    "Licence cc-by-nc-4.0 does not allow commercial use.",
    owner="legal@example.org",
    contact="ml@example.org",
    request_url="https://tickets.example.org/new?repo={repo}&rule={rule}",
)
REPO = Repo("huggingface", "models", "acme/tiny")
TEXT = (
    "Blocked by policy rule 'lic-noncommercial' (legal@example.org): Licence cc-by-nc-4.0 does not allow commercial"
    " use. Ask at https://tickets.example.org/new?repo=acme%2Ftiny&rule=lic-noncommercial"
    " or run: hubgate explain hf:acme/tiny [7f3a]"
)
HF, MS = "huggingface.co", "www.modelscope.cn"
BATCH, LOCKS = "/acme/tiny.git/info/lfs/objects/batch", "/acme/tiny.git/info/lfs/locks/verify"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SHA = "ab" * 32
ROUTES = [
    ("GET", HF, "/api/models/acme/tiny", "*/*", Reader.HUB),
    ("GET", HF, "/api/models/acme/tiny/revision/main", "*/*", Reader.HUB),
    ("GET", HF, "/api/models/acme/tiny/tree/main", "", Reader.HUB),
    ("POST", HF, "/api/models/acme/tiny/paths-info/main", "*/*", Reader.HUB),
    ("HEAD", HF, "/acme/tiny/resolve/main/config.json", "*/*", Reader.HUB),
    ("GET", HF, "/acme/tiny/raw/main/config.json", "*/*", Reader.HUB),
    ("GET", HF, f"/api/resolve-cache/models/acme/tiny/{'a' * 40}/config.json", "*/*", Reader.HUB),
    ("GET", HF, "/api/models/acme/tiny/xet-read-token/main", "*/*", Reader.HUB),
    ("GET", "cas-server.xethub.hf.co", f"/v1/reconstructions/{SHA}", "*/*", Reader.HUB),
    ("GET", HF, "/acme/tiny/resolve/main/config.json", BROWSER, Reader.BROWSER),
    ("GET", HF, "/acme/tiny", "Text/HTML;q=1", Reader.BROWSER),
    ("GET", HF, "/acme/tiny/info/refs", BROWSER, Reader.GIT),
    ("GET", HF, "/acme/tiny.git/info/refs", "*/*", Reader.GIT),
    ("POST", HF, "/acme/tiny.git/git-upload-pack", "*/*", Reader.GIT),
    ("POST", HF, BATCH, "application/vnd.git-lfs+json", Reader.LFS),
    ("POST", HF, LOCKS, "application/vnd.git-lfs+json", Reader.LFS),
    ("GET", HF, "/v2/acme/tiny/manifests/latest", "text/html", Reader.REGISTRY),
    ("GET", HF, f"/v2/acme/tiny/blobs/sha256:{SHA}", "*/*", Reader.REGISTRY),
    ("GET", "hf.co", "/v2/", "*/*", Reader.REGISTRY),
    ("GET", MS, "/api/v1/models/acme/tiny/repo/files", "*/*", Reader.MODELSCOPE),
    ("GET", MS, "/models/acme/tiny/resolve/master/config.json", "*/*", Reader.MODELSCOPE),
    ("GET", MS, "/models/acme/tiny", BROWSER, Reader.BROWSER),
    ("GET", MS, "/acme/tiny.git/info/refs", "*/*", Reader.GIT),
    ("POST", MS, BATCH, "application/vnd.git-lfs+json", Reader.LFS),
    ("GET", "files.example.org", "/a.whl", "*/*", Reader.PLAIN),
    ("GET", "files.example.org", "/a.whl", BROWSER, Reader.BROWSER),
]
FORMS = {
    Reader.HUB: (403, "application/json", lambda body: json.loads(body)["error"]),
    Reader.MODELSCOPE: (451, "application/json", lambda body: json.loads(body)["Message"]),
    Reader.GIT: (403, "text/plain; charset=utf-8", lambda body: body.decode().rstrip("\n")),
    Reader.LFS: (403, "application/vnd.git-lfs+json", lambda body: json.loads(body)["message"]),
    Reader.REGISTRY: (403, "application/json", lambda body: json.loads(body)["errors"][0]["message"]),
    Reader.PLAIN: (403, "text/plain; charset=utf-8", lambda body: body.decode().rstrip("\n")),
}
PRINTABLE = set(string.ascii_letters + string.digits + string.punctuation + " ")


def asked(method: str, host: str, path: str, accept: str = "*/*", query: str = "") -> tuple[Request, Resource]:
    request = Request(method, "https", host, 443, path, query, Headers([("Accept", accept)]))
    return request, Classifier().classify(method, "https", host, 443, path, query)


def reply(denial: Denial = DENIAL, *, repo: Repo | None = REPO, id: str = "7f3a", route: int = 0) -> Blocked:
    method, host, path, accept, _ = ROUTES[route]
    return blocked(denial, *asked(method, host, path, accept), Subject(repo) if repo else None, id)


def at(reader: Reader) -> int:
    return next(n for n, route in enumerate(ROUTES) if route[-1] is reader and route[0] != "HEAD")


@pytest.mark.parametrize(("method", "host", "path", "accept", "reader"), ROUTES)
def test_who_reads_what(method: str, host: str, path: str, accept: str, reader: Reader) -> None:
    assert reader_of(*asked(method, host, path, accept)) is reader


@pytest.mark.parametrize("reader", FORMS)
def test_each_reader_has_the_whole_text_in_its_form(reader: Reader) -> None:
    status, media, inside = FORMS[reader]
    got = reply(route=at(reader))
    assert (got.status, got.headers.get("content-type")) == (status, media)
    assert inside(got.body) == TEXT
    assert got.reason == "Blocked by policy lic-noncommercial [7f3a]"
    assert got.headers.get("x-policy-rule") == "lic-noncommercial"
    assert got.headers.get("x-policy-request-id") == "7f3a"
    assert got.headers.get("cache-control") == "no-store"
    assert got.headers.get("content-length") == str(len(got.body))


def test_hub_clients_have_it_in_fields_on_every_host_of_the_hub_and_nobody_else_has() -> None:
    for n, (_, host, _, _, _) in enumerate(ROUTES):
        fields = reply(route=n).headers
        told = [fields.get(name) for name in ("X-Error-Code", "X-Error-Message", "X-HF-Warning")]
        hugging = host.endswith(("huggingface.co", "hf.co"))
        assert told == (["GatedRepo", TEXT, f"policy-acme/tiny; {TEXT}"] if hugging else [None] * 3), host


def test_a_head_has_no_body_and_the_length_of_one() -> None:
    method, host, path, accept, _ = ROUTES[4]
    got, full = (blocked(DENIAL, *asked(m, host, path, accept), Subject(REPO), "7f3a") for m in (method, "GET"))
    assert (got.body, got.headers) == (b"", full.headers) and full.body


@pytest.mark.parametrize(
    ("path", "agent", "status"),
    [
        ("/api/v1/models/acme/tiny", "modelscope/1.29.2; python/3.13.0", 200),
        ("/api/v1/models/acme/tiny", "modelscope_hub/0.5.1; python/3.13.0", 451),
        ("/api/v1/models/acme/tiny", "", 451),
        ("/api/v1/datasets/acme/tiny", "modelscope/1.29.2; python/3.13.0", 451),
        ("/api/v1/models/acme/tiny/revisions", "modelscope/1.29.2; python/3.13.0", 451),
        ("/api/v1/models/acme/tiny/repo/files", "modelscope/1.29.2; python/3.13.0", 451),
    ],
)
def test_the_older_sdk_is_led_on_to_where_it_shows_the_denial(path: str, agent: str, status: int) -> None:
    request, resource = asked("GET", MS, path)
    request = replace(request, headers=Headers([("User-Agent", agent)]))
    got = blocked(DENIAL, request, resource, Subject(REPO), "7f3a")
    told = json.loads(got.body)
    assert (got.status, told["Code"], told["Success"], told["Message"]) == (status, 451, False, TEXT)
    assert got.headers.get("cache-control") == "no-store"


def test_the_rest_of_what_programs_read() -> None:
    told = json.loads(reply(route=at(Reader.MODELSCOPE)).body)
    assert told == {"Code": 451, "Message": TEXT, "RequestId": "7f3a", "Success": False}
    assert json.loads(reply(route=at(Reader.REGISTRY)).body) == {"errors": [{"code": "DENIED", "message": TEXT}]}
    assert json.loads(reply().body) == {"error": TEXT, "message": TEXT}


@pytest.mark.parametrize(
    ("denial", "ending"),
    [
        (Denial("r", "No."), "No. Run: hubgate explain hf:acme/tiny [i]"),
        (Denial("r", "no", contact="m@x.org"), " (m@x.org): no. Ask m@x.org or run: hubgate explain hf:acme/tiny [i]"),
        (
            Denial("r", "no", Decision.APPROVAL, request_url="https://t.org/{repo}"),
            "no. It needs an approval. Apply at https://t.org/acme%2Ftiny or run: hubgate explain hf:acme/tiny [i]",
        ),
        (
            Denial("r", "no", Decision.EMBARGOED, owner="sec@x.org", request_url="https://t.org/{repo}"),
            "no. No exception can be granted. Ask sec@x.org or run: hubgate explain hf:acme/tiny [i]",
        ),
        (Denial("r", " ", request_url="ask me"), "no reason is given. Run: hubgate explain hf:acme/tiny [i]"),
        (Denial("r", "no", request_url=f"https://{'t' * 300}/"), "no. Run: hubgate explain hf:acme/tiny [i]"),
    ],
)
def test_the_way_out_is_the_one_that_there_is(denial: Denial, ending: str) -> None:
    text = json.loads(reply(denial, id="i").body)["error"]
    assert text.startswith("Blocked by policy rule 'r'") and text.endswith(ending)


@pytest.mark.parametrize(
    ("about", "command"),
    [
        (Subject(Repo("huggingface", "datasets", "acme/ds")), "hf:datasets/acme/ds"),
        (Subject(Repo("modelscope", "models", "acme/tiny")), "ms:acme/tiny"),
        (Subject(Repo("modelscope", "models", "acme/tiny", "ai")), "ms.ai:acme/tiny"),
        (Subject(REPO, "main", "sub/a.bin"), "hf:acme/tiny@main/sub/a.bin"),
        (Subject(REPO, SHA[:40], "a.bin"), f"hf:acme/tiny@{SHA[:40]}/a.bin"),
        (Subject(REPO, "main", "a b.bin"), "hf:acme/tiny"),  # the command would take %20 for itself
        (Subject(REPO, "refs/pr/1", "a.bin"), "hf:acme/tiny"),  # where the revision ends would be a guess
        (Subject(REPO, "main", "a" * 120), "hf:acme/tiny"),
        (Subject(Repo("huggingface", "models", "a/b; rm -rf ~ $(id) `id` 'x' \"y\" é\r\n|&")), None),
        (None, "https://files.example.org/a%20b%27"),
    ],
)
def test_the_command_can_be_pasted_into_a_shell(about: Subject | None, command: str | None) -> None:
    text = blocked(DENIAL, *asked("GET", "files.example.org", "/a%20b'", query="token=hush"), about, "i").body.decode()
    pasted = text.partition("run: hubgate explain ")[2].removesuffix(" [i]\n")
    assert pasted == (command or pasted)
    assert pasted and set(pasted) <= set(string.ascii_letters + string.digits + "_.-~/@:+=%")
    assert "hush" not in text


def test_a_command_too_long_is_left_out_whole() -> None:
    text = json.loads(reply(repo=Repo("huggingface", "models", "a/" + "b" * 200)).body)["error"]
    assert "hubgate" not in text and text.endswith("[7f3a]")


HOSTILE = "Ünfair \"quote\" '1' <script>alert(1)</script>\r\nX-Injected: yes\x00\x1b[31m\u202egnp\u2028 许可 \ud800"


@given(
    st.text(max_size=60) | st.just(HOSTILE),
    st.text(max_size=1500) | st.just(HOSTILE),
    st.sampled_from(Decision),
    st.text(max_size=200),
    st.text(max_size=200).map("https://t.example.org/".__add__),
    st.text(max_size=300),
    st.text(max_size=60),
    st.integers(0, len(ROUTES) - 1),
)
@example(HOSTILE, HOSTILE, Decision.DENIED, HOSTILE, f"https://t.org/{HOSTILE}", HOSTILE, HOSTILE, 0)
@example("r" * 99, "x" * 2000, Decision.APPROVAL, "o" * 99, f"https://{'u' * 225}", "n" * 100, "i" * 99, 0)
@example("r" * 99, "x" * 2000, Decision.EMBARGOED, "o" * 99, f"https://{'u' * 225}", "\u00e9" * 160, "i" * 99, 14)
@settings(deadline=None)
def test_whatever_others_wrote_stays_in_its_field(
    rule: str, reason: str, decision: Decision, owner: str, url: str, name: str, id: str, route: int
) -> None:
    denial = Denial(rule, reason, decision, owner, owner, url)
    repo = Repo("huggingface", "models", name)
    got = reply(denial, repo=repo, id=id, route=route)
    assert set(got.reason) <= PRINTABLE and len(got.reason) <= 120
    assert got.reason.startswith("Blocked by policy ") and got.reason.endswith("]")
    method, host, path, accept, _ = ROUTES[route]
    extra = audit_fields([Spoke(rule, "a.yaml:1", reason)] * 40, asked(method, host, path, accept)[1], repo)
    for field, value in (*got.headers, *extra):
        assert set(value) <= PRINTABLE and 0 < len(value) <= FIELD and value == value.strip(), field
    shown = f"[{got.headers.get('x-policy-request-id')}]"
    for field in ("X-Error-Message", "X-HF-Warning"):
        assert (got.headers.get(field) or shown).endswith(shown)
    lines = got.body.decode().splitlines()
    assert len(lines) <= 1 or lines[0] == "<!doctype html>"
    if got.headers.get("content-type", "").startswith("text/plain"):
        assert "\x1b" not in lines[0] and "\u202e" not in lines[0]


def test_accents_are_kept_in_bodies_and_left_out_of_fields() -> None:
    got = reply(Denial("règle", "Für «acme» nicht erlaubt: 许可"))
    assert "Für «acme» nicht erlaubt: 许可." in json.loads(got.body)["error"]
    assert "'regle': Fur ?acme? nicht erlaubt: ??." in got.headers.get("X-Error-Message", "")


def test_of_a_long_reason_the_end_is_missing_and_never_what_follows_it() -> None:
    got = reply(Denial("r", "word " * 400, owner="o", request_url="https://t.org/"))
    field = got.headers.get("X-Error-Message", "")
    assert len(field) == FIELD
    assert field.endswith("... Ask at https://t.org/ or run: hubgate explain hf:acme/tiny [7f3a]")
    assert "word " * 399 in json.loads(got.body)["error"]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_the_page_shows_what_was_said_and_runs_none_of_it() -> None:
    got = reply(route=at(Reader.BROWSER))
    plain = Page(got.body.decode())
    for told in ("lic-noncommercial", DENIAL.reason, "legal@example.org", "hubgate explain hf:acme/tiny", "7f3a"):
        assert told in plain.words
    assert plain.links == ["https://tickets.example.org/new?repo=acme%2Ftiny&rule=lic-noncommercial"]
    assert got.headers.get("content-security-policy", "").startswith("default-src 'none'")

    url = "https://t.org/\"><script>'{repo}"
    hostile = Denial("<b>", '<script>alert("1")</script> $rows', owner="<i>&amp;", request_url=url)
    page = Page(reply(hostile, repo=Repo("huggingface", "models", "<img>/x"), route=at(Reader.BROWSER)).body.decode())
    assert page.tags == plain.tags
    assert {"<b>", '<script>alert("1")</script> $rows.', "<i>&amp;"} <= set(page.words)
    assert page.links == ["https://t.org/%22%3E%3Cscript%3E%27%3Cimg%3E%2Fx"]


def test_whom_to_ask_is_text_on_the_page() -> None:
    gone = "<i>&lt;"
    page = Page(reply(Denial("r", "no", contact=gone), route=at(Reader.BROWSER)).body.decode())
    assert f"ask {gone}" in page.words and "i" not in page.tags


def test_the_rule_s_id_ends_where_it_ends() -> None:
    told = json.loads(reply(Denial("r' (me@example.org): fine", "no")).body)["error"]
    assert told.startswith("Blocked by policy rule 'r? (me@example.org): fine': no.")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//t.org/x", ""])
def test_only_the_web_is_linked(url: str) -> None:
    page = Page(reply(Denial("r", "no", request_url=url), route=at(Reader.BROWSER)).body.decode())
    assert page.links == [] and "alert" not in "".join(page.words)


def test_an_audit_warns_and_names_all_rules() -> None:
    found = [Spoke("no-pickle", "a.yaml:1", "Use the .safetensors file."), Spoke("fresh", "a.yaml:9", "Too new.")]
    resource = asked(*ROUTES[0][:3])[1]
    assert audit_fields([], resource, REPO) == ()
    assert audit_fields(found, resource, REPO) == (
        ("X-Policy-Audit", "no-pickle, fresh"),
        (
            "X-HF-Warning",
            "policy-audit-acme/tiny; Not blocked yet, but policy rule 'no-pickle' and 1 more would:"
            " Use the .safetensors file.",
        ),
    )
    elsewhere = asked("GET", MS, "/api/v1/models/acme/tiny")[1]
    assert audit_fields(found[:1], elsewhere, REPO) == (("X-Policy-Audit", "no-pickle"),)
