"""The tables of who may use the API and who changed what; the rest of the registry is in ``app.db.tables``."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, String, Table, Text

from app.db.column_types import BODY, UtcDateTime
from app.db.naming import metadata

# Who may use the API: of the secret only its SHA-256. No row is ever deleted, so that a service with keys stays closed.
api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(8), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    CheckConstraint("scope IN ('read', 'train', 'admin')", name="scope"),
)

# What was changed by whom, written with the change.
audit_log = Table(
    "audit_log",
    metadata,
    Column("entry_id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("facts", BODY, nullable=False),
    Column("request_id", String(64)),
)
Index(None, audit_log.c.at)
