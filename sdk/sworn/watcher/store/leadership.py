"""Who may follow the chain and send transactions: one process at a time, and nobody who only believes it may.

A leader holds locks that end with it: session locks of PostgreSQL on a connection of its own, which the server itself
closes when the leader has said nothing for a while, or a file lock beside an SQLite database. Every takeover counts an
epoch up. A process that was stopped, and wakes when another one leads, is refused by that number in the transaction in
which it would store a signed transaction; what is not stored is not sent.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import Any, Final, Protocol

from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sworn.errors import ConfigurationError, LeadershipLost, StoreError
from sworn.types import Address
from sworn.watcher.store.database import Database, database_time, translated
from sworn.watcher.store.tables import LEADERS

#: Seconds of silence after which PostgreSQL takes a leader's locks away: it hangs, is stopped, or its machine is gone.
PATIENCE_S: Final = 15.0
#: How many session locks the asking session holds.
_HELD: Final = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted")
#: SQLSTATE of a server that does not know a parameter.
_UNKNOWN_PARAMETER: Final = "42704"


class Leadership(Protocol):
    """The right to act alone. `acquire` and `check` raise `StoreError`."""

    def acquire(self) -> bool:
        """Takes the lead if nobody has it, keeps it if it is ours; whether we lead. Also says that we are alive."""
        ...

    @property
    def epoch(self) -> int:
        """The number of our takeover; 0 while we do not lead."""
        ...

    def check(self, connection: Connection) -> None:
        """Raises `LeadershipLost` unless we lead; until the transaction ends, nobody takes over."""
        ...

    def release(self) -> None:
        """Gives the lead to whoever waits for it; idempotent."""
        ...


class Locks(Protocol):
    """Locks that end with the process that holds them."""

    def take(self) -> bool:
        """Takes all of them or none; whether we hold them. Those that are held are kept."""
        ...

    def hold(self) -> bool:
        """Whether all that were taken are still ours; says that we are alive."""
        ...

    def transaction(self) -> AbstractContextManager[Connection]:
        """A transaction that cannot commit once the locks are lost. Raises `StoreError`."""
        ...

    def drop(self) -> None:
        """Lets all of them go."""
        ...


def subjects_of(*, chain_id: int, role: str, oracle: Address, senders: Sequence[Address]) -> tuple[str, ...]:
    """What a daemon must lead in: its role for an oracle, and each key that it sends with."""
    return (f"{role}:{chain_id}:{oracle}", *(f"sender:{chain_id}:{sender}" for sender in senders))


def lead_by(database: Database, subjects: Sequence[str], *, holder: str, patience_s: float = PATIENCE_S) -> Leadership:
    """The leadership over all ``subjects`` together, as the database allows it."""
    return SqlLeadership(
        database=database,
        subjects=tuple(sorted(set(subjects))),
        holder=holder,
        locks=locks_of(database, sorted(set(subjects)), patience_s=patience_s),
        patience_s=patience_s,
    )


def locks_of(database: Database, names: Sequence[str], *, patience_s: float | None = None) -> Locks:
    """Locks by name, shared by everybody who uses the database.

    ``patience_s`` bounds the silence after which they may be lost; None = they last as long as the process.
    """
    if database.is_postgresql:
        return _SessionLocks(database, names, patience_s=patience_s)
    return _FileLocks(database, names)


class SqlLeadership:
    """Implements `Leadership` by locks, and an epoch per subject in the database."""

    def __init__(
        self,
        *,
        database: Database,
        subjects: tuple[str, ...],
        holder: str,
        locks: Locks,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._subjects = subjects
        self._holder = holder
        self._locks = locks
        self._patience_s = patience_s
        self._clock = clock
        self._epochs: dict[str, int] = {}
        self._heard_at = 0.0
        # Probes and the trace server may ask while the loop leads.
        self._mutex = RLock()

    @property
    def epoch(self) -> int:
        return max(self._epochs.values(), default=0)

    def acquire(self) -> bool:
        with self._mutex:
            self._heard_at = self._clock()
            if self._epochs and self._locks.hold():
                return True
            self._epochs = {}
            if not self._locks.take():
                return False
            try:
                self._epochs = self._count_up()
            except StoreError:
                self._locks.drop()
                raise
            return True

    def check(self, connection: Connection) -> None:
        epochs = dict(self._epochs)
        if not epochs:
            raise LeadershipLost(f"{self._holder} does not lead")
        self._say_alive()
        query = select(LEADERS.c.subject, LEADERS.c.epoch).where(LEADERS.c.subject.in_(self._subjects))
        # INVARIANT: a takeover writes these rows, so it waits for us here, or we see it: what is stored after this line
        # is stored by the leader.
        rows = connection.execute(query.order_by(LEADERS.c.subject).with_for_update(read=True))
        if {row.subject: row.epoch for row in rows} != epochs:
            self._epochs = {}
            raise LeadershipLost(f"another replica leads; {self._holder} sends nothing more")

    def release(self) -> None:
        with self._mutex:
            self._epochs = {}
            self._locks.drop()

    def _say_alive(self) -> None:
        """Keeps the locks through a long turn: whoever stores something is not stuck."""
        with self._mutex:
            if self._clock() - self._heard_at >= self._patience_s / 5:
                self._heard_at = self._clock()
                # Whether the lead is lost with them shows in the epochs, at the next line or the next time.
                self._locks.hold()

    def _count_up(self) -> dict[str, int]:
        epochs = {}
        with self._locks.transaction() as connection:
            for subject in self._subjects:
                row = {"holder": self._holder, "since": database_time()}
                mine = update(LEADERS).where(LEADERS.c.subject == subject)
                if not connection.execute(mine.values(epoch=LEADERS.c.epoch + 1, **row)).rowcount:
                    connection.execute(insert(LEADERS).values(subject=subject, epoch=1, **row))
                epoch = select(LEADERS.c.epoch).where(LEADERS.c.subject == subject)
                epochs[subject] = connection.execute(epoch).scalar_one()
        return epochs


class _SessionLocks:
    """PostgreSQL's advisory locks, on a connection that does nothing else."""

    def __init__(self, database: Database, names: Sequence[str], *, patience_s: float | None) -> None:
        self._engine = database.engine
        self._keys = [_key(name) for name in names]
        self._patience_s = patience_s
        self._session: Connection | None = None

    def take(self) -> bool:
        if self.hold():
            return True
        try:
            with translated():
                session = self._session = self._opened()
                # In the order of their names: two who want the same ones do not each get a part.
                if all(session.execute(select(func.pg_try_advisory_lock(key))).scalar() for key in self._keys):
                    self._limit_silence(session)
                    return True
        except (StoreError, ConfigurationError):
            self.drop()
            raise
        self.drop()
        return False

    def hold(self) -> bool:
        if self._session is None:
            return False
        try:
            held = self._session.execute(_HELD).scalar()
        except SQLAlchemyError:
            held = 0
        # The session may be over, and the locks with it; or another one than ours answers, through a pooler.
        if held != len(self._keys):
            self.drop()
        return self._session is not None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        if self._session is None:
            raise LeadershipLost("the session that held the locks is over")
        with translated():
            try:
                self._session.exec_driver_sql("BEGIN")
                yield self._session
                self._session.exec_driver_sql("COMMIT")
            except SQLAlchemyError:
                self.drop()
                raise

    def drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            # Nothing is lost with a session that cannot be closed: the server ends it.
            with suppress(SQLAlchemyError):
                session.close()

    def _opened(self) -> Connection:
        """In autocommit, so that it is never idle in a transaction; outside of the pool, as it lives on."""
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        session.detach()
        return session

    def _limit_silence(self, session: Connection) -> None:
        if self._patience_s is None:
            return
        limit = select(func.set_config("idle_session_timeout", str(round(self._patience_s * 1000)), False))
        try:
            session.execute(limit)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _UNKNOWN_PARAMETER:
                raise
            raise ConfigurationError("the watcher needs PostgreSQL 14 or newer") from error


