"""The schema's revisions: which one is here, which one is ours, and the way between them."""

from __future__ import annotations

from functools import cache

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

_LOCK = 0x6D6F72726F77  # "morrow": any number that nobody else locks


def upgrade(tx: Connection) -> None:
    """Bring the schema to the newest revision inside the open transaction; others wait until it ends."""
    if tx.dialect.name == "postgresql":
        tx.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    config = _config()
    config.attributes["connection"] = tx
    command.upgrade(config, "head")


def present_revision(tx: Connection) -> str | None:
    """Return the revision of the database, ``None`` when it is empty."""
    return MigrationContext.configure(tx).get_current_revision()


@cache
def head_revision() -> str | None:
    """Return the revision that this program was written for."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "app.db:migrations")
    return config
