"""How commands speak: tables for people, JSON for programs, and nothing that a terminal would obey.

Names of files and errors come from hubs, so a control character in them never reaches the terminal, and brackets are no
markup. What goes into a pipe or a file is not wrapped to a width. Who stops reading (`| head`) changes nothing of how a
command ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

_UNWRAPPED = 1000  # columns


class _Heedless(Console):
    def on_broken_pipe(self) -> None:
        _unheard(self.file)


def console(*, stderr: bool = False) -> Console:
    made = _Heedless(stderr=stderr, highlight=False, markup=False, emoji=False)
    return made if made.is_terminal else _Heedless(stderr=stderr, highlight=False, markup=False, width=_UNWRAPPED)


def _unheard(stream: IO[str]) -> None:
    """What is still to be said, and what waits to be written, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def shown(text: str) -> str:
    """Without what is not to be printed."""
    return "".join(c if c.isprintable() else "?" for c in text)


def human(size: float) -> str:
    """Bytes, as `size` in the configuration is written."""
    return "0" if not size else decimal(int(size))


def near(text: str) -> str:
    """With paths below the working directory as people type them."""
    try:
        return text.replace(f"{os.getcwd()}/", "")
    except FileNotFoundError:  # it was removed
        return text


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def say(text: str = "") -> None:
    """To standard output."""
    _say(text, sys.stdout)


def as_json(value: Any) -> None:
    say(json.dumps(value, indent=2))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Prints it; columns named in `right` hold numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_header=any(heads))
    for head in heads:
        made.add_column(head, justify="right" if head in right else "left", no_wrap=head in right, overflow="fold")
    for row in rows:
        made.add_row(*(Text(shown(cell)) for cell in row))
    to = console()
    if to.is_terminal:
        to.print(made)
        return
    with to.capture() as drawn:
        to.print(made)
    for line in drawn.get().splitlines():
        say(line.rstrip())


def bars(on: Console) -> Progress:
    """Bytes of each task: bar, amount, speed, time left. On a terminal only."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=on,
        transient=True,
        disable=not on.is_terminal,
    )


def tell(text: str) -> None:
    """To standard error."""
    _say("\n".join(map(shown, text.splitlines())), sys.stderr)


def _say(text: str, to: IO[str]) -> None:
    try:
        typer.echo(text, file=to)
    except BrokenPipeError:
        _unheard(to)
