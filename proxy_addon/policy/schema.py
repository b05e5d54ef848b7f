"""The shape of a rule file: every key, its type, its default. An unknown key is a fault, and so is a wrong word.

What one file alone cannot tell (ids that are there twice, an exception for a rule that does not exist) is checked when
the files are put together. The JSON Schema that editors use is made from these models.
"""

from __future__ import annotations

import re
from datetime import date
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, WithJsonSchema
from pydantic import model_validator as _model_validator

from ..written import units
from .globs import Globs, globs

MAX_EXCEPTION = 90  # days
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_COMPARED = re.compile(r"\s*(<=|>=|<|>)\s*(.+)")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
OWN = ("defaults.", "scan.")  # beginnings of the ids of rules that are made of settings

type Network = IPv4Network | IPv6Network


class Compared(BaseModel):
    """`>200GiB` or `<24h`: bytes or seconds."""

    model_config = ConfigDict(frozen=True)
    sign: str
    bound: float


def _listed(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _texts(value: object) -> tuple[str, ...]:
    texts = _listed(value)
    if not texts or not all(isinstance(each, str) and each for each in texts):
        raise ValueError(f'{value!r} is not text, nor a list of texts; write "org/*" or ["org/*", "other/name"]')
    return tuple(map(str, texts))


def _globs(value: object) -> Globs:
    return value if isinstance(value, Globs) else globs(_texts(value))


def _member(value: object) -> object:
    """The name of a list, or its members written out."""
    return value if isinstance(value, str) else _globs(value)


def _id(value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError(f"{value!r} is no id; use at most 64 letters, digits, dots, _ and -, as in lic-noncommercial")
    if value.startswith(OWN):
        raise ValueError(f"{value!r}: ids that begin with {' or '.join(OWN)} are taken; choose another")
    return value


def _day(value: object) -> date:
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError(f"{value!r} is no day; write it as 2026-12-31 (it ends with that day, UTC)")


def _compared(parse: Any) -> BeforeValidator:
    def read(value: object) -> Compared:
        found = _COMPARED.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f'{value!r} is no comparison; write < or > and a quantity, such as ">200GiB" or "<24h"')
        return Compared(sign=found[1], bound=parse(found[2]))

    return BeforeValidator(read)


def _networks(value: object) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(str(each)) for each in _listed(value))
    except ValueError as fault:
        raise ValueError(f"{fault}; write a network such as 10.0.0.0/8") from None


def _licence(value: object) -> object:
    return {"id": value} if isinstance(value, str | list) else value


def _list(value: object) -> object:
    return value if isinstance(value, dict) else {"names": value}


def _gated(value: object) -> tuple[object, ...]:
    states = _listed(value)
    if not states or not all(state in (True, False, "auto", "manual") for state in states):
        raise ValueError(f"{value!r} is no state of a gate; use true, false, auto or manual")
    return states


_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_COMPARISON = WithJsonSchema({"type": "string", "pattern": _COMPARED.pattern})
_SHAPE = WithJsonSchema(_TEXTS)

type Id = Annotated[str, BeforeValidator(_id), WithJsonSchema({"type": "string", "pattern": f"^{_ID.pattern}$"})]
type Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
type Patterns = Annotated[Globs, BeforeValidator(_globs), _SHAPE]
type Members = Annotated[Globs | str, BeforeValidator(_member), _SHAPE]
type Texts = Annotated[tuple[str, ...], BeforeValidator(_texts), _SHAPE]
type Size = Annotated[Compared, _compared(units.size), _COMPARISON]
type Age = Annotated[Compared, _compared(units.duration), _COMPARISON]
type Mode = Literal["enforce", "audit"]
type OnUnknown = Literal["deny", "allow", "skip"]


def _words[T](kind: T) -> Any:
    return Annotated[tuple[kind, ...], BeforeValidator(_listed), Field(min_length=1)]  # type: ignore[valid-type]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @_model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


class License(Section):
    """By id, by attribute, or by the verdict for an internal mirror. `cond` is taken for `yes` only when asked to."""

    id: Patterns | None = None
    commercial_use: Texts | None = None
    modify: Texts | None = None
    redistribute: Texts | None = None
    share_alike: Texts | None = None
    patent_grant: Texts | None = None
    use_restrictions: Texts | None = None
    notice: Texts | None = None
    thresholds: Texts | None = None
    territory_excluded: Texts | None = None
    output_limits: Texts | None = None
    research_only: Texts | None = None
    mirror: Texts | None = None
    accept_conditional: StrictBool = False
    on_unknown: OnUnknown | None = None


