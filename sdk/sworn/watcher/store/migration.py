"""Bringing a database to the schema that this version needs."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from sworn.errors import StoreError
from sworn.watcher.store.database import Database
from sworn.watcher.store.tables import METADATA

_SCRIPTS = Path(__file__).resolve().parent / "migrations"


def upgrade(database: Database) -> None:
    """Runs every migration that is missing; does nothing when none is. Raises `StoreError`."""
    with database.transaction() as connection:
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        try:
            command.upgrade(configuration, "head")
        except CommandError as error:
            raise StoreError(f"the database cannot be migrated: {error}") from error


def current(database: Database) -> str | None:
    """The schema revision that the database has; None for an empty one. Raises `StoreError`."""
    with database.transaction() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def latest() -> str:
    """The schema revision that this version needs."""
    revision = ScriptDirectory.from_config(_configuration()).get_current_head()
    if revision is None:
        raise StoreError("this installation has no migrations")
    return revision


def require_current(database: Database) -> None:
    """Raises `StoreError` unless the database has exactly the schema that this version needs."""
    found, needed = current(database), latest()
    if found != needed:
        raise StoreError(f"the database has schema {found or 'none'}, this version needs {needed}: migrate it first")


def differences(database: Database) -> list[object]:
    """How the database's tables differ from the code's; empty when they agree."""
    with database.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, METADATA))


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return configuration
