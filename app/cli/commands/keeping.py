"""The commands that keep what the service knows: backup, restore, move and prune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.reads import reads

commands = typer.Typer()


@commands.command(epilog=reads("backup"))
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE.tar", dir_okay=False, show_default=False, help="A new file.")],
) -> None:
    """Write registry, bundles and bars into one file, while the service goes on; 1 when some of it is damaged."""
    from app.cli import keeping  # lazy: see the package

    keeping.backup(file)


@commands.command(epilog=reads("restore"))
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE.tar", exists=True, dir_okay=False, show_default=False)],
    home: Annotated[Path, typer.Option(file_okay=False, help="An empty or new folder.", show_default=False)],
    database_url: Annotated[
        str | None, typer.Option(help="An empty database for the registry.", show_default="SQLite in the folder")
    ] = None,
) -> None:
    """Bring a backup back, checked to the last byte before anything is in place."""
    from app.cli import keeping  # lazy: see the package

    keeping.restore(file, home, database_url)


@commands.command("migrate-registry", epilog=reads("migrate-registry"))
def migrate_registry(
    to: Annotated[str, typer.Option(help="SQLAlchemy URL of an empty database.", show_default=False)],
) -> None:
    """Copy the whole registry into another database, SQLite or PostgreSQL, and compare both; nothing else may run."""
    from app.cli import keeping  # lazy: see the package

    keeping.migrate_registry(to)


@commands.command(epilog=reads("prune"))
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Then shrink the SQLite file; writers wait meanwhile.")
    ] = False,
) -> None:
    """Let go of old jobs, versions and bars, as the workers do once a day; forecasts and scores always stay."""
    from app.cli import keeping  # lazy: see the package

    keeping.prune(dry_run=dry_run, vacuum=vacuum)
