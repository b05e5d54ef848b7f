"""What is known about a request when it is judged, and where each fact came from.

A fact is *absent* (nobody has asked yet), UNKNOWN (asked, and not told) or a value; None says that there is none, such
as the path of a request about a whole repo. Facts come at three gates, and are only ever added: what was decided with
fewer still holds with more. Texts are as the hub spells them; comparing without case is the matchers' part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final, Protocol


class Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


class Gate(IntEnum):
    """When a fact can be known: from the request, from the hub's metadata, from the content."""

    REQUEST = 1
    REPO = 2
    CONTENT = 3


#: Every fact, and what its value is.
GATES: Final[Mapping[str, Gate]] = {
    "hub": Gate.REQUEST,  # huggingface | modelscope
    "type": Gate.REQUEST,  # model | dataset | space | studio
    "namespace": Gate.REQUEST,  # text; None for a repo without one
    "repo": Gate.REQUEST,  # namespace/name, or name
    "revision": Gate.REQUEST,  # branch, tag or commit, as asked for; None for a request about the whole repo
    "path": Gate.REQUEST,  # None when no single file is asked for
    "client": Gate.REQUEST,  # ipaddress.IPv4Address | IPv6Address
    "user": Gate.REQUEST,  # text; None for an anonymous one
    "commit": Gate.REPO,  # 40 hex digits
    "license": Gate.REPO,  # tuple of LicenceLike
    "license_conflict": Gate.REPO,  # what disagrees between the card and the base model, in words; None if nothing
    "gated": Gate.REPO,  # False, True, "auto" or "manual"
    "private": Gate.REPO,  # bool
    "repo_size": Gate.REPO,  # bytes
    "tags": Gate.REPO,  # tuple of texts
    "base_model": Gate.REPO,  # tuple of repos
    "hub_scan": Gate.REPO,  # safe | unsafe | suspicious | caution | unscanned
    "revision_age": Gate.REPO,  # UNIX time at which the revision was made; its age comes of `now`
    "has_safetensors_twin": Gate.REPO,  # bool
    "author": Gate.REPO,  # text
    "digest": Gate.CONTENT,  # "sha256:..."
    "pickle_imports": Gate.CONTENT,  # tuple of names, maybe `Partial`; None for what is no pickle
    "template": Gate.CONTENT,  # safe | unsafe; None for what has no template
}
SHOWN = 6  # imports in a message
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REF = re.compile(r"refs/(?:heads|tags)/(.+)", re.DOTALL | re.IGNORECASE)
_WORDS: Final[Mapping[object, str]] = {None: "none", True: "yes", False: "no"}


class Partial(tuple[str, ...]):
    """Some of what a file imports: who finds none of his names among these cannot tell whether it is in the file."""

    __slots__ = ()


class LicenceLike(Protocol):
    """A licence as a rule sees it. Attributes that are missing are unknown."""

    @property
    def id(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, object]: ...
    @property
    def mirror(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A licence that no table knows, by the words in which it was declared."""

    id: str
    attributes: Mapping[str, object] = field(default_factory=dict, hash=False)
    mirror: str = "unknown"


def called(revision: str) -> str:
    """A branch or a tag by its name alone, as everybody calls it, where it is called by all of its ref."""
    found = _REF.fullmatch(revision)
    return revision if found is None or _COMMIT.fullmatch(found[1]) else found[1]  # a name is no commit


@dataclass(frozen=True, slots=True)
class Facts:
    """`sources` says in words where a fact came from, such as `card at commit ab12`."""

    values: Mapping[str, object] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_request(
        cls,
        *,
        hub: str,
        type: str,
        repo: str,
        revision: str | None = None,
        path: str | None = None,
        client: object = None,
        user: str | None = None,
    ) -> Facts:
        """All that the request itself tells. A revision that is a commit needs no asking."""
        namespace, slash, _ = repo.partition("/")
        values: dict[str, object] = {
            "hub": hub,
            "type": type,
            "namespace": namespace if slash else None,
            "repo": repo,
            "revision": None if revision is None else called(revision),
            "path": path,
            "client": client,
            "user": user,
        }
        if revision is None or _COMMIT.fullmatch(revision):
            values["commit"] = revision
        return cls(values, dict.fromkeys(values, "request"))

    def told(self, source: str, /, **values: object) -> Facts:
        """These and more. A licence that is not declared is UNKNOWN. Raises ValueError for a name that is no fact."""
        return self.joined(values, dict.fromkeys(values, source))

    def joined(self, values: Mapping[str, object], sources: Mapping[str, str]) -> Facts:
        """These and more, each with a source of its own. Raises ValueError for a name that is no fact."""
        if not values.keys() <= GATES.keys():
            raise ValueError(f"no such fact: {', '.join(sorted(values.keys() - GATES.keys()))}")
        if "license" in values and not values["license"]:
            values = {**values, "license": UNKNOWN}
        return Facts({**self.values, **values}, {**self.sources, **sources})


def words(facts: Mapping[str, object], name: str) -> str:
    """A fact as a message shows it; `license.id` is a licence's own field."""
    fact, _, attribute = name.partition(".")
    value = facts.get(fact, UNKNOWN)
    if value is UNKNOWN:
        return "unknown"
    if fact == "license" and isinstance(value, Sequence):
        return ", ".join(_of_licence(each, attribute or "id") for each in value)
    if isinstance(value, tuple):
        shown = value[:SHOWN] if fact == "pickle_imports" else value
        more = f" and {len(value) - len(shown)} more" if len(value) > len(shown) else ""
        return ", ".join(map(str, shown)) + more
    return _WORDS[value] if value is None or isinstance(value, bool) else str(value)


def _of_licence(licence: LicenceLike, attribute: str) -> str:
    if attribute in ("id", "mirror"):
        return licence.id if attribute == "id" else licence.mirror
    return str(licence.attributes.get(attribute, "unknown"))
