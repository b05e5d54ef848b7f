"""Real clients and a gated repo: who may have it gets it from here, and who may not is told so by the hub."""

from __future__ import annotations

from typing import Any

from tests.clients.conftest import Site
from tests.clients.test_access import FILES
from tests.hub import Repo, Synthetic

BIG = Synthetic(3_000_000, 55)
KEPT: dict[str, Any] = {"old.bin": "lfs", "model.safetensors": "xet"}
PATHS = ("config.json", "old.bin", "model.safetensors")
FROM_MODELSCOPE = """
    import hashlib, json, os, sys
    from modelscope.hub.api import HubApi
    from modelscope.hub.file_download import model_file_download
    if token := os.environ.get("LOGIN"):
        HubApi().login(token)
    def outcome(path):
        try:
            where = model_file_download(sys.argv[1], path)
        except Exception as error:
            return "refused"
        return hashlib.sha256(open(where, "rb").read()).hexdigest()
    print(json.dumps([outcome(path) for path in sys.argv[2:]]))
"""


def closed(site: Site, id: str, hub: str, readers: set[str]) -> Repo:
    files: dict[str, Any] = {"config.json": "{}", "old.bin": b"old" * 100_000, "model.safetensors": BIG}
    kept = KEPT if hub == "huggingface" else dict.fromkeys(KEPT, "lfs")
    repo = Repo(id, files=files, storage=kept, gated="auto", readers=readers, hub=hub)  # type: ignore[arg-type]
    return site.hub.add(repo)


def bodies(site: Site, repo: Repo) -> list[float]:
    return [site.hub.bodies_of(repo.file(path).digest) for path in PATHS]


def test_two_readers_share_the_bytes_and_a_third_gets_none(site: Site) -> None:
    repo = closed(site, "acme/leased", "huggingface", {"hf_reader", "hf_second"})
    site.hub.tokens["hf_second"] = "second"
    right = [repo.file(path).source.sha256 for path in PATHS]
    for token in ("hf_reader", "hf_reader", "hf_second"):
        assert site.python("hub2", FILES, repo.id, *PATHS, HF_TOKEN=token) == right
    assert bodies(site, repo) == [1.0, 1.0, 1.0]
    for variables in ({"HF_TOKEN": "hf_other"}, {}):
        assert site.python("hub2", FILES, repo.id, *PATHS, **variables) == ["GatedRepoError"] * 3
    site.hub.stop()
    assert site.python("hub1", FILES, repo.id, PATHS[1], HF_TOKEN="hf_reader") == right[1:2]


def test_the_same_on_modelscope_by_token_and_by_cookie(site: Site) -> None:
    repo = closed(site, "acme/leased-ms", "modelscope", {"ms_reader"})
    right = [repo.file(path).source.sha256 for path in PATHS]
    for env, variables in (
        ("ms140", {"MODELSCOPE_API_TOKEN": "ms_reader"}),
        ("ms140", {"MODELSCOPE_API_TOKEN": "ms_reader"}),
        ("ms129", {"LOGIN": "ms_reader"}),
    ):
        assert site.python(env, FROM_MODELSCOPE, repo.id, *PATHS, **variables) == right, env  # type: ignore[arg-type]
    assert all(count < 1.001 for count in bodies(site, repo)[1:])
    assert site.python("ms140", FROM_MODELSCOPE, repo.id, *PATHS, MODELSCOPE_API_TOKEN="ms_other") == ["refused"] * 3
    assert site.python("ms140", FROM_MODELSCOPE, repo.id, *PATHS) == ["refused"] * 3
