"""Snapshots of closed repos: what the hub tells of them is asked once, and is here while the hub is not."""

from __future__ import annotations

import hashlib

from tests.clients.conftest import Site
from tests.clients.test_leases import PATHS, closed
from tests.hub import Repo

HUGGING_FACE = """
    import hashlib, json, sys
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    try:
        folder = snapshot_download(sys.argv[1])
    except (GatedRepoError, RepositoryNotFoundError) as error:
        print(json.dumps([type(error).__name__]))
    else:
        print(json.dumps([hashlib.sha256(open(f"{folder}/{path}", "rb").read()).hexdigest() for path in sys.argv[2:]]))
"""
MODELSCOPE = """
    import hashlib, json, sys
    from modelscope import snapshot_download
    try:
        folder = snapshot_download(sys.argv[1])
    except Exception as error:
        print(json.dumps(["refused"]))
    else:
        print(json.dumps([hashlib.sha256(open(f"{folder}/{path}", "rb").read()).hexdigest() for path in sys.argv[2:]]))
"""


def told(site: Site, token: str) -> list[str]:
    """What the hub was asked with the token, and is no file."""
    shown = [q for q in site.hub.requests() if token in str(q.headers)]
    return [q.path for q in shown if q.path.startswith("/api/") and not q.path.endswith("/repo")]


def test_a_snapshot_of_a_private_repo_asks_the_hub_what_is_in_it_once(site: Site) -> None:
    repo = closed(site, "acme/told", "huggingface", {"hf_reader"})
    repo.gated, repo.private = False, True
    right, arguments = digests(repo), (repo.id, *PATHS)
    assert site.python("hub2", HUGGING_FACE, *arguments, HF_TOKEN="hf_reader") == right
    site.hub.clear()
    assert site.python("hub2", HUGGING_FACE, *arguments, HF_TOKEN="hf_reader") == right
    assert told(site, "hf_reader") == [] and not site.hub.requests(path=f"/api/models/{repo.id}*")
    assert site.python("hub2", HUGGING_FACE, *arguments, HF_TOKEN="hf_other") == ["RepositoryNotFoundError"]


def test_the_same_on_modelscope(site: Site) -> None:
    repo = closed(site, "acme/confided-ms", "modelscope", {"ms_reader"})
    repo.gated, repo.private = False, True
    right, arguments = digests(repo), (repo.id, *PATHS)
    assert site.python("ms140", MODELSCOPE, *arguments, MODELSCOPE_API_TOKEN="ms_reader") == right
    site.hub.clear()
    assert site.python("ms140", MODELSCOPE, *arguments, MODELSCOPE_API_TOKEN="ms_reader") == right
    asked = told(site, "ms_reader")
    assert not [path for path in asked if repo.id in path], asked
    assert site.python("ms140", MODELSCOPE, *arguments, MODELSCOPE_API_TOKEN="ms_other") == ["refused"]


def test_past_every_lease_it_goes_on_without_the_hub_as_long_as_the_operator_says(site: Site) -> None:
    """The last of the module: leases end here at once, so that only the grace is left."""
    repo = closed(site, "acme/confided", "huggingface", {"hf_reader"})
    repo.gated, repo.private = False, True
    right, arguments = digests(repo), (repo.id, *PATHS)
    site.restart(access={"lease": "1ms", "offline_grace": "1h"})
    assert site.python("hub2", HUGGING_FACE, *arguments, HF_TOKEN="hf_reader") == right
    site.hub.stop()
    assert site.python("hub2", HUGGING_FACE, *arguments, HF_TOKEN="hf_reader") == right


def digests(repo: Repo) -> list[str]:
    sources = [repo.file(path).source for path in PATHS]
    return [hashlib.sha256(bytes(source.read(0, source.size))).hexdigest() for source in sources]
