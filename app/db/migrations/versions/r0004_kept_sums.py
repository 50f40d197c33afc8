"""Sums of the scores, kept by model and by session; from which bars scores were settled; narrower indices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TICKER = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
COUNTS = ("n", "missing", "n_both", *(f"{band}_{p}" for band in ("raw", "displayed") for p in (80, 90, 95)))
SUMS = ("squared_error", "squared_persistence_error", "crps", "pinball", "qlike", "both_crps", "both_crps_ewma_t")
WINDOW = 250

_CAME = "state = 'scored'"
_BOTH = f"{_CAME} AND crps_ewma_t IS NOT NULL"
_TOTALS = {
    "n": f"CASE WHEN {_CAME} THEN 1 ELSE 0 END",
    "missing": f"CASE WHEN {_CAME} THEN 0 ELSE 1 END",
    "n_both": f"CASE WHEN {_BOTH} THEN 1 ELSE 0 END",
    **{f"raw_{p}": f"CASE WHEN abs(2 * pit - 1) <= {p / 100} THEN 1 ELSE 0 END" for p in (80, 90, 95)},
    **{f"displayed_{p}": f"CASE WHEN inside_{p} THEN 1 ELSE 0 END" for p in (80, 90, 95)},
    "squared_error": f"CASE WHEN {_CAME} THEN (error / last_value) * (error / last_value) END",
    "squared_persistence_error": (
        f"CASE WHEN {_CAME} THEN (persistence_error / last_value) * (persistence_error / last_value) END"
    ),
    **{name: f"CASE WHEN {_CAME} THEN {name} END" for name in ("crps", "pinball", "qlike")},
    "both_crps": f"CASE WHEN {_BOTH} THEN crps END",
    "both_crps_ewma_t": f"CASE WHEN {_BOTH} THEN crps_ewma_t END",
}
# Of each session the forecast issued last.
_ISSUED = """
    SELECT *, coalesce(version, 0) AS number,
        CASE WHEN version IS NULL THEN 'baseline' ELSE 'versions' END AS model,
        row_number() OVER (
            PARTITION BY ticker, version, origin, target_session ORDER BY issued_at DESC, forecast_id DESC
        ) AS issue
    FROM scores WHERE leads AND state <> 'pending'
"""


def upgrade() -> None:
    op.drop_index("ix_scores_record", "scores")
    _index("ix_scores_record", ["origin", "ticker", "version", "target_session"], "state <> 'pending'", leads=True)
    _index("ix_scores_open", ["ticker", "target_session", "state"], "state <> 'scored'")
    op.create_table(
        "settlements",
        sa.Column("ticker", TICKER, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("snapshot_id", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("ticker", "source", name="pk_settlements"),
    )
    op.create_table(
        "score_sums",
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("ticker", TICKER, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("first_session", sa.Date, nullable=False),
        sa.Column("last_session", sa.Date, nullable=False),
        *_sums(),
        sa.PrimaryKeyConstraint("origin", "ticker", "version", name="pk_score_sums"),
    )
    op.create_table(
        "score_days",
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("model", sa.String(16), nullable=False),
        sa.Column("target_session", sa.Date, nullable=False),
        sa.Column("tickers", sa.Integer, nullable=False),
        *_sums(),
        sa.PrimaryKeyConstraint("origin", "model", "target_session", name="pk_score_days"),
    )
    _add_up()


def downgrade() -> None:
    for table in ("score_days", "score_sums", "settlements"):
        op.drop_table(table)
    op.drop_index("ix_scores_open", "scores")
    op.drop_index("ix_scores_record", "scores")
    op.create_index("ix_scores_record", "scores", ["leads", "origin", "ticker", "version", "target_session"])


def _index(name: str, columns: list[str], state: str, *, leads: bool = False) -> None:
    where = {"sqlite": "leads = 1 AND " if leads else "", "postgresql": "leads AND " if leads else ""}
    op.create_index(
        name,
        "scores",
        columns,
        sqlite_where=sa.text(where["sqlite"] + state),
        postgresql_where=sa.text(where["postgresql"] + state),
    )


def _sums() -> list[sa.Column[object]]:
    return [
        *(sa.Column(name, sa.Integer, nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Double, nullable=False) for name in SUMS),
    ]


def _add_up() -> None:
    """Add up what has been scored so far."""
    names = ", ".join(_TOTALS)
    totals = ", ".join(f"coalesce(sum({value}), 0)" for value in _TOTALS.values())
    op.execute(
        f"""
        INSERT INTO score_sums (origin, ticker, version, first_session, last_session, {names})
        SELECT origin, ticker, number, min(target_session), max(target_session), {totals}
        FROM (
            SELECT *, row_number() OVER (
                PARTITION BY origin, ticker, number ORDER BY target_session DESC
            ) AS place
            FROM ({_ISSUED}) AS issued WHERE issue = 1
        ) AS placed
        WHERE place <= {WINDOW} GROUP BY origin, ticker, number
    """  # noqa: S608 - of nothing but the constants above
    )
    op.execute(
        f"""
        INSERT INTO score_days (origin, model, target_session, tickers, {names})
        SELECT origin, model, target_session, count(DISTINCT ticker), {totals}
        FROM ({_ISSUED}) AS issued WHERE issue = 1 GROUP BY origin, model, target_session
    """  # noqa: S608 - of nothing but the constants above
    )
