"""A version whose files were found damaged says so."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("damaged_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("versions", "damaged_at")
