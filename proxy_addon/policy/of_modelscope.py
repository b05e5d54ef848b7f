"""What ModelScope's answers tell of a repo, as facts. Pure, and any JSON will do.

Two spellings of the same: `Data.License` of the older API, `data.license` of the open one. Neither knows revisions, so
that what they tell is of the repo; of its files at a revision the listing tells. The hub names no scan of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..hub import modelscope as ms
from ..hub import ms_listing
from .declared import front_matter, is_other, licences, of_front_matter
from .facts import UNKNOWN
from .foreign import count, mapping, moment, repo_name, text, texts
from .sheets import Placing, Sheet, Twinning

_PUBLIC, _CLOSED = (5, "public"), (1, 3, "private", "internal")
_MODES = ("auto", "manual")
INFO = "repo info"


class _Data:
    """The repo's own object, by either spelling of a field."""

    def __init__(self, told: Mapping[str, object]) -> None:
        self._told = told

    def __call__(self, *names: str) -> object:
        return next((self._told[name] for name in names if self._told.get(name) is not None), None)


def info(told: object, asked: str, rev: str | None) -> Sheet:
    """`asked`: the id by which it was asked for."""
    envelope = mapping(told) or {}
    data = mapping(envelope.get("Data")) or mapping(envelope.get("data"))
    if data is None:
        return Sheet()
    said = _Data(data)
    owner, own = text(said("Path", "Namespace", "owner")), text(said("Name", "name"))
    name = repo_name(said("id")) or repo_name(f"{owner}/{own}" if owner and own else None)
    readme = said("ReadMeContent")
    card = front_matter(readme.encode("utf-8", "replace")) if isinstance(readme, str) else {}
    changed = moment(said("LastUpdatedTime", "last_modified")) if rev in (None, ms.TRUNK) else None
    values: dict[str, object] = {
        "gated": _gated(said),
        "private": _private(said),
        "tags": _tags(said("Tags", "tags")),
        "base_model": _bases(said("BaseModel", "base_model"), card),
        "author": owner or (name.rpartition("/")[0] or UNKNOWN),
        "commit": UNKNOWN,
        "revision_age": UNKNOWN if changed is None else changed,
        "hub_scan": "unscanned",
    }
    sources = {**dict.fromkeys(values, f"{INFO} of {asked}"), "hub_scan": "ModelScope tells of no scan"}
    if (size := count(said("StorageSize"))) is not None:
        values["repo_size"], sources["repo_size"] = size, f"{INFO} of {asked}"
    declared = said("License", "license")
    found = licences(declared, hub=ms.HUB, card=card if is_other(declared) else None)
    source = f"License of {asked}"
    if found is None:
        found, source = of_front_matter(card, hub=ms.HUB), f"README.md of {asked}"
    if found is not None:
        values["license"], sources["license"] = found, source
    return Sheet(values, sources, name)


class Listing:
    """The pages of a listing, one after the other, brought down to facts."""

    def __init__(self, wanted: Iterable[str] = ()) -> None:
        self._twinning, self._placing = Twinning(), Placing(wanted)
        self._size: int | None = 0
        self.entries = 0

    def add(self, page: object) -> int:
        """How many entries it has. Raises ValueError for what is no listing."""
        nodes = ms_listing.nodes(page)
        for node in nodes:
            if node.get("Type") == "tree":
                continue
            size, path = count(node.get("Size")), str(node["Path"])
            self._size = None if self._size is None or size is None else self._size + size
            self._twinning.add(path)
        for entry in ms_listing.entries(nodes):
            self._placing.add(entry.path, [entry.blob] if entry.blob else [])
        self.entries += len(nodes)
        return len(nodes)

    def done(self, where: str, *, whole: bool) -> Sheet:
        values = {
            "repo_size": UNKNOWN if self._size is None or not whole else self._size,
            "has_safetensors_twin": self._twinning.done(whole=whole),
            "path": self._placing.done({}),
        }
        return Sheet(values, dict.fromkeys(values, f"listing of {where}"))


def _gated(said: _Data) -> object:
    """How one is let in says a number that nobody has explained: that there is a gate is all it tells."""
    mode, gated = said("ApprovalMode"), said("gated")
    if mode is not None:
        number = count(mode)
        return UNKNOWN if number is None else number != 0
    return gated if isinstance(gated, bool) or (isinstance(gated, str) and gated in _MODES) else UNKNOWN


def _private(said: _Data) -> object:
    """Private if either field says so."""
    flag, seen = said("Private", "private"), said("Visibility", "visibility")
    told: list[bool] = [bool(flag)] if isinstance(flag, int) and flag in (0, 1) else []
    if isinstance(seen, int | str) and not isinstance(seen, bool) and seen in (*_PUBLIC, *_CLOSED):
        told.append(seen in _CLOSED)
    return any(told) if told else UNKNOWN


def _tags(value: object) -> object:
    listed = [each.get("Name") if isinstance(each, dict) else each for each in value] if (
        isinstance(value, list) and len(value) <= 1000
    ) else value  # fmt: skip
    found = texts(listed)
    return UNKNOWN if found is None else found


def _bases(value: object, card: Mapping[str, object] | None) -> object:
    if value is None and card is None:
        return UNKNOWN
    found = texts((card or {}).get("base_model") if value is None else value)
    return UNKNOWN if found is None else found
