"""What a next release might add, for tests of replicas that are one release apart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Adds what the release before can do without."""
    op.add_column("jobs", sa.Column("mood", sa.String(16), nullable=False, server_default="calm"))
    op.create_table("moods", sa.Column("name", sa.String(16), primary_key=True))


def downgrade() -> None:
    """Removes it."""
    op.drop_table("moods")
    op.drop_column("jobs", "mood")
