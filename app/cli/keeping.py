"""``morrow backup | restore | migrate-registry | prune``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy.engine import make_url

from app.bootstrap import open_services
from app.cli.console import counted, err, give_up, out
from app.cli.environment import read_settings
from app.cli.services import quiet_services
from app.db.engine import Database
from app.domain.access import AccessKey
from app.forecasting.services import Services
from app.keeping.backup import Backup, back_up
from app.keeping.move import move_registry
from app.keeping.progress import Report
from app.keeping.prune import prune as prune_now
from app.keeping.prune import to_prune
from app.keeping.restore import Restored
from app.keeping.restore import restore as bring_back
from app.observability.logs import configure_logging
from app.settings import Settings


def backup(file: Path) -> None:
    """Write a backup; end with 1 when it tells of damage that was there before."""
    with quiet_services(new=False) as services, _bar() as report:
        made = back_up(services, file, report=report)
    out.print(f"Backed up {_content(made)}, {counted(made.bytes, 'bytes')} to {file}.", markup=False, soft_wrap=True)
    _say_chain(made.forecasts, made.head)
    _tell_of_damage(made.missing, made.fault)


def restore(file: Path, home: Path, database_url: str | None) -> None:
    """Restore a backup; end with 1 when it was one of damaged data."""
    configure_logging("warning", read_settings().log_format)
    target = Database(database_url) if database_url else None
    try:
        with _bar() as report:
            found = bring_back(file, home, open_home=_open_home, target=target, now=datetime.now(UTC), report=report)
    finally:
        if target:
            target.close()
    checked = "all but what is named below was checked" if found.missing else "all of it was checked"
    when = f"{found.created_at:%Y-%m-%d %H:%M:%S} UTC"
    out.print(f"Restored {_content(found)} of {when} to {home}; {checked}.", markup=False, soft_wrap=True)
    _say_chain(found.forecasts, found.head)
    _say_keys(found.keys)
    _tell_of_damage(found.missing, found.fault)


def migrate_registry(to: str) -> None:
    """Copy the registry into another database and say how to use it."""
    with quiet_services(new=False) as services, _opened(to) as target, _bar() as report:
        if make_url(to) == make_url(services.settings.registry_url):
            give_up("The registry is there already.", code=2)
        moved = move_registry(services.database, target, now=services.clock(), report=report)
    rows = counted(moved.rows, "rows")
    out.print(f"Copied {rows} of {moved.tables} tables; both registries hold the same.", soft_wrap=True)
    _say_chain(moved.forecasts, moved.head)
    shown = make_url(to).render_as_string(hide_password=True)
    out.print(f"From now on: MORROW_DATABASE_URL={shown}", markup=False, soft_wrap=True)


def prune(*, dry_run: bool, vacuum: bool) -> None:
    """Prune, or say what would go."""
    with quiet_services(new=False) as services:
        gone = to_prune(services) if dry_run else prune_now(services)
        if not dry_run:
            services.database.tidy(compact=vacuum)
    words = ", ".join(counted(number, name.replace("_", " ")) for name, number in asdict(gone).items())
    out.print(f"{'Would let go of' if dry_run else 'Let go of'} {words}.", soft_wrap=True)


def _open_home(home: Path) -> Services:
    elsewhere = dict.fromkeys(("models_store", "snapshots_store", "database_url", "broker_url", "files_dir"))
    return open_services(Settings(home=home, source="sample", **elsewhere))


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


@contextlib.contextmanager
def _bar() -> Iterator[Report]:
    """Show what is being done and how far it is; it goes away at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("Opening", total=None)

        def report(doing: str, done: int, total: int | None) -> None:
            progress.update(task, description=doing, completed=done, total=total)

        yield report


def _content(kept: Backup | Restored) -> str:
    kinds = (kept.rows, "rows"), (kept.bundles, "bundles"), (kept.snapshots, "snapshots")
    return ", ".join(counted(number, things) for number, things in kinds)


def _say_chain(forecasts: int, head: str) -> None:
    out.print(f"{counted(forecasts, 'forecasts')} in the chain; the last link is {head}.", soft_wrap=True)


def _say_keys(valid: Sequence[AccessKey]) -> None:
    """Name the keys that open the service again: a backup knows nothing of what was revoked after it."""
    if valid:
        names = ", ".join(f"{key.name} ({key.key_id}, {key.scope})" for key in valid)
        are = "1 key is" if len(valid) == 1 else f"{len(valid)} keys are"
        out.print(f"{are} valid, as on that day: {names}.", markup=False, soft_wrap=True)
        out.print("Revoke anew what was revoked since: `morrow keys list`, `morrow keys revoke ID`.", soft_wrap=True)


def _tell_of_damage(missing: Sequence[str], fault: str | None) -> None:
    """End with 1 when the data was damaged before it was backed up: whoever runs this nightly should hear of it."""
    for name in missing:
        err.print(f"{name} was damaged or gone before the backup; the rest is whole.", markup=False, soft_wrap=True)
    if fault:
        err.print(f"A forecast was {fault} before the backup; `morrow verify` names it.", markup=False, soft_wrap=True)
    if missing or fault:
        raise SystemExit(1)