class _FileLocks:
    """Locks on files beside an SQLite database; the operating system lets go of them when a process ends."""

    def __init__(self, database: Database, names: Sequence[str]) -> None:
        self._database = database
        file = database.engine.url.database
        # A database in memory is nobody else's.
        shared = file not in (None, "", ":memory:")
        self._paths = [Path(f"{file}.{_word(name)}.lock") for name in names] if shared else []
        self._handles: list[weakref.finalize[..., Any]] = []
        self._held = False

    def take(self) -> bool:
        if self._held:
            return True
        for path in self._paths:
            handle = _locked(path)
            if handle is None:
                self.drop()
                return False
            self._handles.append(weakref.finalize(self, os.close, handle))
        self._held = True
        return True

    def hold(self) -> bool:
        return self._held

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._database.transaction() as connection:
            yield connection

    def drop(self) -> None:
        handles, self._handles, self._held = self._handles, [], False
        for close in handles:
            close()


def _locked(path: Path) -> int | None:
    """A handle that holds a file's lock; None where another process does."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"the lock beside the database cannot be made: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _key(name: str) -> int:
    """64 bits with a sign, as PostgreSQL's locks have them."""
    return int.from_bytes(sha256(f"sworn:{name}".encode()).digest()[:8], "big", signed=True)


def _word(name: str) -> str:
    """A name as part of a file's name."""
    return name.partition(":")[0] + "-" + sha256(name.encode()).hexdigest()[:16]
