"""From a target to its files: the requests by which clients look a repo up, made ahead of them.

They are spelled as clients spell them, so that the answers are found under the same keys: the repo's info by name, by
revision and by commit, its listing at the commit with every page, and the commit that `/resolve` names for the
revision. What a name stands for is asked of the hub anew; what is at a commit cannot change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from ..core.messages import Reply
from ..core.status import Detail
from ..hub import huggingface as hf
from ..hub import targets
from ..hub.paths import quoted_rev
from ..hub.resources import File
from ..hub.targets import Target
from .asking import Asking, Fault
from .plan import Item

_PAGES = 10_000
_STALE = frozenset({Detail.OFFLINE, Detail.STALE_IF_ERROR})


async def files_of(asking: Asking, target: Target, documents: set[str], say: Callable[[str], None]) -> list[Item]:
    """Every file of the target. Adds the blobs of what was asked to `documents`; raises `Fault`."""

    async def document(url: str, *, anew: bool = False) -> tuple[Any, Reply]:
        data, reply = await asking.got(url, anew=anew)
        documents.add(f"sha256:{hashlib.sha256(data).hexdigest()}")
        try:
            return json.loads(data), reply
        except ValueError:
            raise Fault("what the hub sent is no JSON") from None

    repo, rev = target.repo, target.rev or "main"
    info, reply = await document(targets.api_url(repo, f"/revision/{quoted_rev(rev)}"), anew=True)
    if reply.outcome.detail in _STALE:
        say(f"{target}: the hub cannot be asked; going by what it last said")
    try:
        commit = targets.commit_of(info)
        await document(targets.api_url(repo), anew=True)
        await document(targets.api_url(repo, f"/revision/{commit}"))
        found: list[targets.Entry] = []
        url, pages = targets.tree_url(repo, commit), 0
        while url:
            listing, reply = await document(url)
            found += targets.entries(listing)
            url, pages = targets.next_page(reply.headers.get("link")) or "", pages + 1
            if url and (pages >= _PAGES or not url.startswith(f"{targets.api_url(repo)}/")):
                raise Fault("its listing leads astray")
    except ValueError as fault:
        raise Fault(str(fault)) from None
    items = [Item(target, File(repo, commit, e.path), e.size, e.blob) for e in found]
    if items:
        await _learn_ref(asking, File(repo, rev, items[0].file.path), commit)
    return items


async def _learn_ref(asking: Asking, file: File, commit: str) -> None:
    """The row that says which commit `file.rev` is; and whether anybody may have the files at all."""
    reply = await asking.reply("HEAD", hf.resolve_url(file), anew=not file.pinned)
    if (now := reply.headers.get("x-repo-commit")) != commit:
        raise Fault(f"{file.rev} has moved to {now} just now; run it again")
