"""Results of others and the requests that they answer, as a challenger sees them, and its secret."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: None = None
depends_on: None = None

_HASH = sa.LargeBinary(32)
_TIME = sa.Float(53)


def upgrade() -> None:
    """Creates the tables."""
    _create_claims()
    op.create_table(
        "asked",
        sa.Column("request_id", _HASH, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("block_number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_asked"),
    )
    op.create_index("ix_asked_block_number", "asked", ["block_number"])
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", _HASH, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )


def downgrade() -> None:
    """Drops them."""
    for table in ("secrets", "asked", "claims"):
        op.drop_table(table)


def _create_claims() -> None:
    op.create_table(
        "claims",
        sa.Column("result_id", _HASH, nullable=False),
        sa.Column("request_id", _HASH, nullable=False),
        sa.Column("operator", sa.String(42), nullable=False),
        sa.Column("trace_root", _HASH, nullable=False),
        sa.Column("output", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary(65), nullable=False),
        sa.Column("block_number", sa.BigInteger, nullable=False),
        sa.Column("block_hash", _HASH, nullable=False),
        sa.Column("transaction_hash", _HASH, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", _TIME, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("exposure_wei", sa.String(78), nullable=False),
        sa.Column("settled_block", sa.BigInteger, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("result_id", name="pk_claims"),
    )
    for column in ("request_id", "block_number", "settled_block"):
        op.create_index(f"ix_claims_{column}", "claims", [column])
    op.create_index("ix_claims_open", "claims", ["status", "due_at", "retry_at"])
