"""The schema's revisions: which one is here, which one is ours, and the way between them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from app.errors import StoreUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

_REVISIONS = Path(__file__).parent / "migrations" / "versions"
_LOCK = 0x6D6F72726F77  # "morrow": any number that nobody else locks


def upgrade(tx: Connection, to: str | None = None) -> None:
    """Bring the schema to a revision, the newest unless ``to`` says another, inside the open transaction.

    Others wait until it ends.

    Raises:
        StoreUnavailable: a newer program made the schema; use that one, or restore an older backup.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    present, wanted = present_revision(tx), to or head_revision()
    if present == wanted:
        return
    newest = max(present or "", wanted)
    if newest > head_revision():
        detail = f"The data is of a newer program: its schema is {newest}, this program's {head_revision()}."
        raise StoreUnavailable(detail, have=newest, need=head_revision())
    # Late: nearly every start finds the schema as it should be, and can do without a tenth of a second of imports.
    from alembic import command

    config = _config()
    config.attributes["connection"] = tx
    command.upgrade(config, wanted)


def present_revision(tx: Connection) -> str | None:
    """Return the revision of the database, ``None`` when it is empty."""
    if not inspect(tx).has_table("alembic_version"):
        return None
    revision: str | None = tx.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return revision


@cache
def head_revision() -> str:
    """Return the revision that this program was written for: the last by the names of their files."""
    return max(path.name[1:5] for path in _REVISIONS.glob("r[0-9][0-9][0-9][0-9]_*.py"))


def _config() -> Config:
    from alembic.config import Config  # late: see above

    config = Config()
    config.set_main_option("script_location", "app.db:migrations")
    return config
