"""What the database forgets: what is over, in small batches, so that nobody waits for it.

Never forgotten are outputs by model and input (two of them convict for ever), parked jobs (a person decides), and the
newest nonces. An oath goes with its job, when its request can never be asked for again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import decode as abi_decode
from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, or_, select, tuple_

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
#: Rows that one transaction removes, and transactions in one go.
BATCH: Final = 500
BATCHES: Final = 40
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
    #: Transactions in one go; None = as many as it takes.
    batches: int | None = BATCHES

    def prune(self, *, now: int) -> dict[str, int]:
        """How many rows went, by table. ``now`` is the newest block's timestamp (unix seconds)."""
        removed = {
            JOBS.name: self._repeat(lambda connection: self._jobs(connection, now)),
            DEFENCES.name: self._repeat(self._defences),
            TRANSACTIONS.name: self._repeat(self._transactions),
            CLAIMS.name: self._repeat(self._claims),
            ASKED.name: self._asked(now),
        }
        return {name: count for name, count in removed.items() if count}

    def _repeat(self, once: Callable[[Connection], int]) -> int:
        total, turns = 0, 0
        while self.batches is None or turns < self.batches:
            with self.database.transaction() as connection:
                removed = once(connection)
            total, turns = total + removed, turns + 1
            if removed < self.batch:
                break
        return total

    def _jobs(self, connection: Connection, now: int) -> int:
        contested = (
            select(SIGNED_DIGESTS.c.request_id)
            .join(DEFENCES, DEFENCES.c.result_id == SIGNED_DIGESTS.c.digest)
            .where(DEFENCES.c.status.not_in(_ENDED_DEFENCES))
        )
        # SAFETY: it goes when the chain's clock and the database's both say so: a node that lies about the time, or a
        # clock that jumps, removes nothing.
        over = (
            JOBS.c.status.in_(_ENDED_JOBS),
            JOBS.c.deadline + JOBS.c.window_s < now - MAX_EXTENSION_S - self.keep_s,
            self._aged(JOBS),
            JOBS.c.request_id.not_in(contested),
        )
        ids = self._locked(connection, JOBS.c.request_id, over)
        # INVARIANT: an oath goes in the transaction in which its job goes, and not before.
        connection.execute(delete(SIGNED_DIGESTS).where(SIGNED_DIGESTS.c.request_id.in_(ids)))
        connection.execute(delete(JOBS).where(JOBS.c.request_id.in_(ids)))
        return len(ids)

    def _defences(self, connection: Connection) -> int:
        # INVARIANT: while the oath is there, so is what has been sworn to in its dispute.
        oath = exists().where(SIGNED_DIGESTS.c.digest == DEFENCES.c.result_id)
        over = (DEFENCES.c.status.in_(_ENDED_DEFENCES), self._aged(DEFENCES), ~oath)
        ids = self._locked(connection, DEFENCES.c.result_id, over)
        connection.execute(delete(DEMANDS).where(DEMANDS.c.result_id.in_(ids)))
        connection.execute(delete(DEFENCES).where(DEFENCES.c.result_id.in_(ids)))
        return len(ids)

    def _transactions(self, connection: Connection) -> int:
        highest = select(TRANSACTIONS.c.chain_id, TRANSACTIONS.c.sender, func.max(TRANSACTIONS.c.nonce))
        rows = connection.execute(highest.group_by(TRANSACTIONS.c.chain_id, TRANSACTIONS.c.sender)).all()
        removed = 0
        for chain_id, sender, nonce in rows:
            last = -1 if nonce is None else nonce - KEPT_NONCES
            passed = or_(TRANSACTIONS.c.nonce.is_(None), TRANSACTIONS.c.nonce <= last)
            of = (TRANSACTIONS.c.chain_id == chain_id, TRANSACTIONS.c.sender == sender)
            over = (*of, TRANSACTIONS.c.status.not_in(_LIVE), self._aged(TRANSACTIONS), passed)
            keys = self._locked(connection, TRANSACTIONS.c.key, over)
            # Its signed forms go with it.
            connection.execute(delete(TRANSACTIONS).where(TRANSACTIONS.c.key.in_(keys)))
            removed = max(removed, len(keys))
        return removed

    def _claims(self, connection: Connection) -> int:
        over = (CLAIMS.c.status.in_(_ENDED_CLAIMS), self._aged(CLAIMS))
        ids = self._locked(connection, CLAIMS.c.result_id, over)
        connection.execute(delete(CLAIMS).where(CLAIMS.c.result_id.in_(ids)))
        return len(ids)

    def _asked(self, now: int) -> int:
        """Requests that nobody can answer any more and that no claim is about, oldest first."""
        total, after = 0, (-1, b"")
        place = tuple_(ASKED.c.block_number, ASKED.c.request_id)
        claimed = exists().where(CLAIMS.c.request_id == ASKED.c.request_id)
        for _ in range(self.batches or 1 << 30):
            query = select(ASKED.c.block_number, ASKED.c.request_id, ASKED.c.request).where(place > after, ~claimed)
            with self.database.transaction() as connection:
                rows = connection.execute(query.order_by(*place.clauses).limit(self.batch)).all()
                over = [row.request_id for row in rows if _ends_at(row.request) < now - self.keep_s]
                connection.execute(delete(ASKED).where(ASKED.c.request_id.in_(over)))
            total += len(over)
            if len(rows) < self.batch:
                break
            after = (rows[-1].block_number, rows[-1].request_id)
        return total

    def _aged(self, table: Table) -> ColumnElement[bool]:
        return table.c.updated_at < database_time() - self.keep_s

    def _locked(self, connection: Connection, key: Any, over: tuple[Any, ...]) -> list[Any]:
        """The keys of some rows that are over; whoever works on a row right now keeps it."""
        query = select(key).where(*over).limit(self.batch).with_for_update(skip_locked=True)
        return list(connection.execute(query).scalars())


def _ends_at(encoded: bytes) -> int:
    """The last second in which a request can be answered or its answer be disputed."""
    (fields,) = abi_decode([REQUEST_ABI], encoded)
    request = request_from_abi(fields)
    return request.deadline + request.window_s + MAX_EXTENSION_S
