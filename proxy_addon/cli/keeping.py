"""The work behind `hubgate cache`, on an open store; each function returns the exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from ..catalogue import Catalogue, Entry, by_repo
from ..config import Settings
from ..hub.resources import File
from ..hub.targets import Target, spelled
from ..store.local import DiskStore
from .output import as_json, counted, human, say, table, tell


def run(settings: Settings, work: Callable[[DiskStore], Awaitable[int]]) -> int:
    """Do it with the store of this configuration. Raises ConfigError."""

    async def opened() -> int:
        cache = settings.cache
        store = DiskStore(cache.dir, cache.size, cache.memory, quarantine=cache.quarantine)
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


async def ls(store: DiskStore, json: bool, blobs: bool) -> int:
    """The repos, or the blobs."""
    entries = await Catalogue(store).entries()
    _list_blobs(entries, json) if blobs else _list_repos(entries, json)
    return 0


async def show(store: DiskStore, name: str, repo: Target | None, json: bool) -> int:
    """The files of a repo, or one blob."""
    found = await looked_up(store, name, repo)
    if not found:
        return nothing(name)
    if json:
        as_json([_described(entry) for entry in found])
    elif repo is None:
        table(("", ""), ((key, _cell(value)) for key, value in _described(found[0]).items()))
    else:
        heads = ("file", "revision", "size", "here", "pinned", "blob")
        rows = sorted((file.path, file.rev[:12], *_figures(entry)) for entry in found for file in entry.files)
        table(heads, rows, right=("size", "here"))
    return 0


async def rm(store: DiskStore, name: str, repo: Target | None, json: bool) -> int:
    """Forget it, unless it is pinned."""
    catalogue = Catalogue(store)
    found = await looked_up(store, name, repo)
    if not found:
        return nothing(name)
    if any(entry.listed.kept for entry in found):
        tell(f"{name} is pinned; first: hubgate cache unpin {name}")
        return 1
    if repo is not None:
        gone, stay = await catalogue.remove(repo)
    else:
        gone, stay = found, []
        await store.blobs.drop(found[0].blob)
    freed = sum(entry.listed.held for entry in gone)
    if json:
        as_json({"removed": [e.blob for e in gone], "bytes": freed, "shared": [e.blob for e in stay]})
    else:
        also = f"; {len(stay)} stay, other files are the same" if stay else ""
        say(f"removed {len(gone)} blobs, {human(freed)}{also}")
    return 0


async def stats(store: DiskStore, json: bool) -> int:
    """Figures of the whole."""
    told, entries = await store.stats(), await Catalogue(store).entries()
    pinned = [entry for entry in entries if entry.listed.kept]
    figures = {
        "bytes": told["bytes"],
        "limit": told["limit"],
        "repos": len(by_repo(entries)),
        "blobs": len(entries),
        "incomplete": sum(not entry.complete for entry in entries),
        "pinned": len(pinned),
        "pinned_bytes": sum(entry.listed.held for entry in pinned),
        "responses": told["responses"],
        "pieces": told["pieces"],
    }
    if json:
        as_json(figures)
    else:
        sizes = {"bytes", "limit", "pinned_bytes"}
        table(("", ""), ((k.replace("_", " "), human(v) if k in sizes else str(v)) for k, v in figures.items()))
    return 0


async def keep(store: DiskStore, name: str, repo: Target | None, kept: bool, json: bool) -> int:
    """Pin or unpin."""
    found = await looked_up(store, name, repo)
    if not found:
        return nothing(name)
    blobs = {entry.blob for entry in found}
    if repo is not None:
        blobs |= await Catalogue(store).documents(repo)
    await store.blobs.keep_all(blobs, kept)
    size = sum(entry.size for entry in found)
    if json:
        as_json({"pinned": kept, "blobs": sorted(blobs), "bytes": size})
    else:
        say(f"{'pinned' if kept else 'unpinned'} {counted(len(found), 'blob')}, {human(size)}")
    if kept and (lacking := [entry for entry in found if not entry.complete]):
        tell(f"{len(lacking)} of them are not whole; complete them: hubgate prefetch --pin {name}")
    return 0


async def looked_up(store: DiskStore, name: str, repo: Target | None) -> list[Entry]:
    if repo is not None:
        return await Catalogue(store).of(repo)
    one = await Catalogue(store).one(name)
    return [one] if one else []


def nothing(name: str) -> int:
    like = "" if ":" in name or "/" not in name else f"; a repo is written hf:{name} or ms:{name}"
    tell(f"{name}: nothing of it is here{like}")
    return 1


def _list_repos(entries: list[Entry], json: bool) -> None:
    repos = by_repo(entries)
    rest = [entry for entry in entries if not entry.files]
    held = sum(entry.listed.held for entry in rest)
    if json:
        as_json(
            [
                {
                    "repo": spelled(repo),
                    "revisions": holding.revisions,
                    "files": holding.files,
                    "bytes": holding.size,
                    "held": holding.held,
                    "pinned": holding.pinned,
                }
                for repo, holding in repos.items()
            ]
        )
        return
    rows = [
        (
            spelled(repo),
            str(holding.revisions),
            str(holding.files),
            human(holding.size),
            human(holding.held),
            "" if not holding.pinned else "yes" if holding.pinned == holding.files else f"{holding.pinned} files",
        )
        for repo, holding in repos.items()
    ]
    if rest:
        rows.append(("(listings, other hosts)", "", str(len(rest)), human(sum(e.size for e in rest)), human(held), ""))
    table(("repo", "revisions", "files", "size", "here", "pinned"), rows, right=("revisions", "files", "size", "here"))


def _list_blobs(entries: list[Entry], json: bool) -> None:
    if json:
        as_json([_described(entry) for entry in entries])
        return
    rows = [(*_figures(entry), ", ".join(names(entry)) or entry.listed.manifest.source) for entry in entries]
    table(("size", "here", "pinned", "blob", "what"), rows, right=("size", "here"))


def _figures(entry: Entry) -> tuple[str, str, str, str]:
    here = "all" if entry.complete else human(entry.listed.held)
    return human(entry.size), here, "yes" if entry.listed.kept else "", entry.blob


def _described(entry: Entry) -> dict[str, object]:
    manifest = entry.listed.manifest
    return {
        "blob": entry.blob,
        "bytes": entry.size,
        "held": entry.listed.held,
        "complete": entry.complete,
        "public": manifest.public,
        "pinned": entry.listed.kept,
        "files": names(entry),
        "source": manifest.source,
    }


def names(entry: Entry) -> list[str]:
    return [_name(file) for file in entry.files]


def _name(file: File) -> str:
    return f"{spelled(file.repo)}@{file.rev}/{file.path}"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{human(value)} ({value} bytes)"
    return "\n".join(map(str, value)) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)