class Match(Section):
    """All that is written must hold; of a list, any one."""

    hub: _words(Literal["huggingface", "modelscope"]) | None = None  # type: ignore[valid-type]
    type: _words(Literal["model", "dataset", "space", "studio"]) | None = None  # type: ignore[valid-type]
    namespace: Patterns | None = None
    namespace_in: Members | None = None
    namespace_not_in: Members | None = None
    repo: Patterns | None = None
    repo_in: Members | None = None
    repo_not_in: Members | None = None
    revision: Patterns | None = None
    path: Patterns | None = None
    path_not_in: Members | None = None
    client: Annotated[tuple[Network, ...], BeforeValidator(_networks), _SHAPE] | None = None
    user: Patterns | None = None
    user_in: Members | None = None
    user_not_in: Members | None = None
    license: Annotated[License, BeforeValidator(_licence)] | None = None
    gated: Annotated[tuple[Any, ...], BeforeValidator(_gated)] | None = None
    private: StrictBool | None = None
    repo_size: Size | None = None
    tags: Patterns | None = None
    base_model: Patterns | None = None
    hub_scan: Texts | None = None
    revision_age: Age | None = None
    has_safetensors_twin: StrictBool | None = None
    author: Patterns | None = None
    author_in: Members | None = None
    author_not_in: Members | None = None
    digest: Texts | None = None
    pickle_imports: Patterns | None = None
    template: Texts | None = None
    on_unknown: OnUnknown | None = None


class Classification(Section):
    id: Id
    class_: Literal["public", "restricted", "embargoed"] = Field(alias="class")
    match: Match
    mode: Mode | None = None
    owner: str = ""
    reason: str = ""


class Rule(Section):
    id: Id
    effect: Literal["deny", "allow", "require_approval"]
    match: Match
    mode: Mode | None = None
    owner: str = ""
    reason: str = ""


class Approval(Section):
    id: Id
    match: Match
    approved_by: Annotated[str, Field(min_length=1)]
    ticket: str = ""
    expires: Day | None = None


class Exempt(Section):
    id: Id
    match: Match
    overrides: Texts
    owner: Annotated[str, Field(min_length=1)]
    reason: str = ""
    expires: Day


class Pickle(Section):
    action: Literal["deny", "warn", "allow"] = "deny"
    allow_imports: Patterns | None = None


class Template(Section):
    action: Literal["deny", "warn", "allow"] = "deny"


class HubScan(Section):
    unsafe: Literal["deny", "warn", "allow"] = "deny"
    suspicious: Literal["deny", "warn", "allow"] = "deny"
    caution: Literal["deny", "warn", "allow"] = "warn"
    unscanned: Literal["deny", "warn", "allow"] = "allow"


class Scan(Section):
    pickle: Pickle | None = None
    gguf_template: Template | None = None
    hub_scan: HubScan | None = None
    on_error: Literal["deny", "warn", "allow"] = "deny"


class Defaults(Section):
    decision: Literal["allow", "deny"] = "allow"
    classification: Literal["public", "restricted", "embargoed"] = "public"
    unknown_license: Literal["review", "allow", "deny"] = "review"
    license_conflict: Literal["warn", "deny", "allow"] = "allow"
    exception_days: Annotated[int, Field(strict=True, ge=1, le=3650)] = MAX_EXCEPTION
    contact: str = ""
    request_url: str = ""


class Names(Section):
    """Written out, or one to a line in a text file beside the rule file."""

    names: Patterns | None = None
    file: str | None = None


class Expected(Section):
    decision: Literal["allow", "deny"]
    rule: str | None = None
    would_deny: Texts | None = None


class Case(Section):
    name: str
    given: dict[str, Any]
    expect: Expected
    at: Day | None = None


class CaseFile(Section):
    """Cases beside the rules; `about` names the rule files that they are for, else all of the directory above."""

    version: Literal[1]
    about: Texts | None = None
    tests: tuple[Case, ...] = ()


class RuleFile(Section):
    version: Literal[1]
    mode: Mode | None = None
    defaults: Defaults = Defaults()
    classifications: tuple[Classification, ...] = ()
    rules: tuple[Rule, ...] = ()
    scan: Scan | None = None
    lists: dict[str, Annotated[Names, BeforeValidator(_list)]] = Field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    exceptions: tuple[Exempt, ...] = ()
    tests: tuple[Case, ...] = ()
