"""Entry point: the typer application, and the one place where exceptions become exit codes."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ..core.errors import ConfigError
from ..discreet import keep_quiet
from .lazy import lazy

COMMANDS = {
    "serve": ("serve:serve", "Start the proxy; stops on ^C or SIGTERM, after open downloads or `drain`."),
    "env": ("env:env", "Print the variables that clients need; writes the CA bundle that they name."),
    "doctor": ("doctor:doctor", "Check configuration, ports, CA and the way to the hubs."),
    "prefetch": ("prefetch:prefetch", "Fill the cache with whole repos, or with parts of them."),
    "explain": ("explain:explain", "What the rules say of a repo, a file or a URL, and why."),
    "auth": ("auth:app", "Who may use the proxy, each with a password."),
    "ca": ("ca:app", "The certificate authority that clients are to trust."),
    "cache": ("cache:app", "What the cache holds: see it, pin it, remove it, check it."),
    "rules": ("rules:app", "The rules about what may be downloaded."),
}
app = typer.Typer(
    name="hubgate",
    cls=lazy(COMMANDS),
    help="A caching forward proxy for Hugging Face and ModelScope.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(show: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    if show:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"hubgate {version('hubgate')}")
        except PackageNotFoundError:
            typer.echo("hubgate, not installed")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Never returns; exits 0, 1 (something is not as wanted), 2 (bad configuration or use; what the system
    refuses), 130 (interrupted)."""
    keep_quiet()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # reasons and names in letters that this locale has not
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    try:
        result = app(args=list(arguments), standalone_mode=False, prog_name="hubgate")
    except ConfigError as error:
        return _told(*error.faults)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except SystemExit:  # how typer ends when nobody reads on: `hubgate --help | head -1`
        return 0
    except OSError as error:
        if error.strerror is None:
            raise
        return _told(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    except Exception as error:
        if (show := getattr(error, "show", None)) is None:  # a usage error knows how to show itself
            raise
        show()
        return 2
    return result if isinstance(result, int) else 0


def _told(*faults: str) -> int:
    from .output import tell

    for fault in faults:
        tell(f"hubgate: {fault}")
    return 2
