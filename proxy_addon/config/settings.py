"""The shape of the configuration: every key, its type, its default. Frozen; parsed once.

Seconds for durations, bytes for sizes, bytes a second for rates. Numbers without a unit are taken only from code: text
goes through `load`, which sets a validation context. What one field cannot tell is checked in `conflicts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, StrictBool, ValidationInfo
from pydantic import model_validator as _model_validator

from ..hub import classify, targets
from ..written import units
from ..written.origin import Origin
from . import places
from .example import EXAMPLE

_EVERYWHERE = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
PICKLESCAN = "picklescan"


def _quantity(
    parse: Callable[[object], float], least: str = "", most: str = "", *, zero: bool = True
) -> BeforeValidator:
    """`least` and `most` as people write them, so that they are told what they may write."""

    def read(value: object, info: ValidationInfo) -> object:
        if info.context is None and isinstance(value, int | float) and not isinstance(value, bool):
            found: float = value  # made in code
        else:
            found = parse(value)
        if found < (parse(least) if least else 0):
            raise ValueError(f"must be at least {least or 0}; raise it")
        if most and found > parse(most):
            raise ValueError(f"must be at most {most}; lower it")
        if not (found or zero):
            raise ValueError("must be over 0; raise it")
        return found

    return BeforeValidator(read)


def _path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"{value!r} is not a path; write one, such as ~/.cache/hubgate")
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"{str(value)!r} names no home directory that is known; write the path from /") from None
    return info.context["base"] / path if info.context else path


def _log_path(value: object, info: ValidationInfo) -> object:
    return Path("-") if value == "-" else _path(value, info)


def _target(value: object) -> object:
    return value if isinstance(value, targets.Target) else targets.target(str(value))


def _subscription(value: object) -> object:
    """A plain string is a target with the usual schedule."""
    if isinstance(value, str):
        return {"repo": value}
    if not isinstance(value, dict | Subscription):
        raise ValueError(f"{value!r} is neither a repo nor a mapping; write hf:org/name, or {{repo: hf:org/name}}")
    return value


def _glob(value: object) -> object:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a glob; write one in quotes, such as '*.safetensors' or 'onnx/'")
    return value


def _one_or_more(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


type Seconds = Annotated[float, _quantity(units.duration, most="3650d")]
type Timeout = Annotated[float, _quantity(units.duration, most="24h", zero=False)]
type Bytes = Annotated[int, _quantity(units.size)]
type Rate = Annotated[float, _quantity(units.rate, least="1kB/s")]
type FilePath = Annotated[Path, BeforeValidator(_path)]
type Address = Annotated[places.Listen, BeforeValidator(places.listen)]
type Net = Annotated[IPv4Network | IPv6Network, BeforeValidator(places.network)]
type Other = Annotated[places.OtherHost, BeforeValidator(places.other_host)]
type Mirror = Annotated[str, BeforeValidator(places.mirror)]
type Interval = Annotated[float, _quantity(units.duration, least="1s", most="365d")]
type Globs = Annotated[tuple[Annotated[str, BeforeValidator(_glob)], ...], BeforeValidator(_one_or_more)]


class Section(BaseModel):
    """A mapping of known keys; one with nothing under it (`cache:`) means its defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=False)

    @_model_validator(mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


class Admin(Section):
    listen: Address | None = places.Listen("127.0.0.1", 8081)


class Ca(Section):
    dir: FilePath = Field(default_factory=lambda: Path("~/.config/hubgate/ca").expanduser())
    mode: Literal["auto", "offline"] = "auto"
    cert: FilePath | None = None
    key: FilePath | None = None


class Cache(Section):
    dir: FilePath = Field(default_factory=lambda: Path("~/.cache/hubgate").expanduser())
    size: Annotated[int, _quantity(units.size, least="16MB")] = 200_000_000_000
    memory: Bytes = 256_000_000
    quarantine: Bytes = 1_000_000_000
    scrub: Interval | None = 30 * 86400.0
    scrub_rate: Rate = 20_000_000.0


class Limits(Section):
    """What one client may take up, and how slow it may be."""

    connections: Annotated[int, Field(strict=True, ge=1, le=65536)] = 512
    header_deadline: Timeout = 15.0  # until a header block, or a TLS handshake, is complete
    body_rate: Rate = 1000.0  # that a request body comes with at least
    stall: Annotated[float, _quantity(units.duration, least="1s", most="24h")] = 600.0  # for 128 KiB, or the rest


class Freshness(Section):
    ref: Seconds = 300.0
    api: Seconds = 60.0
    not_found: Seconds = 30.0
    stale_if_error: Seconds = 604800.0


class Access(Section):
    lease: Timeout = 300.0
    offline_grace: Seconds = 0.0


class Upstream(Section):
    connect_to: Annotated[places.ConnectTo, BeforeValidator(places.connect_to)] = places.ConnectTo()
    ca_file: FilePath | None = None
    proxy: Annotated[str, BeforeValidator(places.proxy)] | None = Field(default=None, repr=False)
    connections_per_file: Annotated[int, Field(strict=True, ge=1, le=64)] = 8
    max_connections: Annotated[int, Field(strict=True, ge=1, le=4096)] = 64
    bandwidth: Rate | None = None
    connect_timeout: Timeout = 4.0
    stall_timeout: Timeout = 30.0


class HuggingFace(Section):
    enabled: StrictBool = True
    mirrors: tuple[Mirror, ...] = ()
    xet: Literal["auto", "bridge", "native"] = "auto"


class ModelScope(Section):
    enabled: StrictBool = True
    mirrors: tuple[Mirror, ...] = ()


class Hubs(Section):
    huggingface: HuggingFace = HuggingFace()
    modelscope: ModelScope = ModelScope()
    others: tuple[Other, ...] = ()

    @property
    def other_names(self) -> tuple[str, ...]:
        """As certificates have them."""
        return tuple(other.dns for other in self.others)


def _command(value: object) -> object:
    """A plain list is a command by its own name, and one is known by its name."""
    if value == PICKLESCAN:
        return {"argv": (PICKLESCAN,)}
    if isinstance(value, list | tuple):
        return {"argv": value}
    if not isinstance(value, dict | ScanCommand):
        raise ValueError(f'{value!r} is no command; write picklescan, or [program, "{{file}}"]')
    return value


class ScanCommand(Section):
    """Another scanner: `{file}` in `argv` stands for what it looks at. Exit 0 clean, 1 found, all else unknown."""

    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    name: str = ""
    seconds: Timeout = 60.0


class Scan(Section):
    seconds: Timeout = 60.0
    workers: Annotated[int, Field(strict=True, ge=1, le=64)] = 2
    commands: tuple[Annotated[ScanCommand, BeforeValidator(_command)], ...] = ()


class Subscription(Section):
    """A repo that is kept as it is at its hub."""

    repo: Annotated[targets.Target, BeforeValidator(_target)]
    every: Interval = 6 * 3600.0
    include: Globs = ()
    exclude: Globs = ()
    pin: StrictBool = False


class Settings(Section):
    listen: Annotated[tuple[Address, ...], BeforeValidator(_one_or_more), Field(min_length=1)] = (
        places.Listen("127.0.0.1", 8080),
    )
    clients: tuple[Net, ...] = LOOPBACK
    auth: FilePath | None = None
    limits: Limits = Limits()
    admin: Admin = Admin()
    ca: Ca = Field(default_factory=Ca)
    cache: Cache = Field(default_factory=Cache)
    freshness: Freshness = Freshness()
    access: Access = Access()
    rules: tuple[FilePath, ...] = (Path("rules"),)
    scan: Scan = Scan()
    upstream: Upstream = Upstream()
    hubs: Hubs = Hubs()
    sync: tuple[Annotated[Subscription, BeforeValidator(_subscription)], ...] = ()
    tunnel: Literal["public", "deny"] = "public"
    uploads: Literal["allow", "deny"] = "allow"
    access_log: Annotated[Path, BeforeValidator(_log_path)] | None = None  # Path("-"): standard output
    drain: Seconds = 30.0

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @staticmethod
    def example() -> str:
        """The documented file, which says just what the defaults are."""
        return EXAMPLE

    @property
    def source(self) -> str:
        """The configuration file as it was named, or `defaults`."""
        return self._origin.file

    def fault(self, key: str, what: str) -> str:
        """One line of a ConfigError for a key (`cache.dir`), with the place where the operator wrote it."""
        return self._origin.fault(key, what)

    @property
    def admitted(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """From where clients of the proxy may come: with `auth` alone from everywhere, since each shows a password."""
        return _EVERYWHERE if self.auth is not None and "clients" not in self.model_fields_set else self.clients

    def conflicts(self) -> Iterator[str]:
        """Faults that only two keys together make, one line each."""
        outward = {f"listen[{n}]": ", or `auth`" for n, at in enumerate(self.listen) if not at.loopback}
        if self.auth is not None:
            outward.clear()
        if self.admin.listen is not None and not self.admin.listen.loopback:
            outward["admin.listen"] = ""
        if "clients" not in self.model_fields_set:
            for key, instead in outward.items():
                yield self.fault(
                    key,
                    "is open to the network, but nothing says who may connect; "
                    f"add `clients: [10.0.0.0/8]` with your own networks{instead}, or listen on 127.0.0.1",
                )
        taken = [at for at in (*self.listen, self.admin.listen) if at is not None and at.port]
        for at in {at for at in taken if taken.count(at) > 1}:
            key = "admin.listen" if at == self.admin.listen else "listen"
            yield self.fault(key, f"{at} is named twice; give each listener its own port")
        for n, other in enumerate(self.hubs.others):
            if any(f".{other.name}".endswith(f".{domain}") for domain in classify.DOMAINS):
                yield self.fault(f"hubs.others[{n}]", f"{other} belongs to a hub that is known already; remove it")
        for name, file in (("cert", self.ca.cert), ("key", self.ca.key)):
            if self.ca.mode == "offline" and file is None:
                yield self.fault(f"ca.{name}", "`mode: offline` needs it; name what `hubgate ca issue` wrote")
            if self.ca.mode == "auto" and file is not None:
                yield self.fault(f"ca.{name}", "nothing reads it in `mode: auto`; write `mode: offline`, or remove it")
        for n, command in enumerate(self.scan.commands):
            if command.argv != (PICKLESCAN,) and not any("{file}" in each for each in command.argv):
                yield self.fault(f"scan.commands[{n}]", "names no file; write {file} where it takes one")
        yield from self._subscribed()

    def _subscribed(self) -> Iterator[str]:
        repos = [each.repo for each in self.sync]
        for n, repo in enumerate(repos):
            key = f"sync[{n}].repo"
            if (first := next(m for m, other in enumerate(repos) if targets.same(repo, other))) != n:
                yield self.fault(key, f"{repo} is listed already, as sync[{first}]; remove one of the two")
            if not getattr(self.hubs, repo.repo.hub).enabled:
                yield self.fault(key, f"{repo} cannot be had while hubs.{repo.repo.hub} is not enabled; enable it")
