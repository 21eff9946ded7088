"""Run by Alembic; the connection comes from `sworn.watcher.store.migration`."""

from __future__ import annotations

from alembic import context

from sworn.watcher.store.tables import METADATA

# SQLite cannot alter most things in place: batch mode copies the table, and is an ordinary ALTER elsewhere.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
