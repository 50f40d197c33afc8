"""The live record: the chain over all forecasts, their scores, and drift."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TICKER = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
BODY = sa.JSON()
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _tables()
    _record_what_was_issued()


def downgrade() -> None:
    for table in ("drift", "scores", "forecast_chain"):
        op.drop_table(table)
    op.execute("DELETE FROM counters WHERE name = 'forecasts'")


def _tables() -> None:
    op.create_table(
        "forecast_chain",
        sa.Column("sequence", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("forecast_id", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_forecast_chain"),
    )
    op.create_index("ix_forecast_chain_forecast_id", "forecast_chain", ["forecast_id"], unique=True)
    op.create_table(
        "scores",
        sa.Column("forecast_id", sa.String(64), nullable=False),
        sa.Column("step", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("field", sa.String(64), nullable=False),
        sa.Column("ticker", TICKER, nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("leads", sa.Boolean, nullable=False),
        sa.Column("issued_at", MOMENT, nullable=False),
        sa.Column("as_of_session", sa.Date, nullable=False),
        sa.Column("target_session", sa.Date, nullable=False),
        sa.Column("last_value", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        *(sa.Column(name, sa.Double) for name in ("actual", "actual_close", "error", "persistence_error")),
        *(sa.Column(name, sa.Double) for name in ("crps", "crps_ewma_t", "pinball", "pit", "qlike")),
        sa.Column("inside", BODY),
        *(sa.Column(name, sa.Boolean) for name in ("inside_80", "inside_90", "inside_95")),
        sa.Column("snapshot_id", sa.String(128)),
        sa.Column("scored_at", MOMENT),
        sa.PrimaryKeyConstraint("forecast_id", "step", "field", name="pk_scores"),
        sa.CheckConstraint("state IN ('pending', 'scored', 'missing')", name=op.f("ck_scores_state")),
    )
    op.create_index("ix_scores_ticker_target_session", "scores", ["ticker", "target_session"])
    op.create_index("ix_scores_record", "scores", ["leads", "origin", "ticker", "version", "target_session"])
    op.create_table(
        "drift",
        sa.Column("ticker", TICKER, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("checked_at", MOMENT, nullable=False),
        sa.Column("body", BODY, nullable=False),
        sa.PrimaryKeyConstraint("ticker", "version", name="pk_drift"),
    )


def _record_what_was_issued() -> None:
    """Chain the forecasts that are there in the order of their issue, and let them wait for their scores."""
    tx = op.get_bind()
    names = ("forecast_id", "ticker", "version", "issued_at", "body")
    forecasts = sa.table(
        "forecasts",
        *(sa.column(name) for name in names[:3]),
        sa.column("issued_at", MOMENT),
        sa.column("body", BODY),
    )
    chain = sa.table("forecast_chain", *(sa.column(name) for name in ("sequence", "forecast_id", "hash")))
    counters = sa.table("counters", sa.column("name"), sa.column("value"))
    issued = sa.select(*(forecasts.c[name] for name in names)).order_by("issued_at", "forecast_id")
    scores = _scores_table()
    sequence, previous = 0, "0" * 64
    for row in tx.execute(issued).all():
        text = json.dumps(row.body, sort_keys=True, separators=(",", ":"), allow_nan=False)
        previous = hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
        sequence += 1
        tx.execute(chain.insert().values(sequence=sequence, forecast_id=row.forecast_id, hash=previous))
        tx.execute(scores.insert(), [_awaiting(row, step) for step in row.body["steps"]])
    if sequence:
        tx.execute(counters.insert().values(name="forecasts", value=sequence))


def _scores_table() -> sa.TableClause:
    plain = ("forecast_id", "step", "field", "ticker", "version", "source", "origin", "last_value", "state")
    return sa.table(
        "scores",
        *(sa.column(name) for name in plain),
        sa.column("leads", sa.Boolean),
        sa.column("issued_at", MOMENT),
        *(sa.column(name, sa.Date) for name in ("as_of_session", "target_session")),
    )


def _awaiting(row: Any, step: dict[str, Any]) -> dict[str, Any]:
    body = row.body
    return {
        "forecast_id": row.forecast_id,
        "step": step["step"],
        "field": step["field"],
        "ticker": row.ticker,
        "version": row.version,
        "source": body["provenance"]["source"],
        "origin": body["origin"],
        "leads": step["step"] == 1 and step["field"] == body["targets"][0]["field"],
        "issued_at": row.issued_at,
        "as_of_session": date.fromisoformat(body["as_of_session"]),
        "target_session": date.fromisoformat(step["target_session"]),
        "last_value": step["last_value"],
        "state": "pending",
    }
