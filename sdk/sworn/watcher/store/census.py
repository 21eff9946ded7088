"""Counts what the database holds, without ever holding up who writes to it; and whether it adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, create_engine, event, func, or_, select, text, update
from sqlalchemy.pool import QueuePool

from sworn.chain.transactions import TransactionStatus
from sworn.dispute.strategy import Action
from sworn.types import Address
from sworn.watcher.challenger.claims import ClaimStatus
from sworn.watcher.defence.records import DefenceStatus
from sworn.watcher.jobs import JobStatus
from sworn.watcher.store.database import BUSY_TIMEOUT_MS, Database
from sworn.watcher.store.tables import (
    ATTEMPTS,
    BLOCKS,
    CLAIMS,
    DEFENCES,
    GAS_PAID,
    JOBS,
    METADATA,
    ORIGIN,
    SIGNED_DIGESTS,
    STATEMENTS,
    TRANSACTIONS,
)

#: Jobs whose answer is owed: sworn, or about to be, and not on chain.
_OWED: Final = tuple(status.value for status in (JobStatus.ANSWERED, JobStatus.PROPOSING, JobStatus.FAILING))
_UNANSWERED: Final = (JobStatus.SEEN.value, *_OWED)
#: Jobs whose result is on chain and not final.
_STANDING: Final = (JobStatus.PROPOSED.value, JobStatus.FINALIZING.value)
#: Rows of PostgreSQL's that are counted one by one where there is an estimate of more.
_COUNTED: Final = 10_000
#: Jobs that a result of ours was journalled for.
_SWORN: Final = tuple(
    status.value
    for status in (
        JobStatus.ANSWERED,
        JobStatus.PROPOSING,
        JobStatus.PROPOSED,
        JobStatus.DISPUTED,
        JobStatus.FINALIZING,
        JobStatus.FINALIZED,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """Jobs that are late, by what they wait for."""

    #: Nobody has taken them up, although nothing is in the way.
    untouched: int
    #: Sworn to, not on chain, and late or near their deadline.
    unsent: int
    #: On chain, their window is over, and they are not final.
    unfinished: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.untouched + self.unsent + self.unfinished


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Transactions of ours that are signed and not mined."""

    count: int
    #: When the oldest of them was signed first (unix seconds); None when there is none.
    since: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contests:
    """Disputes that a challenger has entered, by what has become of them."""

    open: int
    won: int
    lost: int


def read_only(database: Database) -> Database:
    """The same database, for reading beside its writers: they do not wait for each other.

    Only SQLite needs connections of its own for that; one in memory has nobody else to wait for.
    """
    url = database.engine.url
    if database.is_postgresql or url.database in (None, "", ":memory:"):
        return Database(engine=database.engine)
    engine = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=1, pool_pre_ping=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_deferred)
    return Database(engine=engine)


def release(reading: Database, of: Database) -> None:
    """Closes what `read_only` has opened, if anything."""
    if reading.engine is not of.engine:
        reading.close()


