"""Opening the database, SQLite or PostgreSQL by URL, and translating its errors.

Transactions are READ COMMITTED on PostgreSQL and whole on SQLite (one writer at a time). So nothing here may read, then
write what follows from it, and trust that nobody else did the same: what must be there once has a unique key and is
written by `insert_once`; what must not change in between is locked by its row.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    ExceptionContext,
    Float,
    Table,
    create_engine,
    event,
    func,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from sworn.errors import ConfigurationError, StoreError, StoreUnavailable

_Value = TypeVar("_Value")

#: How long one writer waits for another before it gives up.
BUSY_TIMEOUT_MS: Final = 10_000
#: SAFETY: a process that is stopped inside of a transaction would hold its rows for ever; the server ends it instead.
_POSTGRESQL_LIMITS_MS: Final[Mapping[str, int]] = {
    "statement_timeout": 60_000,
    "lock_timeout": BUSY_TIMEOUT_MS,
    "idle_in_transaction_session_timeout": 10_000,
}
#: A default of "off" would lose journalled oaths when the server crashes, "local" when its standby is promoted.
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
)
#: Connections of one process; a watcher's turn needs one, its trace server and its probes the others.
_POOL: Final[Mapping[str, Any]] = {"pool_size": 5, "max_overflow": 5, "pool_timeout": 10}
#: Notices within seconds that the server's machine is gone; what a URL states itself wins. All in libpq's words.
_KEEPALIVES: Final[Mapping[str, str]] = {
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "sworn",
}
#: Whoever may not read the rest of these rows may count them.
_STANDBYS: Final = "SELECT count(*), current_setting('synchronous_standby_names') <> '' FROM pg_stat_replication"
#: What PostgreSQL calls the place where a commit waits for standbys; what it says there is translated, this is not.
_WAIT_FOR_STANDBYS: Final = "SyncRepWaitForLSN"
#: Of a connection: its last commit did not wait to the end.
_ALONE: Final = "sworn_alone"
#: SQLSTATE of a server that only reads: a standby, or what was the primary until a moment ago.
_READ_ONLY: Final = "25006"
#: SQLSTATE classes and codes after which the same may succeed: connection, resources, conflicts, shutdown, timeouts.
_TRANSIENT_STATES: Final = ("08", "40", "53", "55P03", "57", "25P03", "25P04", _READ_ONLY)
#: SQLite's primary result codes for "busy" and "locked".
_SQLITE_BUSY: Final = frozenset({5, 6})
#: The same for a file that cannot be opened: its folder is missing, or somebody else's.
_SQLITE_CANNOT_OPEN: Final = 14


class database_time(FunctionElement[float]):  # noqa: N801 -- reads as the SQL function that it is
    """The database's clock in unix seconds: the only one that all who share the database agree on."""

    type = Float(53)
    inherit_cache = True


@compiles(database_time, "postgresql")
def _postgresql_time(element: object, compiler: SQLCompiler, **options: object) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


