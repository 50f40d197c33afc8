"""Whether a source may be asked is known to all, and how late a ticker's bars are; rare events are counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "source_state",
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("openings", sa.Integer, nullable=False),
        sa.Column("until", MOMENT),
        sa.Column("code", sa.String(64)),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("source", name="pk_source_state"),
    )
    op.add_column("tickers", sa.Column("bar_due_at", MOMENT))
    op.add_column("tickers", sa.Column("late_sessions", sa.Integer))


def downgrade() -> None:
    op.drop_column("tickers", "late_sessions")
    op.drop_column("tickers", "bar_due_at")
    op.drop_table("source_state")
