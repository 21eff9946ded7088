"""Disputes over results of the watcher's own operator, what is demanded in them, and what answers need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: None = None
depends_on: None = None

_HASH = sa.LargeBinary(32)
_TIME = sa.Float(53)


def upgrade() -> None:
    """Creates the tables, and what finds a result by its id."""
    op.create_index("ix_signed_digests_digest", "signed_digests", ["digest"])
    op.add_column("transactions", sa.Column("urgent", sa.SmallInteger, nullable=False, server_default="0"))
    op.create_table(
        "payloads",
        sa.Column("input_root", _HASH, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("input_root", name="pk_payloads"),
    )
    _create_defences()
    _create_demands()


def downgrade() -> None:
    """Drops them."""
    for table in ("demands", "defences", "payloads"):
        op.drop_table(table)
    op.drop_column("transactions", "urgent")
    op.drop_index("ix_signed_digests_digest", table_name="signed_digests")


def _create_defences() -> None:
    op.create_table(
        "defences",
        sa.Column("result_id", _HASH, nullable=False),
        sa.Column("block_number", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", _TIME, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=True),
        sa.Column("answer_by", sa.BigInteger, nullable=True),
        sa.Column("trace_root", _HASH, nullable=True),
        sa.Column("settled_block", sa.BigInteger, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("result_id", name="pk_defences"),
    )
    op.create_index("ix_defences_block_number", "defences", ["block_number"])
    op.create_index("ix_defences_settled_block", "defences", ["settled_block"])
    op.create_index("ix_defences_open", "defences", ["status", "due_at", "retry_at"])


def _create_demands() -> None:
    op.create_table(
        "demands",
        sa.Column("demand_id", _HASH, nullable=False),
        sa.Column("result_id", _HASH, nullable=False),
        sa.Column("challenger", sa.String(42), nullable=False),
        sa.Column("part", sa.SmallInteger, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("level", sa.SmallInteger, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("block_number", sa.BigInteger, nullable=False),
        sa.Column("answered_block", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("demand_id", name="pk_demands"),
    )
    op.create_index("ix_demands_block_number", "demands", ["block_number"])
    op.create_index("ix_demands_answered_block", "demands", ["answered_block"])
    op.create_index("ix_demands_open", "demands", ["result_id", "answered_block", "due_at"])
