"""What tells which claim is checked next: when its window closes, which model it is about, what went wrong."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Adds what the code of 0006 can do without; claims whose window is unknown are looked at first."""
    op.add_column("claims", sa.Column("closes_at", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("claims", sa.Column("model_id", sa.LargeBinary(32), nullable=True))
    op.add_column("claims", sa.Column("overruns", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_claims_closing", "claims", ["status", "closes_at"])


def downgrade() -> None:
    """Removes it."""
    op.drop_index("ix_claims_closing", table_name="claims")
    op.drop_column("claims", "overruns")
    op.drop_column("claims", "model_id")
    op.drop_column("claims", "closes_at")
