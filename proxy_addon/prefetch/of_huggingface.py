"""How a Hugging Face repo is looked up: its info by name, by revision and by commit, its listing at the commit with
every page, and the commit that `/resolve` names for the revision.
"""

from __future__ import annotations

from ..hub import hf_listing as hub
from ..hub import huggingface as hf
from ..hub.resources import File
from ..hub.targets import Entry, Target
from .asking import Fault
from .listing import Look, Reading, stale
from .plan import Item

_PAGES = 10_000


async def look(reading: Reading, target: Target) -> Look:
    info, reply = await reading.document(hub.revision_url(target.repo, target.revision), anew=True)
    try:
        commit = hub.commit_of(info)
    except ValueError as fault:
        raise Fault(str(fault)) from None
    return Look(target, commit, stale(reply), lambda: _files(reading, target, commit))


async def _files(reading: Reading, target: Target, commit: str) -> list[Item]:
    repo = target.repo
    await reading.document(hub.api_url(repo), anew=True)
    await reading.document(hub.revision_url(repo, commit))
    found: list[Entry] = []
    url, pages = hub.tree_url(repo, commit), 0
    try:
        while url:
            listing, reply = await reading.document(url)
            found += hub.entries(listing)
            url, pages = hub.next_page(reply.headers.get("link")) or "", pages + 1
            if url and (pages >= _PAGES or not url.startswith(f"{hub.api_url(repo)}/")):
                raise Fault("its listing leads astray")
    except ValueError as fault:
        raise Fault(str(fault)) from None
    items = [Item(target, File(repo, commit, e.path), e.size, e.blob) for e in found]
    if items:
        await _learn_ref(reading, File(repo, target.revision, items[0].file.path), commit)
    return items


async def _learn_ref(reading: Reading, file: File, commit: str) -> None:
    """The row that says which commit `file.rev` is; and whether anybody may have the files at all."""
    reply = await reading.head(hf.resolve_url(file), anew=not file.pinned)
    if (now := reply.headers.get("x-repo-commit")) != commit:
        raise Fault(f"{file.rev} has moved to {now} just now; run it again")
