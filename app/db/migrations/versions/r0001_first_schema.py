"""The first schema: jobs, versions, aliases, snapshots, forecasts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TICKER = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
BODY = sa.JSON()
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _jobs()
    _tickers_and_versions()
    _aliases()
    _snapshots_and_forecasts()


def downgrade() -> None:
    for table in (
        *("counters", "forecasts", "snapshots", "alias_history", "aliases", "versions", "tickers"),
        *("workers", "idempotency_keys", "jobs"),
    ):
        op.drop_table(table)


def _partial_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    clause = sa.text(where)
    op.create_index(name, "jobs", columns, unique=unique, sqlite_where=clause, postgresql_where=clause)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("ticker", TICKER),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("payload", BODY, nullable=False),
        sa.Column("dedupe", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("run_after", MOMENT, nullable=False),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until", MOMENT),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("progress", BODY),
        sa.Column("result", BODY),
        sa.Column("error", BODY),
        sa.Column("submitted_by", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_jobs_state")
        ),
    )
    _partial_index("uq_jobs_active", ["dedupe"], "state IN ('queued', 'running')", unique=True)
    _partial_index("ix_jobs_queue", ["state", "priority", "created_at", "job_id"], "state = 'queued'")
    op.create_index("ix_jobs_created_at_job_id", "jobs", ["created_at", "job_id"])
    op.create_index("ix_jobs_state_created_at_job_id", "jobs", ["state", "created_at", "job_id"])
    op.create_index("ix_jobs_ticker_created_at_job_id", "jobs", ["ticker", "created_at", "job_id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("principal", sa.String(128), nullable=False),
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("fingerprint", sa.String(128), nullable=False),
        sa.Column("answer", BODY, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.String(128), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name="pk_workers"),
    )


def _tickers_and_versions() -> None:
    op.create_table(
        "tickers",
        sa.Column("ticker", TICKER, nullable=False),
        sa.Column("last_number", sa.Integer, nullable=False),
        sa.Column("source_ok", sa.Boolean),
        sa.Column("source_error", BODY),
        sa.Column("checked_at", MOMENT),
        sa.Column("next_update_at", MOMENT),
        sa.PrimaryKeyConstraint("ticker", name="pk_tickers"),
    )
    op.create_index("ix_tickers_next_update_at", "tickers", ["next_update_at"])
    op.create_table(
        "versions",
        sa.Column("ticker", TICKER, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("order", BODY, nullable=False),
        sa.Column("data", BODY, nullable=False),
        sa.Column("scorecard", BODY, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("artifacts", BODY, nullable=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("libraries", BODY, nullable=False),
        sa.Column("seconds", BODY, nullable=False),
        sa.Column("job_id", sa.String(32)),
        sa.Column("code_version", sa.Text, nullable=False),
        sa.Column("submitted_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("ticker", "number", name="pk_versions"),
        sa.ForeignKeyConstraint(["ticker"], ["tickers.ticker"], name="fk_versions_ticker_tickers"),
    )


def _aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("ticker", TICKER, nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("ticker", "alias", name="pk_aliases"),
        sa.ForeignKeyConstraint(
            ["ticker", "version"], ["versions.ticker", "versions.number"], name="fk_aliases_ticker_versions"
        ),
    )
    op.create_index("ix_aliases_ticker_version", "aliases", ["ticker", "version"])
    op.create_table(
        "alias_history",
        sa.Column("change_id", sa.Integer, nullable=False),
        sa.Column("ticker", TICKER, nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("previous", sa.Integer),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("change_id", name="pk_alias_history"),
    )
    op.create_index("ix_alias_history_ticker_alias_change_id", "alias_history", ["ticker", "alias", "change_id"])


def _snapshots_and_forecasts() -> None:
    op.create_table(
        "snapshots",
        sa.Column("snapshot_id", sa.String(128), nullable=False),
        sa.Column("ticker", TICKER, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("first_session", sa.Date, nullable=False),
        sa.Column("last_session", sa.Date, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("meta", BODY, nullable=False),
        sa.Column("fetched_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("snapshot_id", name="pk_snapshots"),
    )
    op.create_index("ix_snapshots_ticker_fetched_at", "snapshots", ["ticker", "fetched_at"])
    op.create_index("ix_snapshots_ticker_source_fetched_at", "snapshots", ["ticker", "source", "fetched_at"])
    op.create_table(
        "forecasts",
        sa.Column("forecast_id", sa.String(64), nullable=False),
        sa.Column("ticker", TICKER, nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("as_of_session", sa.Date, nullable=False),
        sa.Column("issued_at", MOMENT, nullable=False),
        sa.Column("edition", sa.String(32), nullable=False),
        sa.Column("body", BODY, nullable=False),
        sa.PrimaryKeyConstraint("forecast_id", name="pk_forecasts"),
    )
    op.create_index("ix_forecasts_latest", "forecasts", ["ticker", "version", "as_of_session", "issued_at"])
    op.create_index("ix_forecasts_ticker_issued_at_forecast_id", "forecasts", ["ticker", "issued_at", "forecast_id"])
    op.create_table(
        "counters",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