def _prepare_sqlite(connection: Any, record: object) -> None:
    # As for the database that is written to, but a transaction that only reads takes no lock that a writer wants.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def require_writable(database: Database) -> None:
    """Writes a row as it is, and waits until that is durable. Raises `StoreError`: a full disk, a lost connection."""
    # Without a fence: a replica that waits for its turn must be able to write as well.
    with Database(engine=database.engine).transaction() as connection:
        connection.execute(update(ORIGIN).values(oracle=ORIGIN.c.oracle))


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Counts. Every method is one transaction that only reads. All raise `StoreError`."""

    database: Database

    def jobs(self) -> dict[JobStatus, int]:
        """How many jobs there are of each status, zeros included."""
        counts = self._counts(JOBS)
        return {status: counts.get(status.value, 0) for status in JobStatus}

    def defences(self) -> dict[DefenceStatus, int]:
        """The same of disputes over results of ours."""
        counts = self._counts(DEFENCES)
        return {status: counts.get(status.value, 0) for status in DefenceStatus}

    def claims(self) -> dict[ClaimStatus, int]:
        """The same of results that a challenger looks at."""
        counts = self._counts(CLAIMS)
        return {status: counts.get(status.value, 0) for status in ClaimStatus}

    def transactions(self) -> dict[TransactionStatus, int]:
        """The same of transactions."""
        counts = self._counts(TRANSACTIONS)
        return {status: counts.get(status.value, 0) for status in TransactionStatus}

    def overdue(self, *, now: float, chain_now: float, after_s: float, min_time_left_s: float) -> Overdue:
        """Jobs that are late: by more than ``after_s``, or with less than ``min_time_left_s`` to their deadline.

        ``now`` is the wall clock's, ``chain_now`` the newest block's time, in unix seconds. A job that was put off for
        a reason, a price that is too low for example, is not late.
        """
        old = JOBS.c.created_at < now - after_s
        untouched = and_(JOBS.c.status == JobStatus.SEEN.value, old, JOBS.c.retry_at <= now - after_s)
        near = JOBS.c.deadline < chain_now + min_time_left_s
        unsent = and_(JOBS.c.status.in_(_OWED), or_(near, old))
        unfinished = _unfinished_since(chain_now - after_s, chain_now=chain_now)
        open_ones = (*_UNANSWERED, *_STANDING)
        counted = [func.sum(case((chosen, 1), else_=0)) for chosen in (untouched, unsent, unfinished)]
        with self.database.transaction() as connection:
            row = connection.execute(select(*counted).where(JOBS.c.status.in_(open_ones))).one()
            return Overdue(untouched=int(row[0] or 0), unsent=int(row[1] or 0), unfinished=int(row[2] or 0))

    def next_deadline(self) -> int | None:
        """The earliest deadline of a request that a sworn answer of ours is owed for (unix seconds)."""
        with self.database.transaction() as connection:
            return connection.execute(select(func.min(JOBS.c.deadline)).where(JOBS.c.status.in_(_OWED))).scalar()

    def pending(self) -> Pending:
        """Transactions that wait to be mined."""
        first = select(func.count(), func.min(ATTEMPTS.c.signed_at)).join(
            ATTEMPTS, and_(ATTEMPTS.c.key == TRANSACTIONS.c.key, ATTEMPTS.c.ordinal == 0)
        )
        query = first.select_from(TRANSACTIONS).where(TRANSACTIONS.c.status == TransactionStatus.SIGNED.value)
        with self.database.transaction() as connection:
            row = connection.execute(query).one()
            return Pending(count=int(row[0]), since=row[1])

    def gas_paid(self) -> dict[tuple[Address, str], int]:
        """What transactions have cost (wei), by sender and kind, since there is this database."""
        with self.database.transaction() as connection:
            return {(Address(row.sender), row.kind): row.paid_wei for row in connection.execute(select(GAS_PAID))}

    def next_nonce(self, sender: Address) -> int | None:
        """One more than the highest nonce of a sender's transactions; None when there is none."""
        # Named so that the index of nonces serves: a database belongs to one chain.
        mine = (TRANSACTIONS.c.chain_id == select(ORIGIN.c.chain_id).scalar_subquery(), TRANSACTIONS.c.sender == sender)
        with self.database.transaction() as connection:
            highest = connection.execute(select(func.max(TRANSACTIONS.c.nonce)).where(*mine)).scalar()
            return None if highest is None else int(highest) + 1

    def waiting_claims(self, *, before: float) -> int:
        """Results that were seen before a time (unix seconds), are unchecked, and were not put off."""
        late = (CLAIMS.c.status == ClaimStatus.SEEN.value, CLAIMS.c.created_at < before, CLAIMS.c.retry_at <= before)
        with self.database.transaction() as connection:
            return int(connection.execute(select(func.count()).select_from(CLAIMS).where(*late)).scalar() or 0)

    def cursor(self, stream: str) -> int | None:
        """The last block that was followed up to."""
        with self.database.transaction() as connection:
            return connection.execute(select(func.max(BLOCKS.c.number)).where(BLOCKS.c.stream == stream)).scalar()

    def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        with self.database.transaction() as connection:
            counts = {
                table.name: int(connection.execute(select(func.count()).select_from(table)).scalar() or 0)
                for table in METADATA.sorted_tables
                if table is not STATEMENTS
            }
            return counts | {STATEMENTS.name: self._statements(connection)}

    def size_bytes(self) -> int:
        """How much room the database takes."""
        pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        with self.database.transaction() as connection:
            query = text("SELECT pg_database_size(current_database())" if self.database.is_postgresql else pages)
            return int(connection.execute(query).scalar() or 0)

    def exposure_wei(self) -> int:
        """What a challenger has at risk."""
        query = select(CLAIMS.c.exposure_wei).where(CLAIMS.c.status == ClaimStatus.FALSE.value)
        with self.database.transaction() as connection:
            return sum(connection.execute(query).scalars())

    def contests(self) -> Contests:
        """A challenger's disputes: it has won those whose share it could claim."""
        entered = self._subjects((Action.OPEN, Action.JOIN))
        won = self._subjects((Action.CLAIM,))
        query = select(CLAIMS.c.result_id, CLAIMS.c.status).where(
            CLAIMS.c.status.in_((ClaimStatus.FALSE.value, ClaimStatus.SETTLED.value))
        )
        with self.database.transaction() as connection:
            ours = [(row.result_id.hex(), row.status) for row in connection.execute(query)]
        settled = {result for result, status in ours if status == ClaimStatus.SETTLED.value and result in entered}
        return Contests(
            open=sum(status == ClaimStatus.FALSE.value and result in entered for result, status in ours),
            won=len(settled & won),
            lost=len(settled - won),
        )

    def discrepancies(self, sender: Address) -> list[str]:
        """What does not add up in these books; empty when they do.

        Every answer has one oath, every nonce of ours one transaction, and none is left out.
        """
        with self.database.transaction() as connection:
            return [*_unsworn(connection), *_nonces(connection, sender), *_unfinished(connection)]

    def _statements(self, connection: Connection) -> int:
        """How many there are; it grows for ever, and is not read whole for that."""
        if not self.database.is_postgresql:
            # Nothing is ever removed from it.
            return int(connection.execute(text("SELECT max(rowid) FROM statements")).scalar() or 0)
        some = select(STATEMENTS.c.output_root).limit(_COUNTED).subquery()
        count = int(connection.execute(select(func.count()).select_from(some)).scalar() or 0)
        if count < _COUNTED:
            return count
        # What autovacuum has estimated; -1 before its first time.
        estimate = connection.execute(
            text("SELECT reltuples FROM pg_class WHERE oid = 'statements'::regclass")
        ).scalar()
        return max(count, int(estimate or 0))

    def _subjects(self, actions: Sequence[Action]) -> set[str]:
        """Results, as hex, for which a transaction of one of these kinds has succeeded."""
        kinds = or_(*(TRANSACTIONS.c.key.like(f"{action.value}:%") for action in actions))
        done = TRANSACTIONS.c.succeeded == 1
        with self.database.transaction() as connection:
            keys = connection.execute(select(TRANSACTIONS.c.key).where(kinds, done)).scalars()
            return {key.split(":")[1] for key in keys}

    def _counts(self, table: Any) -> dict[str, int]:
        with self.database.transaction() as connection:
            rows = connection.execute(select(table.c.status, func.count()).group_by(table.c.status))
            return {status: int(count) for status, count in rows}


