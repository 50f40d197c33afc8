"""The commands that say who may use the API, and show who changed what."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.reads import reads

commands = typer.Typer()
keys = typer.Typer(no_args_is_help=True)
commands.add_typer(keys, name="keys", epilog=reads("keys"))


@keys.callback()
def _keys() -> None:
    """Make, list and revoke the keys of the API, in the registry of this machine."""


@keys.command(epilog=reads("keys"))
def create(
    name: Annotated[str, typer.Option(help="Whose it is, or what for.", show_default=False)],
    scope: Annotated[str, typer.Option(help="read, train (and read) or admin (and all).")] = "read",
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days until it expires.", show_default="never")
    ] = None,
) -> None:
    """Make a key and show its token, once."""
    from app.cli import guarding  # lazy: see the package

    guarding.create(name=name, scope=scope, days=days)


@keys.command("list", epilog=reads("keys"))
def list_keys() -> None:
    """List all keys, those that are over as well."""
    from app.cli import guarding  # lazy: see the package

    guarding.list_keys()


@keys.command(epilog=reads("keys"))
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)]) -> None:
    """Let a key open nothing any more, within a second wherever the API runs."""
    from app.cli import guarding  # lazy: see the package

    guarding.revoke(key_id)


@commands.command(epilog=reads("audit"))
def audit(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show the newest changes: who did what, and when."""
    from app.cli import guarding  # lazy: see the package

    guarding.audit_log(limit=limit, as_json=as_json)
