"""Bringing a database to the schema that this version needs, while replicas of other versions use it.

A release's migrations only add what the release before can do without, so both can work side by side; what nothing uses
any more goes in a later one. A migration that the code of older schemas cannot live with raises the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, inspect, select, text

from sworn.errors import StoreError
from sworn.watcher.store.database import Database
from sworn.watcher.store.tables import METADATA, SCHEMA_FLOOR

_VERSIONS: Final = Path(__file__).resolve().parent / "migrations" / "versions"
#: Names the advisory lock under which one replica migrates while others wait; "sworn" in ASCII.
_LOCK: Final = 0x73776F726E
#: A migration may rewrite tables, and may wait for another replica that does.
_PATIENCE_MS: Final = 3_600_000


def upgrade(database: Database, *, more: Sequence[Path] = ()) -> None:
    """Runs every migration that is missing; does nothing when none is, or when the database is newer and still fits.

    Several replicas may call it at once. ``more`` are folders with further migrations. Raises `StoreError`.
    """
    configuration = _configuration(more)
    with database.transaction() as connection:
        _wait_for_others(connection)
        if _is_ahead(connection, configuration):
            _require_floor(connection, configuration)
            return
        configuration.attributes["connection"] = connection
        try:
            command.upgrade(configuration, "head")
        except CommandError as error:
            raise StoreError(f"the database cannot be migrated: {error}") from error


def current(database: Database) -> str | None:
    """The schema revision that the database has; None for an empty one. Raises `StoreError`."""
    with database.transaction() as connection:
        return _revision(connection)


def latest(*, more: Sequence[Path] = ()) -> str:
    """The schema revision that this version needs."""
    revision = ScriptDirectory.from_config(_configuration(more)).get_current_head()
    if revision is None:
        raise StoreError("this installation has no migrations")
    return revision


def require_current(database: Database) -> None:
    """Raises `StoreError` unless the database has the schema of this version, or a newer one that still fits."""
    configuration = _configuration()
    with database.transaction() as connection:
        found, needed = _revision(connection), latest()
        if found == needed:
            return
        if not _is_ahead(connection, configuration):
            raise StoreError(
                f"the database has schema {found or 'none'}, this version needs {needed}: migrate it first, "
                "with `sworn db upgrade`"
            )
        _require_floor(connection, configuration)


def differences(database: Database) -> list[object]:
    """How the database's tables differ from the code's; empty when they agree."""
    with database.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, METADATA))


def _wait_for_others(connection: Connection) -> None:
    """Lets one replica migrate at a time; SQLite's transactions do so by themselves."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(text(f"SET LOCAL statement_timeout = {_PATIENCE_MS}"))
    connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {_PATIENCE_MS}"))
    connection.execute(text(f"SET LOCAL lock_timeout = {_PATIENCE_MS}"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    # SAFETY: an ALTER that waits for a long transaction makes everybody else wait behind it; it gives up instead, and
    # is tried again.
    connection.execute(text("SET LOCAL lock_timeout = 5000"))


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _is_ahead(connection: Connection, configuration: Config) -> bool:
    """Whether the database has been migrated by a newer version than this one."""
    found = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(configuration).walk_revisions()}
    return found is not None and found not in known


def _require_floor(connection: Connection, configuration: Config) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(configuration).walk_revisions()}
    floor = None
    if inspect(connection).has_table(SCHEMA_FLOOR.name):
        floor = connection.execute(select(SCHEMA_FLOOR.c.revision)).scalar()
    # INVARIANT: code that does not know the floor's schema never writes into this database.
    if floor not in known:
        raise StoreError(
            f"a newer version has migrated the database to schema {_revision(connection)}, which this one cannot use: "
            "install that version"
        )


def _configuration(more: Sequence[Path] = ()) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", _escaped(_VERSIONS.parent))
    configuration.set_main_option("path_separator", "os")
    configuration.set_main_option("version_locations", ":".join(map(_escaped, (_VERSIONS, *more))))
    return configuration


def _escaped(folder: Path) -> str:
    return str(folder).replace("%", "%%")
