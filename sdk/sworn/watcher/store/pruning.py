"""What the database forgets: what is over, a few rows at a time, so that nobody waits for it.

Never forgotten are outputs by model and input (two of them convict for ever), parked jobs (a person decides), and the
newest nonces. An oath goes with its job, when its request can never be asked for again.

Tables are gone through from their oldest rows on, as far as there is something old: what a look costs follows from how
much is over, not from how much there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import decode as abi_decode
from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select, tuple_

from sworn.chain.transactions import LIVE
from sworn.codec.structs import REQUEST_ABI, request_from_abi
from sworn.watcher.challenger.claims import ClaimStatus
from sworn.watcher.defence.records import DefenceStatus
from sworn.watcher.jobs import JobStatus
from sworn.watcher.store.database import Database, database_time
from sworn.watcher.store.tables import ASKED, CLAIMS, DEFENCES, DEMANDS, JOBS, SIGNED_DIGESTS, TRANSACTIONS

#: Longer than any request's deadline can be extended by disputes over earlier results.
MAX_EXTENSION_S: Final = 60 * 86_400
#: INVARIANT: no reorganisation goes back so far: what is removed cannot become open again.
MIN_KEEP_S: Final = 7 * 86_400
#: Seconds between two looks at the tables.
PRUNE_INTERVAL_S: Final = 3_600.0
#: Rows that one transaction looks at.
BATCH: Final = 500
#: Transactions per sender that stay, whatever their age: the next nonce follows from them.
KEPT_NONCES: Final = 256

_ENDED_JOBS: Final = tuple(each.value for each in JobStatus if each.terminal and each is not JobStatus.PARKED)
_ENDED_DEFENCES: Final = tuple(each.value for each in DefenceStatus if each.terminal)
_ENDED_CLAIMS: Final = tuple(each.value for each in ClaimStatus if each.terminal and each is not ClaimStatus.PARKED)
_LIVE: Final = tuple(status.value for status in LIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Removes rows ``keep_s`` after nothing can come of them any more. Raises `StoreError`."""

    database: Database
    keep_s: int
    batch: int = BATCH

    def prune(self, *, now: int) -> dict[str, int]:
        """How many rows went, by table. ``now`` is the newest block's timestamp (unix seconds)."""
        removed: Counter[str] = Counter()
        for name, count in self.steps(now=now):
            removed[name] += count
        return {name: count for name, count in removed.items() if count}

    def steps(self, *, now: int) -> Iterator[tuple[str, int]]:
        """The same, a small transaction at a time: the rows that it removed, and their table.

        Between two of them nothing is held; an iterator may be left at any point, and be gone on with later.
        """
        tables = {
            JOBS.name: self._jobs(now),
            DEFENCES.name: self._defences(),
            TRANSACTIONS.name: self._transactions(),
            CLAIMS.name: self._claims(),
            ASKED.name: self._asked(now),
        }
        for name, counts in tables.items():
            for count in counts:
                yield name, count

    def _jobs(self, now: int) -> Iterator[int]:
        contested = (
            select(SIGNED_DIGESTS.c.request_id)
            .join(DEFENCES, DEFENCES.c.result_id == SIGNED_DIGESTS.c.digest)
            .where(DEFENCES.c.status.not_in(_ENDED_DEFENCES))
        )
        past = JOBS.c.deadline + JOBS.c.window_s < now - MAX_EXTENSION_S - self.keep_s

        def remove(connection: Connection, ids: list[bytes]) -> int:
            # SAFETY: it goes when the chain's clock and the database's both say so: a node that lies about the time, or
            # a clock that jumps, removes nothing.
            over = (past, JOBS.c.status.in_(_ENDED_JOBS), self._aged(JOBS), JOBS.c.request_id.not_in(contested))
            gone = _locked(connection, JOBS.c.request_id, ids, over)
            # INVARIANT: an oath goes in the transaction in which its job goes, and not before.
            connection.execute(delete(SIGNED_DIGESTS).where(SIGNED_DIGESTS.c.request_id.in_(gone)))
            connection.execute(delete(JOBS).where(JOBS.c.request_id.in_(gone)))
            return len(gone)

        # Deadlines follow blocks, but for the longest life of a request: what is passed over now goes by then.
        return self._walk(JOBS, JOBS.c.request_id, past, remove)

    def _defences(self) -> Iterator[int]:
        # INVARIANT: while the oath is there, so is what has been sworn to in its dispute.
        oath = exists().where(SIGNED_DIGESTS.c.digest == DEFENCES.c.result_id)

        def remove(connection: Connection, ids: list[bytes]) -> int:
            over = (DEFENCES.c.status.in_(_ENDED_DEFENCES), self._aged(DEFENCES), ~oath)
            gone = _locked(connection, DEFENCES.c.result_id, ids, over)
            connection.execute(delete(DEMANDS).where(DEMANDS.c.result_id.in_(gone)))
            connection.execute(delete(DEFENCES).where(DEFENCES.c.result_id.in_(gone)))
            return len(gone)

        return self._walk(DEFENCES, DEFENCES.c.result_id, self._aged(DEFENCES), remove)

    def _claims(self) -> Iterator[int]:
        def remove(connection: Connection, ids: list[bytes]) -> int:
            over = (CLAIMS.c.status.in_(_ENDED_CLAIMS), self._aged(CLAIMS))
            gone = _locked(connection, CLAIMS.c.result_id, ids, over)
            connection.execute(delete(CLAIMS).where(CLAIMS.c.result_id.in_(gone)))
            return len(gone)

        return self._walk(CLAIMS, CLAIMS.c.result_id, self._aged(CLAIMS), remove)

    def _walk(
        self, table: Table, key: Any, old: ColumnElement[bool], remove: Callable[[Connection, list[bytes]], int]
    ) -> Iterator[int]:
        """Has batches removed from the oldest block on, up to one that has nothing old in it; how many went, each."""
        place = tuple_(table.c.block_number, key)
        after, rows = (-1, b""), self.batch
        query = select(table.c.block_number, key, old.label("old")).order_by(*place.clauses).limit(self.batch)
        while rows == self.batch:
            with self.database.transaction() as connection:
                found = connection.execute(query.where(place > after)).all()
                ids = [row[1] for row in found if row.old]
                removed = remove(connection, ids) if ids else 0
            yield removed
            if not ids:
                return
            after, rows = (found[-1][0], found[-1][1]), len(found)

    def _transactions(self) -> Iterator[int]:
        sender = self._sender_after(-1, "")
        while sender is not None:
            yield from self._of_sender(*sender)
            sender = self._sender_after(*sender)

    def _sender_after(self, chain_id: int, sender: str) -> tuple[int, str] | None:
        """The next one by the index of nonces; grouping would read all of it."""
        place = tuple_(TRANSACTIONS.c.chain_id, TRANSACTIONS.c.sender)
        query = select(*place.clauses).where(place > (chain_id, sender)).order_by(*place.clauses).limit(1)
        with self.database.transaction() as connection:
            row = connection.execute(query).first()
            return None if row is None else (row.chain_id, row.sender)

    def _of_sender(self, chain_id: int, sender: str) -> Iterator[int]:
        nonce, key = TRANSACTIONS.c.nonce, TRANSACTIONS.c.key
        of = (TRANSACTIONS.c.chain_id == chain_id, TRANSACTIONS.c.sender == sender)
        over = (TRANSACTIONS.c.status.not_in(_LIVE), self._aged(TRANSACTIONS))
        query = select(nonce, key, self._aged(TRANSACTIONS).label("old")).where(*of).order_by(nonce).limit(self.batch)
        after, rows = -1, self.batch
        while rows == self.batch:
            with self.database.transaction() as connection:
                newest = connection.execute(select(func.max(nonce)).where(*of)).scalar() or 0
                found = connection.execute(query.where(nonce > after, nonce <= newest - KEPT_NONCES)).all()
                ids = [row.key for row in found if row.old]
                removed = _without(connection, ids, over)
            yield removed
            if not ids:
                break
            after, rows = found[-1].nonce, len(found)
        removed = self.batch
        while removed == self.batch:
            # Those without a nonce never left this machine; they are few.
            with self.database.transaction() as connection:
                some = select(key).where(*of, nonce.is_(None), *over).limit(self.batch)
                removed = _without(connection, list(connection.execute(some).scalars()), over)
            yield removed

    def _asked(self, now: int) -> Iterator[int]:
        """Requests that nobody can answer any more and that no claim is about, oldest first."""
        place = tuple_(ASKED.c.block_number, ASKED.c.request_id)
        claimed = exists().where(CLAIMS.c.request_id == ASKED.c.request_id)
        after, count = (-1, b""), self.batch
        query = select(*place.clauses, ASKED.c.request, claimed.label("claimed")).order_by(*place.clauses)
        while count == self.batch:
            with self.database.transaction() as connection:
                rows = connection.execute(query.where(place > after).limit(self.batch)).all()
                past = [row for row in rows if _ends_at(row.request) < now - self.keep_s]
                over = [row.request_id for row in past if not row.claimed]
                connection.execute(delete(ASKED).where(ASKED.c.request_id.in_(over)))
            yield len(over)
            if not past:
                return
            after, count = (rows[-1].block_number, rows[-1].request_id), len(rows)

    def _aged(self, table: Table) -> ColumnElement[bool]:
        return table.c.updated_at < database_time() - self.keep_s


def _locked(connection: Connection, key: Any, ids: list[bytes], over: tuple[ColumnElement[bool], ...]) -> list[bytes]:
    """Those of some rows that are over; whoever works on a row right now keeps it."""
    query = select(key).where(key.in_(ids), *over).with_for_update(skip_locked=True)
    return list(connection.execute(query).scalars())


def _without(connection: Connection, keys: list[str], over: tuple[ColumnElement[bool], ...]) -> int:
    """Removes those of some transactions that are over, with their signed forms; how many."""
    query = select(TRANSACTIONS.c.key).where(TRANSACTIONS.c.key.in_(keys), *over).with_for_update(skip_locked=True)
    gone = list(connection.execute(query).scalars()) if keys else []
    connection.execute(delete(TRANSACTIONS).where(TRANSACTIONS.c.key.in_(gone)))
    return len(gone)


def _ends_at(encoded: bytes) -> int:
    """The last second in which a request can be answered or its answer be disputed."""
    (fields,) = abi_decode([REQUEST_ABI], encoded)
    request = request_from_abi(fields)
    return request.deadline + request.window_s + MAX_EXTENSION_S
