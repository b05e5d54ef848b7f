"""`datasets-server.huggingface.co`: the viewer's answers, in their shape, for the datasets that the hub has.

A dataset that one may not read, or that is not there, is a 401. The Parquet files are those of the dataset's branch
`refs/convert/parquet`, under `{config}/{split}/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .exchange import Answer, Exchange, as_json, error
from .repo import Repo

if TYPE_CHECKING:
    from .server import TestHub

CONVERTED = "refs/convert/parquet"
CLOSED = (
    "The dataset does not exist, or is not accessible without authentication (private or gated). "
    "Please check the spelling of the dataset name or retry with authentication."
)


async def answer(hub: TestHub, ex: Exchange) -> Answer | None:
    dataset = ex.param("dataset")
    repo = hub.repos.get(("datasets", dataset))
    if repo is None or ((repo.private or repo.gated) and ex.token not in repo.admitted):
        return error(401, CLOSED, "ExternalUnauthenticatedError")
    split = {"dataset": dataset, "config": "default", "split": "train"}
    done: dict[str, Any] = {"pending": [], "failed": [], "partial": False}
    image = {"src": f"https://datasets-server.huggingface.co/cached-assets/{dataset}/0.jpg?Expires=1&Signature=s"}
    answers: dict[str, dict[str, Any]] = {
        "/parquet": {"parquet_files": _parquet(repo), **done},
        "/info": {"dataset_info": {"default": {"config_name": "default"}}, **done},
        "/size": {"size": {"dataset": {"dataset": dataset, "num_rows": 20}}, **done},
        "/splits": {"splits": [split], "pending": [], "failed": []},
        "/rows": {"features": [], "rows": [{"row": {"image": image}}], "num_rows_total": 1, "partial": False},
        "/is-valid": {"preview": True, "viewer": True, "search": False, "filter": False, "statistics": False},
    }
    found = answers.get(ex.path)
    return as_json(found, ("X-Revision", repo.head), ("Cache-Control", "max-age=10")) if found else None


def _parquet(repo: Repo) -> list[dict[str, Any]]:
    commit = repo.at(CONVERTED)
    found = []
    for path, file in sorted(commit.files.items()) if commit else ():
        config, split, name = path.split("/")
        url = f"https://huggingface.co/datasets/{repo.id}/resolve/refs%2Fconvert%2Fparquet/{path}"
        facts = {"dataset": repo.id, "config": config, "split": split, "url": url, "filename": name, "size": file.size}
        found.append(facts)
    return found
