"""First schema: jobs, cursor, journal of sworn results, transactions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: None = None
depends_on: None = None

_HASH = sa.LargeBinary(32)
_ADDRESS = sa.String(42)
_AMOUNT = sa.String(78)
_TIME = sa.Float(53)


def upgrade() -> None:
    """Creates every table."""
    _create_chain()
    _create_jobs()
    _create_signed_digests()
    _create_transactions()
    _create_attempts()


def downgrade() -> None:
    """Drops every table."""
    for table in ("transaction_attempts", "transactions", "signed_digests", "jobs", "blocks", "origin"):
        op.drop_table(table)


def _create_chain() -> None:
    op.create_table(
        "origin",
        sa.Column("chain_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("oracle", _ADDRESS, nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name="pk_origin"),
    )
    op.create_table(
        "blocks",
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("hash", _HASH, nullable=False),
        sa.PrimaryKeyConstraint("stream", "number", name="pk_blocks"),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("request_id", _HASH, nullable=False),
        sa.Column("model_id", _HASH, nullable=False),
        sa.Column("input_root", _HASH, nullable=False),
        sa.Column("requester", _ADDRESS, nullable=False),
        sa.Column("operator", _ADDRESS, nullable=False),
        sa.Column("refund_to", _ADDRESS, nullable=False),
        sa.Column("fee_wei", _AMOUNT, nullable=False),
        sa.Column("value_at_risk_wei", _AMOUNT, nullable=False),
        sa.Column("callback_gas", sa.BigInteger, nullable=False),
        sa.Column("window_s", sa.BigInteger, nullable=False),
        sa.Column("deadline", sa.BigInteger, nullable=False),
        sa.Column("assurance", sa.SmallInteger, nullable=False),
        sa.Column("salt", _HASH, nullable=False),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("block_number", sa.BigInteger, nullable=False),
        sa.Column("block_hash", _HASH, nullable=False),
        sa.Column("transaction_hash", _HASH, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", _TIME, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("failure", sa.SmallInteger, nullable=True),
        sa.Column("settled_block", sa.BigInteger, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_open", "jobs", ["status", "due_at", "retry_at"])
    op.create_index("ix_jobs_block_number", "jobs", ["block_number"])
    op.create_index("ix_jobs_settled_block", "jobs", ["settled_block"])


def _create_signed_digests() -> None:
    op.create_table(
        "signed_digests",
        sa.Column("request_id", _HASH, nullable=False),
        sa.Column("operator", _ADDRESS, nullable=False),
        sa.Column("digest", _HASH, nullable=False),
        sa.Column("output_root", _HASH, nullable=False),
        sa.Column("trace_root", _HASH, nullable=False),
        sa.Column("output", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary(65), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "operator", name="pk_signed_digests"),
    )


def _create_transactions() -> None:
    op.create_table(
        "transactions",
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("sender", _ADDRESS, nullable=False),
        sa.Column("target", _ADDRESS, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("value_wei", _AMOUNT, nullable=False),
        sa.Column("gas_cap", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("nonce", sa.BigInteger, nullable=True),
        sa.Column("gas", sa.BigInteger, nullable=True),
        sa.Column("transaction_hash", _HASH, nullable=True),
        sa.Column("block_number", sa.BigInteger, nullable=True),
        sa.Column("succeeded", sa.SmallInteger, nullable=True),
        sa.Column("note", sa.String(64), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_transactions"),
        sa.UniqueConstraint("chain_id", "sender", "nonce", name="uq_transactions_chain_id"),
    )
    op.create_index("ix_transactions_live", "transactions", ["sender", "status", "nonce"])


def _create_attempts() -> None:
    op.create_table(
        "transaction_attempts",
        sa.Column("hash", _HASH, nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("max_fee_wei", _AMOUNT, nullable=False),
        sa.Column("tip_wei", _AMOUNT, nullable=False),
        sa.Column("signed_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_transaction_attempts"),
        sa.ForeignKeyConstraint(
            ["key"], ["transactions.key"], name="fk_transaction_attempts_key_transactions", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_transaction_attempts_key", "transaction_attempts", ["key"])
