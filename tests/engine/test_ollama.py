"""The hub as a container registry: what ollama asks for, answered like files, and by the hub itself to who may not."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import urlsplit

import pytest

from proxy_addon.core.messages import Finished
from proxy_addon.core.status import Outcome
from proxy_addon.store.contract import PIECE
from tests.conftest import Starter
from tests.engine.rig import Clock, Got, Rig, request_for
from tests.hub import Repo, Synthetic, TestHub

MODEL = Synthetic(PIECE + 700, 31)
OLLAMA = {"User-Agent": "ollama/0.6.2 (amd64 linux) Go/go1.24.0"}
HOSTS = ("hf.co", "huggingface.co", "www.huggingface.co")
TOKEN = {"Authorization": "Bearer hf_reader"}


@pytest.fixture
def model(hub: TestHub) -> Repo:
    return hub.add(Repo("acme/q-GGUF", files={"q-Q4_K_M.gguf": MODEL}, storage={"q-Q4_K_M.gguf": "xet"}))


@pytest.fixture(params=["lfs", "xet"])
def closed(hub: TestHub, request: pytest.FixtureRequest) -> Repo:
    files = {"q-Q4_K_M.gguf": MODEL}
    storage = {"q-Q4_K_M.gguf": request.param}
    return hub.add(Repo("acme/own-GGUF", files=files, storage=storage, private=True, readers={"hf_reader"}))


def manifest(id: str, host: str = "hf.co", tag: str = "Q4_K_M") -> str:
    return f"https://{host}/v2/{id}/manifests/{tag}"


def blob(id: str, sha256: str = MODEL.sha256, host: str = "hf.co") -> str:
    return f"https://{host}/v2/{id}/blobs/sha256:{sha256}"


async def followed(r: Rig, url: str, headers: dict[str, str], *, method: str = "GET") -> Got:
    """To the end, a token only to the host it was given for."""
    home = urlsplit(url).hostname
    for _ in range(5):
        sent = {k: v for k, v in headers.items() if k != "Authorization" or urlsplit(url).hostname == home}
        got = await r.get(url, sent, method)
        location = got.header("Location")
        if location is None:
            return got
        url = location
    raise RecursionError(url)


@pytest.mark.parametrize("host", HOSTS)
async def test_a_manifest_and_its_layers(hub: TestHub, start: Starter, model: Repo, host: str) -> None:
    r = await start()
    for _ in range(2):
        got = await r.get(manifest(model.id, host), OLLAMA)
        described = json.loads(got.body)
        assert got.status == 200 and (got.header("Docker-Content-Digest") or "").startswith("sha256:")
        for layer in (described["config"], *described["layers"]):
            url = f"https://{host}/v2/{model.id}/blobs/{layer['digest']}"
            size = (await r.head(url, OLLAMA)).header("Content-Length")
            away = await r.get(url, OLLAMA)
            location = away.header("Location") or ""
            assert (away.status, away.body, size) == (307, b"", str(layer["size"]))
            assert urlsplit(location).hostname not in (host, None) and urlsplit(location).hostname in HOSTS
            whole = await r.get(location)
            assert f"sha256:{hashlib.sha256(whole.body).hexdigest()}" == layer["digest"]
    await r.idle()
    assert hub.bodies_of(MODEL.sha256) == 1.0
    assert len(hub.requests(path="*/manifests/*")) == 1
    hub.clear()
    hub.stop()
    assert json.loads((await r.get(manifest(model.id, host), OLLAMA)).body) == described
    part = await r.get(
        (await r.get(blob(model.id, host=host), OLLAMA)).header("Location") or "", {"Range": "bytes=5-9"}
    )
    assert (part.status, part.body, part.cache) == (206, bytes(MODEL.read(5, 5)), "hubgate; hit")


async def test_each_program_has_a_manifest_of_its_own(hub: TestHub, start: Starter, model: Repo) -> None:
    r = await start()
    llama = {"User-Agent": "llama-cpp", "Accept": "application/json"}
    told = [json.loads((await r.get(manifest(model.id), who)).body) for who in (OLLAMA, llama, OLLAMA, llama)]
    assert ["ggufFile" in each for each in told] == [False, True, False, True]
    assert len(hub.requests(path="*/manifests/*")) == 2


async def test_what_the_hub_does_not_have_is_its_own_answer(hub: TestHub, start: Starter, model: Repo) -> None:
    r = await start()
    assert (await followed(r, blob(model.id, "0" * 64), OLLAMA)).status == 404
    assert (await followed(r, manifest(model.id, tag="Q9"), OLLAMA)).status == 400
    assert (await followed(r, manifest("acme/absent"), OLLAMA)).status == 401
    for method in ("PUT", "POST"):
        assert not r.parts.engine.takes(request_for(method, blob(model.id)))


async def test_who_may_read_a_closed_repo_pulls_from_it_and_nobody_else(
    hub: TestHub, start: Starter, closed: Repo
) -> None:
    r = await start()
    assert (await followed(r, blob(closed.id), OLLAMA)).status == 401
    for _ in range(2):
        assert (await followed(r, manifest(closed.id), OLLAMA | TOKEN)).status == 200
        got = await followed(r, blob(closed.id), OLLAMA | TOKEN)
        assert hashlib.sha256(got.body).hexdigest() == MODEL.sha256
        await r.idle()
    assert 1.0 <= hub.bodies_of(MODEL.sha256) < 1.001  # a byte more, to know that the link is good
    for host in HOSTS[:2]:
        assert (await followed(r, blob(closed.id, host=host), OLLAMA)).status == 401
        assert (await r.get(blob(closed.id, host=host) + "?hubgate=bytes", OLLAMA)).status in (307, 401)
        assert (await followed(r, manifest(closed.id, host), OLLAMA)).status == 401
    assert (await r.get(f"https://cdn-lfs-us-1.hf.co/repos/{closed.lfs_prefix}/{MODEL.sha256}")).status == 403


async def test_a_signed_query_is_in_no_key_and_proves_nothing(hub: TestHub, start: Starter, closed: Repo) -> None:
    r, other = await start(), await start(dir="other")
    signed = (await other.get(manifest(closed.id), TOKEN)).header("Location") or ""
    assert "__sign=" in signed
    assert (await r.get(signed)).status == 200
    for path in (manifest(closed.id, "huggingface.co"), f"{manifest(closed.id, 'huggingface.co')}?__sign=wrong"):
        assert (await r.get(path)).status == 401


async def test_a_blob_that_is_elsewhere_is_not_looked_for_there(hub: TestHub, start: Starter, model: Repo) -> None:
    r = await start()
    hub.knob(path="*/blobs/*", redirect="https://plain.example/x")
    assert (await r.head(blob(model.id))).header("Location") == "https://plain.example/x"
    hub.unknob()
    hub.knob(path="*/blobs/*", headers={"Content-Encoding": "gzip"})
    hub.knob(host="us.aws.cdn.hf.co", method="HEAD", headers={"Content-Encoding": "gzip"})
    assert (await r.head(blob(model.id))).status == 307
    assert hub.requests(host="plain.example") == []


async def test_a_hub_that_fails_is_stood_in_for_while_the_repo_is_known(
    hub: TestHub, start: Starter, model: Repo, clock: Clock
) -> None:
    r = await start()
    url = blob(model.id) + "?hubgate=bytes"
    assert (await r.get(url)).status == 200
    await r.idle()
    clock.leap(25 * 3600)
    hub.knob(status=503)
    assert "detail=stale-if-error" in (await r.get(url)).cache
    changed = request_for("POST", f"https://huggingface.co/api/models/{model.id}/commit/main")
    r.parts.engine.completed(Finished(changed, 200, Outcome()))
    await r.parts.engine.settle()
    assert (await r.get(url)).status == 503


async def test_a_proof_lasts_a_day(hub: TestHub, start: Starter, model: Repo, clock: Clock) -> None:
    r = await start()
    url = blob(model.id) + "?hubgate=bytes"
    assert (await r.get(url)).status == 200
    await r.idle()
    model.private = True
    assert (await r.get(url)).status == 200
    clock.leap(25 * 3600)
    assert (await followed(r, url, OLLAMA)).status == 401


async def test_a_wrong_byte_ends_no_layer(hub: TestHub, start: Starter, model: Repo) -> None:
    r = await start()
    hub.knob(host="us.aws.cdn.hf.co", corrupt_at=700, method="GET")
    got = await r.get(blob(model.id) + "?hubgate=bytes")
    assert got.cut and len(got.body) < MODEL.size
    await r.idle()
    assert f"sha256:{MODEL.sha256}" not in [each async for each in r.kept()]
