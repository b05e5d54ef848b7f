"""The house has floors: a module imports from lower floors only, and rooms on one floor do not know each other.

Every import counts, those inside functions too. A new room is given its floor here first.
"""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "proxy_addon"

#: From the ground up. `store.contract` is what the request path may ask of a store: Protocols, nothing more.
FLOORS = (
    {"core"},
    {"auth", "hub", "steady", "store.contract", "troubles", "written", "xorb"},
    {"access", "accesslog", "ca", "companion", "config", "discreet", "fetch", "metrics", "policy", "ports", "scan"}
    | {"store"},
    {"answer", "catalogue", "scrub"},
    {"engine", "prefetch"},
    {"edge", "sync"},
    {"front"},
    {"admin", "scanners", "streaming", "tls"},
    {"wiring"},
    {"addon", "background", "beside", "scrubber"},
    {"master"},
    {"serve"},
    {"cli"},
)
PURE = {"core", "hub", "store.contract"}
IMPURE = {
    "asyncio", "datetime.now", "io", "logging", "os", "pathlib", "random", "secrets", "shutil", "socket", "sqlite3",
    "ssl", "subprocess", "tempfile", "threading", "time", "urllib.request", "uuid",
}  # fmt: skip
#: An upward import, and why it must be.
EXCEPTIONS = {("addon", "serve"): "mitmdump loads addon.py alone, which then has to wire the rest itself"}
#: Libraries that only some rooms may know.
GUESTS = {
    "argon2": {"auth"},
    "bcrypt": {"auth"},
    "mitmproxy": {"addon", "edge", "front", "master", "streaming", "tls"},
    "OpenSSL": {"edge", "streaming", "tls"},
    "aiohttp": {"admin", "fetch"},
    "diskcache": {"store"},
    "license_expression": {"policy"},
    "lz4": {"scan", "xorb"},
    "yaml": {"policy", "written"},
    "pydantic": {"config", "policy", "written"},
    "prometheus_client": {"metrics"},
    "rich": {"cli"},
    "typer": {"cli"},
}
MODULES = sorted(file for file in ROOT.rglob("*.py") if file != ROOT / "__init__.py")
NAMES = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in MODULES]


def room(parts: tuple[str, ...]) -> str:
    return "store.contract" if parts[:2] == ("store", "contract") else parts[0]


def floor(name: str) -> int:
    found = [n for n, rooms in enumerate(FLOORS) if name in rooms]
    assert found, f"{name} has no floor yet: put it into FLOORS"
    return found[0]


def imports(file: Path) -> set[str]:
    """Absolute dotted names, each with the name that is taken from it where that may be a module."""
    package = ("proxy_addon", *file.relative_to(ROOT).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", MODULES, ids=NAMES)
def test_imports_point_down(file):
    own = room(file.relative_to(ROOT).with_suffix("").parts)
    for name in imports(file):
        first, *parts = name.split(".")
        other = room(tuple(parts)) if first == "proxy_addon" and parts else own
        if other != own and (own, other) not in EXCEPTIONS:
            assert floor(other) < floor(own), f"{own} imports {name}, which is not on a lower floor"


@pytest.mark.parametrize("file", MODULES, ids=NAMES)
def test_the_ground_floor_is_pure_and_guests_stay_in_their_rooms(file):
    own = room(file.relative_to(ROOT).with_suffix("").parts)
    for name in imports(file):
        top = name.partition(".")[0]
        if own in PURE and top != "proxy_addon":
            assert top in sys.stdlib_module_names, f"{own} imports {name}: only the standard library down here"
            assert not any(f"{name}.".startswith(f"{bad}.") for bad in IMPURE), f"{own} imports {name}: IO or a clock"
        assert own in GUESTS.get(top, {own}), f"{own} imports {name}: only {GUESTS[top]} may"


def test_every_room_on_a_floor_is_there():
    """An entry that outlives its room would let a new one move in unseen."""
    rooms = {room(file.relative_to(ROOT).with_suffix("").parts) for file in MODULES}
    assert set().union(*FLOORS) == rooms


@pytest.mark.parametrize("file", MODULES, ids=NAMES)
def test_a_module_says_what_it_is_and_is_no_lumber_room(file):
    text = file.read_text()
    assert not text or ast.get_docstring(ast.parse(text)), "the docstring on top is missing"
    assert len(text.splitlines()) <= 300, "past 300 lines: split it"
    assert not {"utils", "helpers", "manager", "handler", "base", "common", "misc"} & {*file.stem.split("_")}
