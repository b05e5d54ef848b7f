"""Many rules of all kinds, as a large organisation would have them: the same ones for the same seed.

Most speak about repos that nobody asks for, as in life; what `ALLOWED` is asked for under has to be found out of all of
them, with every fact that a hub tells. `DENIED` is denied by its licence.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

ALLOWED, DENIED = "acme/tiny", "acme/nc"
COUNT = 1000
_ATTRIBUTES = ("commercial_use", "modify", "redistribute", "share_alike", "use_restrictions", "output_limits")
_NC = ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-2.0")
_STRICT = ("gpl-3.0", "agpl-3.0", "llama3", "openrail++", "osl-3.0", "eupl-1.2")
_ENDINGS = ("bin", "pt", "pkl", "ckpt", "pth", "h5", "onnx", "tflite", "gguf", "exe")

type Made = dict[str, object]


def text(seed: int = 1, count: int = COUNT) -> str:
    """A rule file: `count` rules, classes, approvals and exceptions."""
    draw, found = random.Random(seed), dict[str, list[Made]]()
    kinds = [(section, make) for section, make, share in _SHARES for _ in range(share)]
    for number in range(count - 1):
        section, make = kinds[number % len(kinds)]
        found.setdefault(section, []).append({"id": f"b{number:04}", **make(draw)})
    deny = {"id": "nc", "effect": "deny", "match": {"license": {"commercial_use": "no"}}, "owner": "legal@example.org"}
    found["rules"].append({**deny, "reason": "Licence {license.id} does not allow commercial use."})
    lists = {f"trusted{n}": [*(["acme"] if n % 2 else []), *(_org(draw) for _ in range(200))] for n in range(10)}
    return "\n".join(["version: 1", *_section("lists", lists), *_sections(found)]) + "\n"


def _sections(found: dict[str, list[Made]]) -> Iterator[str]:
    for name, entries in found.items():
        yield f"{name}:"
        yield from (f"  - {json.dumps(entry)}" for entry in entries)


def _section(name: str, values: dict[str, list[str]]) -> Iterator[str]:
    yield f"{name}:"
    yield from (f"  {key}: {json.dumps(value)}" for key, value in values.items())


def _org(draw: random.Random) -> str:
    return f"org{draw.randrange(5000)}"


def _day(draw: random.Random) -> str:
    return str((datetime.now(UTC) + timedelta(days=draw.randrange(10, 80))).date())


def _deny(match: Callable[[random.Random], Made], effect: str = "deny") -> Callable[[random.Random], Made]:
    def made(draw: random.Random) -> Made:
        mode = {"mode": "audit"} if draw.random() < 0.2 else {}
        return {"effect": effect, "match": match(draw), "reason": "{repo} is not for us.", **mode}

    return made


def _attribute(draw: random.Random) -> Made:
    return {"license": {draw.choice(_ATTRIBUTES): "no"}, "repo": f"{_org(draw)}/*"}


def _licence(draw: random.Random) -> Made:
    return {"license": draw.sample(_NC + _STRICT, 2)}


def _everywhere(draw: random.Random) -> Made:
    """By attribute alone: the rules that are a candidate for each repo."""
    return {"type": draw.choice(["dataset", "model"]), "license": {"use_restrictions": "yes", "on_unknown": "skip"}}


def _glob(draw: random.Random) -> Made:
    return {"repo": [f"{_org(draw)}/m{draw.randrange(100)}*", f"{_org(draw)}/*-uncensored"]}


def _starred(draw: random.Random) -> Made:
    return {"repo": f"*/*-{_org(draw)}-*"}


def _namespace(draw: random.Random) -> Made:
    return {"namespace": [_org(draw) for _ in range(3)], "type": "model"}


def _path(draw: random.Random) -> Made:
    return {"path": f"**/*.{draw.choice(_ENDINGS)}", "has_safetensors_twin": True, "namespace_not_in": ["acme"]}


def _folder(draw: random.Random) -> Made:
    return {"path": f"{_org(draw)}/**", "namespace": _org(draw)}


def _user(draw: random.Random) -> Made:
    return {"user": f"user{draw.randrange(1000)}", "repo_size": ">10GB"}


def _client(draw: random.Random) -> Made:
    return {"client": f"10.{draw.randrange(256)}.0.0/16", "gated": True}


def _age(draw: random.Random) -> Made:
    return {"revision_age": f"<{draw.randrange(1, 24)}h", "namespace_not_in": f"trusted{draw.randrange(10)}"}


def _tags(draw: random.Random) -> Made:
    return {"tags": [f"{_org(draw)}*", "nsfw"], "repo_size": f">{draw.randrange(100, 900)}GB"}


def _class(draw: random.Random) -> Made:
    return {"class": draw.choice(["embargoed", "restricted"]), "match": {"repo": f"{_org(draw)}/*"}, "reason": "hold"}


def _approval(draw: random.Random) -> Made:
    return {"match": {"repo": f"{_org(draw)}/*"}, "approved_by": "jane@example.org", "expires": _day(draw)}


def _exception(draw: random.Random) -> Made:
    match = {"repo": f"{_org(draw)}/m{draw.randrange(9)}"}
    return {"match": match, "overrides": ["nc"], "owner": "bob@example.org", "expires": _day(draw)}


#: section, maker, how many in a hundred
_SHARES: tuple[tuple[str, Callable[[random.Random], Made], int], ...] = (
    ("rules", _deny(_attribute), 12),
    ("rules", _deny(_licence), 10),
    ("rules", _deny(_everywhere), 2),
    ("rules", _deny(_glob), 14),
    ("rules", _deny(_starred), 2),
    ("rules", _deny(_namespace), 12),
    ("rules", _deny(_path), 6),
    ("rules", _deny(_folder), 2),
    ("rules", _deny(_user), 6),
    ("rules", _deny(_client), 2),
    ("rules", _deny(_age), 4),
    ("rules", _deny(_tags, "require_approval"), 4),
    ("classifications", _class, 8),
    ("approvals", _approval, 10),
    ("exceptions", _exception, 6),
)
