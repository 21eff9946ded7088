"""Opening the database, and translating its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from sworn.errors import ConfigurationError, StoreError

#: How long one writer waits for another before it gives up.
BUSY_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A connection pool; `transaction` is the only way in."""

    engine: Engine

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One atomic unit of work, durable when the block ends. Raises `StoreError`."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"the database failed: {type(error).__name__}: {_reason(error)}") from error

    def close(self) -> None:
        """Releases every connection; idempotent."""
        self.engine.dispose()

    def __repr__(self) -> str:
        return f"Database({self.engine.url.render_as_string(hide_password=True)})"


def open_database(url: str) -> Database:
    """A database by SQLAlchemy URL, for example ``sqlite:///watcher.db``. Raises `ConfigurationError`."""
    try:
        engine = create_engine(make_url(url), pool_pre_ping=True)
    except (ArgumentError, ImportError, ValueError) as error:
        raise ConfigurationError("the database URL is malformed, or its driver is not installed") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return Database(engine=engine)


def _prepare_sqlite(connection: Any, record: object) -> None:
    # The driver would start transactions late and commit them behind our back; SQLAlchemy's "begin" does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # SAFETY: in WAL mode only FULL makes a commit durable against power loss, as the journal of oaths needs.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # A transaction that starts by reading and then writes could otherwise fail at once when another one has written.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _reason(error: SQLAlchemyError) -> str:
    original = getattr(error, "orig", None)
    # The statement and its parameters stay out: they are long and may hold inputs.
    return str(original) if original is not None else ""
