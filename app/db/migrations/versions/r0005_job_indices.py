"""The queue's index runs as jobs are claimed, the most urgent first, then the oldest; and jobs are listed by kind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")


def upgrade() -> None:
    op.drop_index("ix_jobs_queue", "jobs")
    columns = [sa.text(name) for name in ("state", "priority DESC", "created_at", "job_id")]
    op.create_index("ix_jobs_queue", "jobs", columns, sqlite_where=QUEUED, postgresql_where=QUEUED)
    op.create_index("ix_jobs_kind_created_at_job_id", "jobs", ["kind", "created_at", "job_id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_kind_created_at_job_id", "jobs")
    op.drop_index("ix_jobs_queue", "jobs")
    columns = ["state", "priority", "created_at", "job_id"]
    op.create_index("ix_jobs_queue", "jobs", columns, sqlite_where=QUEUED, postgresql_where=QUEUED)
