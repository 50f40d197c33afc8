"""The command line as a whole: its commands, and how it ends when something goes wrong."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from app import __version__
from app.cli.commands import benching, guarding, keeping, looking, running, working
from app.cli.console import describe, give_up
from app.errors import AppError

morrow = typer.Typer(
    help="Where will this instrument close on its next session, and how sure are we?",
    epilog="Every setting is an environment variable MORROW_<NAME>; --help of a command says which it reads.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_OF_SCALE = ("celery", "kombu", "psycopg", "redis", "s3fs")
for part in (running, working, looking, guarding, keeping, benching):
    morrow.add_typer(part.commands)


def main() -> None:
    """Run the command line; whatever goes wrong ends in one line and exit code 1 (2: asked wrongly)."""
    try:
        morrow()
    except AppError as error:
        give_up(describe(error))
    except ModuleNotFoundError as error:
        install = f".venv/bin/python -m pip install -e '.[{_extra_of(error.name or '')}]'"
        give_up(f"{error.name} is not installed, and this command needs it: in the checkout, {install}")
    except BrokenPipeError:
        # Whoever read our output has left, and what is still buffered has no reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(1) from None
    except Exception as error:
        if os.environ.get("MORROW_LOG_LEVEL") == "debug":
            raise
        give_up(f"{type(error).__name__}: {error} (MORROW_LOG_LEVEL=debug shows where)")


def _extra_of(module: str) -> str:
    return "scale" if module.partition(".")[0] in _OF_SCALE else "api,worker"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"morrow {__version__}")
        raise typer.Exit


@morrow.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""