@compiles(database_time, "sqlite")
def _sqlite_time(element: object, compiler: SQLCompiler, **options: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A connection pool; `transaction` is the only way in."""

    engine: Engine
    #: Runs first in every transaction, and may refuse it; see `sworn.watcher.store.leadership`.
    fence: Callable[[Connection], None] | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One atomic unit of work, durable when the block ends. Raises `StoreError`, and what the fence raises.

        `StoreUnavailable` may also mean that the commit's answer was lost: what was written may be there.
        """
        with translated(self.engine.url), self.engine.begin() as connection:
            known = connection.info
            if self.fence is not None:
                self.fence(connection)
            yield connection
        if known.pop(_ALONE, False):
            raise StoreUnavailable(
                "the database has committed, but ended its wait for the standby that shall have it too"
            )

    def fenced(self, fence: Callable[[Connection], None]) -> Database:
        """The same database, whose every transaction ``fence`` may refuse."""
        return replace(self, fence=fence)

    @property
    def is_postgresql(self) -> bool:
        """Whether several machines can share it."""
        return self.engine.dialect.name == "postgresql"

    def close(self) -> None:
        """Releases every connection; idempotent."""
        self.engine.dispose()

    def __repr__(self) -> str:
        return f"Database({self.engine.url.set(query={}).render_as_string(hide_password=True)})"


def open_database(url: str) -> Database:
    """A database by URL: ``sqlite:///watcher.db``, ``postgresql://user:password@host/name?sslmode=verify-full``.

    Raises `ConfigurationError`; nothing is connected to yet.
    """
    try:
        located = _located(make_url(url))
        if located.get_backend_name() == "postgresql":
            engine = create_engine(located, pool_pre_ping=True, **_POOL)
        else:
            engine = create_engine(located, pool_pre_ping=True)
    except (ArgumentError, ImportError, ValueError) as error:
        # The vendor's message may quote the URL, and with it a password.
        hint = ": pip install 'sworn-oracle[postgres]'" if isinstance(error, ImportError) else ""
        raise ConfigurationError(f"the database URL is malformed, or its driver is not installed{hint}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _prepare_postgresql)
        event.listen(engine, "handle_error", _leave_readers)
    return Database(engine=engine)


def standbys_of(database: Database) -> tuple[int, bool]:
    """How many servers replicate a PostgreSQL, and whether commits wait for any of them. Raises `StoreError`."""
    with database.transaction() as connection:
        count, waits = connection.exec_driver_sql(_STANDBYS).one()
        return int(count), bool(waits)


def insert_once(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Inserts a row unless one with a key of it is there; whether it did.

    A row that another transaction is inserting is waited for: when this returns False, it can be read.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return connection.execute(dialect.insert(table).values(**values).on_conflict_do_nothing()).rowcount == 1


def unindexed(column: ColumnElement[_Value]) -> ColumnElement[_Value]:
    """The same value, for which no index is used.

    SQLite takes any index whose first column is compared with a value to be a good one. By status, it would walk
    through all jobs that ever ended, or wait, where another index leads to a few.
    """
    return func.coalesce(column, column)


@contextmanager
def translated(url: URL | None = None) -> Iterator[None]:
    """Raises what the driver raises as `StoreUnavailable` or `StoreError`; the file of ``url`` is named in it."""
    try:
        yield
    except SQLAlchemyError as error:
        if url is not None and _sqlite_code(error) == _SQLITE_CANNOT_OPEN:
            raise StoreError(
                f"cannot open {url.database}: check database_url, and that its folder is there and can be written to"
            ) from error
        # The statement and its parameters stay out: they are long and may hold inputs.
        message = f"the database failed: {type(error).__name__}: {_reason(error)}"
        raise (StoreUnavailable if _is_transient(error) else StoreError)(message) from error


def _located(url: URL) -> URL:
    """The URL with the driver that is used, and with what makes a dead server noticed."""
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "postgresql":
        return url
    return url.set(query={**_KEEPALIVES, **url.query})


def _prepare_sqlite(connection: Any, record: object) -> None:
    # The driver would start transactions late and commit them behind our back; SQLAlchemy's "begin" does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _write_ahead(cursor)
    # SAFETY: in WAL mode only FULL makes a commit durable against power loss, as the journal of oaths needs.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Switches to a write-ahead log; where others do the same at once, SQLite does not wait by itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def _prepare_postgresql(connection: Any, record: ConnectionPoolEntry) -> None:
    def hear(diagnostic: Any) -> None:
        # SAFETY: whoever cancels a commit that waits makes it succeed with a warning. What follows from it must wait
        # for the next commit, which waits for this one too.
        if diagnostic.source_function == _WAIT_FOR_STANDBYS:
            record.info[_ALONE] = True

    connection.add_notice_handler(hear)
    with connection.cursor() as cursor:
        for name, limit_ms in _POSTGRESQL_LIMITS_MS.items():
            cursor.execute(f"SET {name} = {limit_ms}")
        cursor.execute(_DURABLE)
    connection.commit()


def _leave_readers(context: ExceptionContext) -> None:
    """Gives up connections to a server that only reads: after a failover another one is written to."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _begin_immediate(connection: Connection) -> None:
    # A transaction that starts by reading and then writes could otherwise fail at once when another one has written.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _is_transient(error: SQLAlchemyError) -> bool:
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_TRANSIENT_STATES)
    code = _sqlite_code(error)
    if code is not None:
        return code in _SQLITE_BUSY
    # A server that is not reached has no state to tell.
    return error.connection_invalidated or type(error.orig).__name__ == "OperationalError"


def _sqlite_code(error: SQLAlchemyError) -> int | None:
    """SQLite's primary result code; None for errors of other kinds."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _reason(error: SQLAlchemyError) -> str:
    original = getattr(error, "orig", None)
    # SAFETY: PostgreSQL's details quote whole rows; its first line does not.
    primary = getattr(getattr(original, "diag", None), "message_primary", None)
    return str(primary or original or "").strip()
