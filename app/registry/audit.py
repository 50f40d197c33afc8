"""Who changed what and when: written in the transaction of the change, read by ``morrow audit``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select

from app.db.json_ready import json_ready
from app.db.tables import audit_log

ALIAS_POINTED = "alias_pointed"
ALIAS_REMOVED = "alias_removed"
ALIAS_ROLLED_BACK = "alias_rolled_back"
BARS_UPLOADED = "bars_uploaded"
JOB_CANCELLED = "job_cancelled"
KEY_CREATED = "key_created"
KEY_REVOKED = "key_revoked"
TICKER_DELETED = "ticker_deleted"
VERSION_DELETED = "version_deleted"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One change: ``who`` made it, the kind of ``action``, its ``subject``, and the request that asked for it."""

    at: datetime
    who: str
    action: str
    subject: str
    facts: Mapping[str, Any]
    request_id: str | None


def record(
    tx: Connection,
    *,
    who: str,
    action: str,
    subject: str,
    facts: Mapping[str, Any] | None = None,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Write a change down; it stands when the transaction does."""
    entry = {"at": now, "who": who, "action": action, "subject": subject, "request_id": request_id}
    tx.execute(audit_log.insert().values({**entry, "facts": json_ready(dict(facts or {}))}))


def newest(tx: Connection, *, limit: int) -> list[Entry]:
    """Return the last ``limit`` changes, the newest first."""
    rows = tx.execute(select(audit_log).order_by(audit_log.c.entry_id.desc()).limit(limit)).mappings()
    return [Entry(**{name: value for name, value in row.items() if name != "entry_id"}) for row in rows]


def count_before(tx: Connection, moment: datetime) -> int:
    """Return how many changes were made before ``moment``."""
    return tx.execute(select(func.count()).select_from(audit_log).where(audit_log.c.at < moment)).scalar_one()


def forget_before(tx: Connection, moment: datetime, *, limit: int) -> int:
    """Forget the changes that were made before ``moment``, the oldest first; return how many, at most ``limit``."""
    oldest = select(audit_log.c.entry_id).where(audit_log.c.at < moment).order_by(audit_log.c.at).limit(limit)
    return tx.execute(delete(audit_log).where(audit_log.c.entry_id.in_(oldest))).rowcount
