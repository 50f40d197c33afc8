"""Every table of the registry, on SQLite and PostgreSQL alike; how they came to be stands in ``migrations``.

Nothing is made from these tables. The conditions of partial indices stand here as ``info``: as options of the two
databases they would have SQLAlchemy load both dialects in every process, a twenty-fifth of the API's start.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from app.db.access_tables import api_keys as api_keys
from app.db.access_tables import audit_log as audit_log
from app.db.column_types import BODY, TICKER, UtcDateTime
from app.db.naming import metadata as metadata

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String(32), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("ticker", TICKER),
    Column("state", String(16), nullable=False),
    Column("payload", BODY, nullable=False),
    Column("dedupe", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("run_after", UtcDateTime, nullable=False),
    Column("lease_owner", Text),
    Column("lease_until", UtcDateTime),
    Column("cancel_requested", Boolean, nullable=False),
    Column("progress", BODY),
    Column("checkpoint", BODY),
    Column("result", BODY),
    Column("error", BODY),
    Column("submitted_by", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
)
Index("uq_jobs_active", jobs.c.dedupe, unique=True, info={"where": "state IN ('queued', 'running')"})
Index(
    "ix_jobs_queue",
    *(jobs.c.state, jobs.c.priority.desc(), jobs.c.created_at, jobs.c.job_id),
    info={"where": "state = 'queued'"},
)
Index(None, jobs.c.created_at, jobs.c.job_id)
Index(None, jobs.c.state, jobs.c.created_at, jobs.c.job_id)
Index(None, jobs.c.kind, jobs.c.created_at, jobs.c.job_id)
Index(None, jobs.c.ticker, jobs.c.created_at, jobs.c.job_id)
Index(None, jobs.c.finished_at)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("principal", String(128), primary_key=True),
    Column("key", String(256), primary_key=True),
    Column("fingerprint", String(128), nullable=False),
    Column("answer", BODY, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)

workers = Table(
    "workers",
    metadata,
    Column("worker_id", String(128), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

tickers = Table(
    "tickers",
    metadata,
    Column("ticker", TICKER, primary_key=True),
    Column("last_number", Integer, nullable=False),
    Column("source_ok", Boolean),
    Column("source_error", BODY),
    Column("checked_at", UtcDateTime),
    Column("next_update_at", UtcDateTime, index=True),
    Column("bar_due_at", UtcDateTime),
    Column("late_sessions", Integer),
)

# The breaker of each remote source, see ``app.domain.breaker``.
source_state = Table(
    "source_state",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("openings", Integer, nullable=False),
    Column("until", UtcDateTime),
    Column("code", String(64)),
    Column("changed_at", UtcDateTime, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("ticker", TICKER, ForeignKey("tickers.ticker"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("order", BODY, nullable=False),
    Column("data", BODY, nullable=False),
    Column("scorecard", BODY, nullable=False),
    Column("location", Text, nullable=False),
    Column("artifacts", BODY, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("libraries", BODY, nullable=False),
    Column("seconds", BODY, nullable=False),
    Column("job_id", String(32)),
    Column("code_version", Text, nullable=False),
    Column("submitted_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("damaged_at", UtcDateTime),
)

aliases = Table(
    "aliases",
    metadata,
    Column("ticker", TICKER, primary_key=True),
    Column("alias", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    ForeignKeyConstraint(["ticker", "version"], ["versions.ticker", "versions.number"]),
)
Index(None, aliases.c.ticker, aliases.c.version)

alias_history = Table(
    "alias_history",
    metadata,
    Column("change_id", Integer, primary_key=True),
    Column("ticker", TICKER, nullable=False),
    Column("alias", String(64), nullable=False),
    Column("version", Integer),
    Column("previous", Integer),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
Index(None, alias_history.c.ticker, alias_history.c.alias, alias_history.c.change_id)

snapshots = Table(
    "snapshots",
    metadata,
    Column("snapshot_id", String(128), primary_key=True),
    Column("ticker", TICKER, nullable=False),
    Column("source", String(64), nullable=False),
    Column("first_session", Date, nullable=False),
    Column("last_session", Date, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("meta", BODY, nullable=False),
    Column("fetched_at", UtcDateTime, nullable=False),
)
Index(None, snapshots.c.ticker, snapshots.c.fetched_at)
Index(None, snapshots.c.ticker, snapshots.c.source, snapshots.c.fetched_at)

# Forecasts outlive their version: no foreign key.
forecasts = Table(
    "forecasts",
    metadata,
    Column("forecast_id", String(64), primary_key=True),
    Column("ticker", TICKER, nullable=False),
    Column("version", Integer),
    Column("as_of_session", Date, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("edition", String(32), nullable=False),
    Column("body", BODY, nullable=False),
)
Index("ix_forecasts_latest", *(forecasts.c[n] for n in ("ticker", "version", "as_of_session", "issued_at")))
Index(None, forecasts.c.ticker, forecasts.c.issued_at, forecasts.c.forecast_id)

# One link a forecast, in the order of issue; a link holds what came before it, so that none can change unnoticed.
forecast_chain = Table(
    "forecast_chain",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("forecast_id", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
Index(None, forecast_chain.c.forecast_id, unique=True)

# One row a step of a forecast, from its issue on; what came of it once the session has closed.
scores = Table(
    "scores",
    metadata,
    Column("forecast_id", String(64), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("field", String(64), primary_key=True),
    Column("ticker", TICKER, nullable=False),
    Column("version", Integer),
    Column("source", String(64), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("leads", Boolean, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("as_of_session", Date, nullable=False),
    Column("target_session", Date, nullable=False),
    Column("last_value", Double, nullable=False),
    Column("state", String(16), nullable=False),
    *(Column(name, Double) for name in ("actual", "actual_close", "error", "persistence_error")),
    *(Column(name, Double) for name in ("crps", "crps_ewma_t", "pinball", "pit", "qlike")),
    Column("inside", BODY),
    *(Column(name, Boolean) for name in ("inside_80", "inside_90", "inside_95")),
    Column("snapshot_id", String(128)),
    Column("scored_at", UtcDateTime),
    CheckConstraint("state IN ('pending', 'scored', 'missing')", name="state"),
)
Index(None, scores.c.ticker, scores.c.target_session)
Index(
    "ix_scores_record",
    *(scores.c[n] for n in ("origin", "ticker", "version", "target_session")),
    info={"where": "leads = 1 AND state <> 'pending'"},
)
Index(
    "ix_scores_open",
    *(scores.c.ticker, scores.c.target_session, scores.c.state),
    info={"where": "state <> 'scored'"},
)

# From which bars the scores of a ticker were settled last: only what other bars say otherwise is looked at again.
settlements = Table(
    "settlements",
    metadata,
    Column("ticker", TICKER, primary_key=True),
    Column("source", String(64), primary_key=True),
    Column("snapshot_id", String(128), nullable=False),
)


def _sums() -> list[Column[Any]]:
    """What is added up over scores, see ``app.registry.score_sums``."""
    counts = ("n", "missing", "n_both", *(f"{band}_{p}" for band in ("raw", "displayed") for p in (80, 90, 95)))
    sums = ("squared_error", "squared_persistence_error", "crps", "pinball", "qlike", "both_crps", "both_crps_ewma_t")
    return [
        *(Column(name, Integer, nullable=False) for name in counts),
        *(Column(name, Double, nullable=False) for name in sums),
    ]


# Over the newest sessions of each model (``version`` 0 is the baseline), and over all tickers by session.
score_sums = Table(
    "score_sums",
    metadata,
    Column("origin", String(16), primary_key=True),
    Column("ticker", TICKER, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("first_session", Date, nullable=False),
    Column("last_session", Date, nullable=False),
    *_sums(),
)
score_days = Table(
    "score_days",
    metadata,
    Column("origin", String(16), primary_key=True),
    Column("model", String(16), primary_key=True),
    Column("target_session", Date, primary_key=True),
    Column("tickers", Integer, nullable=False),
    *_sums(),
)

# How far a version's inputs and residuals have moved from what it learnt, as of its last refresh.
drift = Table(
    "drift",
    metadata,
    Column("ticker", TICKER, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("checked_at", UtcDateTime, nullable=False),
    Column("body", BODY, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Integer, nullable=False),
)