def _unfinished_since(before: float, *, chain_now: float) -> ColumnElement[bool]:
    """Whether a job's window closed before a time by the chain's clock, and the chain has not ended it.

    A job that is waited for until its end is deep has ended. When a window closes is known only while that is waited
    for: afterwards a job is due at every other moment, and what is certain is when the last possible window closed.
    """
    missed = and_(JOBS.c.due_at > 0, JOBS.c.due_at < before)
    # That of a proposal at the very deadline. A later one, in time won by a refuted result, has a window that is waited
    # for when this one closes. No sum, which might leave the integers of a database.
    closed = and_(
        JOBS.c.deadline < before - JOBS.c.window_s,
        or_(JOBS.c.status == JobStatus.FINALIZING.value, JOBS.c.due_at <= chain_now),
    )
    return and_(JOBS.c.status.in_(_STANDING), JOBS.c.settled_block.is_(None), or_(missed, closed))


def _unsworn(connection: Connection) -> list[str]:
    sworn = select(SIGNED_DIGESTS.c.request_id).where(SIGNED_DIGESTS.c.request_id == JOBS.c.request_id).exists()
    query = select(func.count()).select_from(JOBS).where(JOBS.c.status.in_(_SWORN), ~sworn)
    count = connection.execute(query).scalar() or 0
    return [f"{count} answered job(s) without a journalled result"] if count else []


def _nonces(connection: Connection, sender: Address) -> list[str]:
    nonce = TRANSACTIONS.c.nonce
    query = select(func.count(), func.min(nonce), func.max(nonce)).where(
        TRANSACTIONS.c.sender == sender, nonce.is_not(None)
    )
    count, lowest, highest = connection.execute(query).one()
    # A foreign transaction with our key leaves a gap here that is none on chain; it is worth a look all the same.
    missing = 0 if not count else highest - lowest + 1 - count
    return [f"{missing} nonce(s) between {lowest} and {highest} belong to no transaction"] if missing else []


def _unfinished(connection: Connection) -> list[str]:
    ended = (TransactionStatus.CONFIRMED.value, TransactionStatus.MINED.value)
    unmined = or_(TRANSACTIONS.c.block_number.is_(None), TRANSACTIONS.c.succeeded.is_(None))
    count = connection.execute(
        select(func.count()).select_from(TRANSACTIONS).where(TRANSACTIONS.c.status.in_(ended), unmined)
    ).scalar()
    return [f"{count} mined transaction(s) without a receipt"] if count else []
