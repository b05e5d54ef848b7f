"""Commands that are listed without their modules: a module is imported when its command is run, as pip does it.

A table names each as `module:object` below this package, beside the line that the list of commands has for it. The line
stands in the command's own docstring as well, since reading that would mean importing it; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


def lazy(table: Mapping[str, tuple[str, str]]) -> type[TyperGroup]:
    """For `Typer(cls=...)`: a group that has the commands of `table` (name -> place, line) before its own."""

    class Lazy(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            listed = {name: TyperCommand(name, help=line) for name, (_, line) in table.items()}
            self.commands = {**listed, **self.commands}

        def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
            name, command, rest = super().resolve_command(ctx, args)
            return name, _imported(name, table[name][0]) if name is not None and name in table else command, rest

    return Lazy


def _imported(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f".{module}", __package__), attribute)
    parent = typer.Typer()
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
    else:
        parent.command(name)(found)
    return get_group(parent).commands[name]
