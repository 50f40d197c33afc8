"""Jobs keep a checkpoint: what the next attempt goes on from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("checkpoint", sa.JSON()))


def downgrade() -> None:
    op.drop_column("jobs", "checkpoint")
