"""What is known of the objects on the stack of a pickle, without making any.

`bytes` is a short `str` in UTF-8, `int` an int, `tuple` a short tuple of these; an Import is a thing that was named, a
class, a function or a module; a Made what calling one of a few of them gives. None is anything else.
"""

from __future__ import annotations

import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from dataclasses import dataclass, field
from typing import Any, Final

SHORT: Final = 160  # bytes of a str that may become a name, or part of one
FEW: Final = 8  # items of a tuple
GETATTR: Final = ("builtins", "getattr")
DTYPE: Final = ("numpy", "dtype")
WRAPPER: Final = "NumpyArrayWrapper"  # joblib reads an array from the stream when the state of one is set


class Import:
    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    @property
    def pair(self) -> tuple[str, str]:
        return self.module, self.name

    @property
    def shown(self) -> str:
        """`module.name`, or with a slash where the name reaches through the module."""
        reaches = (
            "." in self.name
            or self.name.startswith("__")
            or (self.name in sys.stdlib_module_names and self.name != self.module)
        )
        text = f"{self.module}{'/' if reaches else '.'}{self.name}"
        return text if text.isprintable() and text.isascii() else text.encode("unicode_escape").decode()


@dataclass(slots=True)
class Made:
    """`of`: a `dict`, numpy's `dtype`, joblib's `wrapper`, or `odd`: one of these of which not all is known.

    `items` are those of the dict, or the attributes of the wrapper."""

    of: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: dict[bytes, Any] = field(default_factory=dict)


def imported(module: bytes, name: bytes, protocol: int) -> Import | None:
    """As `find_class` looks for it, Python 2's names by their new ones; None if it cannot find such a thing."""
    try:
        pair = module.decode("utf-8", "surrogatepass"), name.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    if protocol < 3:
        pair = NAME_MAPPING.get(pair) or (IMPORT_MAPPING.get(pair[0], pair[0]), pair[1])
    return Import(*pair)


def attribute(args: object) -> Import | None:
    """What `getattr(*args)` gets."""
    match args:
        case (Import() as owner, bytes() as name, *_):
            return Import(owner.module, f"{owner.name}.{name.decode('utf-8', 'backslashreplace')}")
    return None


def short(items: list[Any]) -> tuple[Any, ...] | None:
    """A tuple of a few things, tuples in it forgotten; None for a longer one."""
    return tuple(None if type(each) is tuple else each for each in items) if len(items) <= FEW else None


def wraps(value: object) -> bool:
    return type(value) is Import and value.name.endswith(WRAPPER)
