"""Finds jobs by model and input: in profile exact one input has one answer."""

from __future__ import annotations

from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Creates the index."""
    op.create_index("ix_jobs_statement", "jobs", ["model_id", "input_root"])


def downgrade() -> None:
    """Drops the index."""
    op.drop_index("ix_jobs_statement", table_name="jobs")
