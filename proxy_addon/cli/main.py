"""Entry point: the typer application, and the one place where exceptions become exit codes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from ..core.errors import ConfigError
from ..discreet import keep_quiet
from . import auth, ca, cache, doctor, env, explain, prefetch, rules, serve

app = typer.Typer(
    name="hubgate",
    help="A caching forward proxy for Hugging Face and ModelScope.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("env")(env.env)
app.command("doctor")(doctor.doctor)
app.command("prefetch")(prefetch.prefetch)
app.command("explain")(explain.explain)
app.add_typer(auth.app, name="auth")
app.add_typer(ca.app, name="ca")
app.add_typer(cache.app, name="cache")
app.add_typer(rules.app, name="rules")


@app.callback(invoke_without_command=True)
def _root(show: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    if show:
        try:
            typer.echo(f"hubgate {version('hubgate')}")
        except PackageNotFoundError:
            typer.echo("hubgate, not installed")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Never returns; exits 0, 1 (something is not as wanted), 2 (bad configuration or use), 130 (interrupted)."""
    keep_quiet()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # reasons and names in letters that this locale has not
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    try:
        result = app(args=list(arguments), standalone_mode=False, prog_name="hubgate")
    except ConfigError as error:
        for fault in error.faults:
            print(f"hubgate: {fault}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # `hubgate env | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if (show := getattr(error, "show", None)) is None:  # a usage error knows how to show itself
            raise
        show()
        return 2
    return result if isinstance(result, int) else 0
