"""What Hugging Face's answers tell of a repo, as facts. Pure, and any JSON will do.

A repo's info holds the card of that very revision, read by the hub from the README (`cardData`), and the tags that it
makes of it. What the card does not say may stand in a tag, and else in the README itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..hub import hf_listing
from ..hub import huggingface as hf
from ..hub.resources import COMMIT, SHA256
from .declared import front_matter, licences, of_front_matter
from .facts import UNKNOWN
from .foreign import LONGEST, count, mapping, moment, repo_name, text, texts
from .sheets import Placing, Scan, Sheet, Twinning, scan

_GATED = (False, True, "auto", "manual")
_LICENSE, _BASE = "license:", "base_model:"
INFO = "repo info"
OF_CARD = ("license", "tags", "base_model")


def info(told: object, asked: str) -> Sheet:
    """`asked`: the id by which it was asked for."""
    said = mapping(told)
    if said is None:
        return Sheet()
    name = repo_name(said.get("id")) or repo_name(said.get("modelId"))
    commit = said.get("sha")
    here = f" at {commit[:12]}" if isinstance(commit, str) and COMMIT.match(commit) else ""
    tags = texts(said.get("tags"))
    raw = said.get("cardData")
    card = {} if raw is None else mapping(raw)
    gated, private = said.get("gated"), said.get("private")
    values: dict[str, object] = {
        "commit": commit if here else UNKNOWN,
        "gated": gated if isinstance(gated, bool | str) and gated in _GATED else UNKNOWN,
        "private": private if isinstance(private, bool) else UNKNOWN,
        "tags": UNKNOWN if tags is None or "tags" not in said else tags,
        "base_model": UNKNOWN if card is None else _bases(card, tags),
        "author": text(said.get("author")) or (name.rpartition("/")[0] or UNKNOWN),
        "revision_age": _or_unknown(moment(said.get("lastModified"))),
        "has_safetensors_twin": _twins(said.get("siblings")),
    }
    sources = dict.fromkeys(values, f"{INFO} of {asked}{here}")
    found = UNKNOWN if card is None else licences(card.get("license"), hub=hf.HUB, card=card)
    source = f"card of {name or asked}{here}"
    if found is None and (tagged := [tag for tag in tags or () if tag.startswith(_LICENSE)]):
        found = licences([tag.removeprefix(_LICENSE) for tag in tagged], hub=hf.HUB, card=card)
        source = ", ".join(f"tag {tag}" for tag in tagged)[:LONGEST]
    if found is not None:
        values["license"], sources["license"] = found, source
    return Sheet(values, sources, name)


def readme(data: bytes, where: str) -> Sheet:
    """The licence by the README's front matter."""
    found = of_front_matter(front_matter(data), hub=hf.HUB)
    return Sheet({"license": UNKNOWN if found is None else found}, {"license": f"README.md of {where}"})


def size(told: object, where: str) -> Sheet:
    """All files of a revision, from its info with `?blobs=true`."""
    said = mapping(told) or {}
    siblings = said.get("siblings")
    sizes = [count(each.get("size")) if isinstance(each, dict) else None for each in siblings or ()] if (
        isinstance(siblings, list)
    ) else [None]  # fmt: skip
    known = [each for each in sizes if each is not None]
    whole = len(known) == len(sizes)
    return Sheet({"repo_size": sum(known) if whole else UNKNOWN}, {"repo_size": f"sizes of the files of {where}"})


def hub_scan(told: object, kind: str, where: str) -> Sheet:
    """From a repo's info with `?securityStatus=true`. Only of models the hub always tells."""
    said = mapping(told) or {}
    status = said.get("securityRepoStatus")
    silent = status is None and kind != "models" and bool(said)
    found = Scan({}, done=False, worst="unscanned") if silent else scan(status)
    return Sheet({"hub_scan": found}, {"hub_scan": f"security scan of {where}"})


def heads(told: object) -> frozenset[str]:
    """The commits at which branches and tags are, from the list of refs. Pull requests are none of them."""
    said = mapping(told) or {}
    listed = [each for name in ("branches", "tags") if isinstance(found := said.get(name), list) for each in found]
    return _commits(listed, "targetCommit")


def history(page: object) -> frozenset[str]:
    """The commits on one page of a branch's history."""
    return _commits(page if isinstance(page, list) else [], "id")


def _commits(listed: list[object], name: str) -> frozenset[str]:
    found = (each.get(name) for each in listed if isinstance(each, dict))
    return frozenset(each for each in found if isinstance(each, str) and COMMIT.match(each))


def strangers(told: Mapping[str, object], own: Mapping[str, object]) -> Mapping[str, object]:
    """What a card says to which anybody could put his hand, with what the repo's own (`own`) says: neither is lost."""
    found: dict[str, object] = {}
    for fact in OF_CARD:
        theirs, ours = told.get(fact, ()), own.get(fact, UNKNOWN)
        both = isinstance(theirs, tuple) and isinstance(ours, tuple)
        found[fact] = tuple(dict.fromkeys((*ours, *theirs))) if both else UNKNOWN  # type: ignore[misc]
    return found


def place(page: object, placing: Placing) -> bool:
    """Reads one page of a listing; False if it is none."""
    if not isinstance(page, list):
        return False
    for path, digests in _entries(page):
        placing.add(path, digests)
    return True


def _entries(page: list[object]) -> Iterator[tuple[str, list[str]]]:
    by_path = {entry.path: entry.blob for entry in hf_listing.entries(page)}
    for node in page:
        if isinstance(node, dict) and isinstance(path := node.get("path"), str) and path in by_path:
            xet, blob = node.get("xetHash"), by_path[path]
            digests = [blob] if blob.startswith("sha256:") else []
            yield path, digests + ([f"xet:{xet}"] if isinstance(xet, str) and SHA256.match(xet) else [])


def _bases(card: Mapping[str, object], tags: tuple[str, ...] | None) -> object:
    named = texts(card.get("base_model"))
    if named is None or tags is None:
        return UNKNOWN
    tagged = (tag.removeprefix(_BASE).rpartition(":")[2] for tag in tags if tag.startswith(_BASE))
    found: dict[str, str] = {}
    for each in (*named, *tagged):
        if each:
            found.setdefault(each.casefold(), each)
    return tuple(found.values())


def _twins(siblings: object) -> object:
    if not isinstance(siblings, list):
        return UNKNOWN
    twinning, whole = Twinning(), True
    for each in siblings:
        path = each.get("rfilename") if isinstance(each, dict) else None
        if isinstance(path, str):
            twinning.add(path)
        else:
            whole = False
    return twinning.done(whole=whole)


def _or_unknown(value: object) -> object:
    return UNKNOWN if value is None else value
