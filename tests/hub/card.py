"""The front matter of a repo's README, and the tags that the hub makes of it."""

from __future__ import annotations

from typing import Any

import yaml

from .repo import Commit

LISTED = {"license": "license", "base_model": "base_model", "datasets": "dataset", "language": ""}


def front_matter(commit: Commit) -> dict[str, Any]:
    readme = commit.files.get("README.md")
    if readme is None:
        return {}
    head, *rest = bytes(readme.source.read(0, 1 << 20)).decode("utf-8", "replace").split("---\n", 2)
    if head.strip() or len(rest) < 2:
        return {}
    try:
        found = yaml.safe_load(rest[0])
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def tags(card: dict[str, Any]) -> list[str]:
    found = [*card.get("tags", [])]
    for key, prefix in LISTED.items():
        values = card.get(key) or []
        for value in values if isinstance(values, list) else [values]:
            found.append(f"{prefix}:{value}" if prefix else str(value))
    return [*found, "region:us"]
