"""What mined transactions have cost, each and in all: totals that outlive processes, and the rows they come from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Adds what the code of 0005 can do without; what was paid before is in no total."""
    op.add_column("transactions", sa.Column("cost_wei", sa.String(78), nullable=True))
    op.create_table(
        "gas_paid",
        sa.Column("sender", sa.String(42), nullable=False),
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("paid_wei", sa.String(78), nullable=False),
        sa.PrimaryKeyConstraint("sender", "kind", name="pk_gas_paid"),
    )
    _index_live("status", "sender", "nonce")


def downgrade() -> None:
    """Removes it."""
    _index_live("sender", "status", "nonce")
    op.drop_table("gas_paid")
    op.drop_column("transactions", "cost_wei")


def _index_live(*columns: str) -> None:
    # What is under way is also looked for without a sender, and must be found beside whatever has ended.
    op.drop_index("ix_transactions_live", table_name="transactions")
    op.create_index("ix_transactions_live", "transactions", list(columns))
