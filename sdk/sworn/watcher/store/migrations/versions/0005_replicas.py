"""Several watchers on one database: leases, leaders, one output per statement; quarantine; who may use the schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: None = None
depends_on: None = None

_HASH = sa.LargeBinary(32)
_TIME = sa.Float(53)
_SWORN = "FROM signed_digests s JOIN jobs j ON j.request_id = s.request_id"
_COUNTS = ("errors", "reverts", "runs")


def upgrade() -> None:
    """Creates the tables and columns; the code of 0004 knows no leaders, and must have stopped."""
    for table, column in _columns():
        op.add_column(table, column)
    op.create_index("ix_jobs_carrier", "jobs", ["carrier"])
    op.create_index("ix_jobs_queue", "jobs", ["status", "retry_at", "block_number"])
    _create_statements()
    _create_quarantine()
    _create_replicas()
    op.create_table(
        "schema_floor",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_schema_floor"),
    )
    op.execute("INSERT INTO schema_floor (revision) VALUES ('0005')")


def downgrade() -> None:
    """Drops them."""
    for table in ("schema_floor", "replicas", "leaders", "quarantine", "statements"):
        op.drop_table(table)
    op.drop_index("ix_jobs_queue", table_name="jobs")
    op.drop_index("ix_jobs_carrier", table_name="jobs")
    for table, column in reversed(_columns()):
        op.drop_column(table, column.name)


def _columns() -> list[tuple[str, sa.Column[Any]]]:
    # Each has a default of the database's own: code that does not know a column can still insert rows.
    counts = [sa.Column(name, sa.Integer, nullable=False, server_default="0") for name in _COUNTS]
    return [
        *(("jobs", column) for column in counts),
        ("jobs", sa.Column("carrier", sa.String(200), nullable=False, server_default="")),
        ("jobs", sa.Column("leased_by", sa.String(64), nullable=False, server_default="")),
        ("jobs", sa.Column("lease_until", _TIME, nullable=False, server_default="0")),
        ("transactions", sa.Column("margin_percent", sa.SmallInteger, nullable=False, server_default="25")),
        ("transactions", sa.Column("deadline", sa.BigInteger, nullable=True)),
        ("transaction_attempts", sa.Column("cancels", sa.SmallInteger, nullable=False, server_default="0")),
    ]


def _create_statements() -> None:
    op.create_table(
        "statements",
        sa.Column("operator", sa.String(42), nullable=False),
        sa.Column("model_id", _HASH, nullable=False),
        sa.Column("input_root", _HASH, nullable=False),
        sa.Column("output_root", _HASH, nullable=False),
        sa.PrimaryKeyConstraint("operator", "model_id", "input_root", name="pk_statements"),
    )
    # Inputs with several outputs are of models that promise no bits: nothing is held against those.
    op.execute(
        "INSERT INTO statements (operator, model_id, input_root, output_root) "
        f"SELECT DISTINCT s.operator, j.model_id, j.input_root, s.output_root {_SWORN} "
        f"WHERE (s.operator, j.model_id, j.input_root) IN (SELECT s.operator, j.model_id, j.input_root {_SWORN} "
        f"GROUP BY s.operator, j.model_id, j.input_root HAVING COUNT(DISTINCT s.output_root) = 1)"
    )


def _create_quarantine() -> None:
    op.create_table(
        "quarantine",
        sa.Column("subject", sa.LargeBinary(64), nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("barred", sa.SmallInteger, nullable=False),
        sa.Column("until", _TIME, nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_quarantine"),
    )


def _create_replicas() -> None:
    op.create_table(
        "leaders",
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_leaders"),
    )
    op.create_table(
        "replicas",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("trace_folder", sa.String(64), nullable=True),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_replicas"),
    )
