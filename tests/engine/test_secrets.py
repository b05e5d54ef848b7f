"""A canary in every place where clients and hubs put secrets: it is nowhere on disk, in no log, and with no CDN."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from proxy_addon.config.places import OtherHost
from proxy_addon.core.messages import Finished
from tests.conftest import Starter
from tests.engine.rig import request_for
from tests.faults.canaries import Canaries
from tests.hub import Scripted, TestHub

H = "https://huggingface.co"
CANARIES = Canaries()
CANARY = CANARIES("anywhere")


async def test_no_canary_is_kept_or_told(
    hub: TestHub, start: Starter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.tokens[CANARY] = "canary"
    hub.repo("acme/gated").admitted = frozenset({CANARY})
    head = {"Cache-Control": "public, max-age=600", "ETag": '"a"', "Set-Cookie": f"session={CANARY}"}
    hub.script("/page", Scripted(200, head, "page"))
    hub.script("/away", Scripted(301, head | {"Location": f"https://s3.example/x?Signature={CANARY}"}, ""))
    r = await start(hubs__others=(OtherHost("plain.example"),), access_log=tmp_path / "access.log")
    secret = {"Authorization": f"Bearer {CANARY}", "Cookie": f"token={CANARY}", "X-Xet-Token": CANARY}
    urls = [f"{H}/acme/{repo}/resolve/main/{path}" for repo in ("tiny", "gated") for path in ("config.json", "old.bin")]
    urls += [f"{H}/api/models/acme/{repo}{tail}" for repo in ("tiny", "gated") for tail in ("", "/tree/main", "/refs")]
    urls += [f"{H}/api/whoami-v2", f"{H}/api/models/acme/gated/xet-read-token/main", f"{H}/api/models?search=tiny"]
    urls += [
        f"{H}/acme/missing/resolve/main/x",
        f"{H}/acme/tiny/resolve/main/missing",
        f"{H}/acme/tiny/raw/main/README.md",
    ]
    urls += [f"https://plain.example/{page}" for page in ("page", "away", f"page?X-Amz-Signature={CANARY}")]
    urls += [f"https://cdn-lfs.hf.co/repos/aa/bb/{'c' * 64}/{'d' * 64}?Signature={CANARY}&Policy={CANARY}"]
    urls += [f"https://transfer.xethub.hf.co/xorbs/default/{'d' * 64}?Signature={CANARY}"]
    said = ""
    for down in (False, False, True):
        if down:
            await r.idle()
            hub.stop()
        for url in urls:
            got = await r.get(url, secret)
            said += (got.header("X-Error-Message") or "") + (got.body.decode("latin-1") if got.status >= 500 else "")
            request = request_for("GET", url, secret)
            r.parts.engine.completed(Finished(request, got.status, got.reply.outcome, "huggingface", "file", 1))
    said += (await r.parts.metrics.text()).decode()
    told = [q for q in hub.requests() if CANARY in str(q.headers) and q.host not in ("huggingface.co", "plain.example")]
    assert {q.host for q in told} <= {"cdn-lfs.hf.co", "transfer.xethub.hf.co"}  # the hosts that the client addressed
    await r.close()
    assert CANARIES.below(tmp_path) == {}
    assert (tmp_path / "access.log").stat().st_size > 1000
    assert CANARIES.found_in(caplog.text.encode()) == CANARIES.found_in(said.encode()) == []
