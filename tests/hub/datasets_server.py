"""`datasets-server.huggingface.co`: the viewer's answers, in their shape, for the datasets that the hub has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .exchange import Answer, Exchange, as_json, error

if TYPE_CHECKING:
    from .server import TestHub


async def answer(hub: TestHub, ex: Exchange) -> Answer | None:
    dataset = ex.param("dataset")
    repo = hub.repos.get(("datasets", dataset))
    if repo is None or repo.private:
        message = "The dataset does not exist, or is not accessible without authentication."
        return error(404, message, "ResponseNotFound")
    split = {"dataset": dataset, "config": "default", "split": "train"}
    answers: dict[str, dict[str, Any]] = {
        "/parquet": {"parquet_files": [], "pending": [], "failed": [], "partial": False},
        "/info": {"dataset_info": {"default": {"splits": {"train": split}}}, "pending": [], "failed": []},
        "/splits": {"splits": [split], "pending": [], "failed": []},
        "/rows": {"features": [], "rows": [], "num_rows_total": 0, "partial": False},
        "/is-valid": {"preview": True, "viewer": True, "search": False, "filter": False, "statistics": False},
    }
    found = answers.get(ex.path)
    return as_json(found, ("X-Revision", repo.head), ("Cache-Control", "max-age=10")) if found else None
