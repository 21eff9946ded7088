"""`TransactionStore` in the watcher's database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update

from sworn.chain.transactions import ENDED, LIVE, Intent, SignedAttempt, TransactionRecord, TransactionStatus
from sworn.types import Address
from sworn.watcher.store.database import Database, insert_once
from sworn.watcher.store.tables import ATTEMPTS, GAS_PAID, TRANSACTIONS

_LIVE = tuple(sorted(status.value for status in LIVE))
_ENDED = tuple(sorted(status.value for status in ENDED))
#: Most keys of one query: databases limit its parameters.
_CHUNK: Final = 500


def _unfenced(connection: Connection) -> None:
    """Nobody else writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlTransactionStore:
    """Implements `TransactionStore`. Every method is one transaction and raises `StoreError`.

    ``fence`` is called before every write, in its transaction, and raises `LeadershipLost` to keep it from happening.
    """

    database: Database
    chain_id: int
    clock: Callable[[], float] = time.time
    fence: Callable[[Connection], None] = _unfenced

    def get(self, key: str) -> TransactionRecord | None:
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[str]) -> dict[str, TransactionRecord]:
        if not keys:
            return {}
        with self.database.transaction() as connection:
            rows = [
                row
                for chunk in _chunks(keys)
                for row in connection.execute(select(TRANSACTIONS).where(TRANSACTIONS.c.key.in_(chunk))).mappings()
            ]
            return {record.key: record for record in _records(connection, rows)}

    def put(self, record: TransactionRecord) -> None:
        self.put_many([record])

    def put_many(self, records: Sequence[TransactionRecord]) -> None:
        if not records:
            return
        with self.database.transaction() as connection:
            self.fence(connection)
            self._put_rows(connection, records)
            _put_attempts(connection, records)

    def live(self, sender: Address) -> list[TransactionRecord]:
        with self.database.transaction() as connection:
            # Neither the chain nor the order is left to the database: with either it may walk along the index of all
            # nonces instead of that of statuses, through millions of rows that ended.
            query = select(TRANSACTIONS).where(TRANSACTIONS.c.sender == sender, TRANSACTIONS.c.status.in_(_LIVE))
            rows = [row for row in connection.execute(query).mappings() if row["chain_id"] == self.chain_id]
            return _records(connection, sorted(rows, key=lambda row: row["nonce"] or 0))

    def in_flight(self, sender: Address) -> int:
        signed = TransactionStatus.SIGNED.value
        query = select(func.count()).where(
            TRANSACTIONS.c.sender == sender, TRANSACTIONS.c.chain_id == self.chain_id, TRANSACTIONS.c.status == signed
        )
        with self.database.transaction() as connection:
            return int(connection.execute(query).scalar_one())

    def ended_from(self, sender: Address, nonce: int) -> list[TransactionRecord]:
        with self.database.transaction() as connection:
            query = self._of(sender).where(TRANSACTIONS.c.status.in_(_ENDED), TRANSACTIONS.c.nonce >= nonce)
            return _records(connection, connection.execute(query.order_by(TRANSACTIONS.c.nonce)).mappings().all())

    def next_nonce(self, sender: Address) -> int | None:
        query = select(func.max(TRANSACTIONS.c.nonce)).where(
            TRANSACTIONS.c.sender == sender, TRANSACTIONS.c.chain_id == self.chain_id
        )
        with self.database.transaction() as connection:
            highest = connection.execute(query).scalar()
            return None if highest is None else int(highest) + 1

    def _of(self, sender: Address) -> Select[Any]:
        return select(TRANSACTIONS).where(TRANSACTIONS.c.sender == sender, TRANSACTIONS.c.chain_id == self.chain_id)

    def _put_rows(self, connection: Connection, records: Sequence[TransactionRecord]) -> None:
        known: dict[str, tuple[int | None, int | None]] = {}
        columns_known = (TRANSACTIONS.c.key, TRANSACTIONS.c.nonce, TRANSACTIONS.c.cost_wei)
        for chunk in _chunks([record.key for record in records]):
            for row in connection.execute(select(*columns_known).where(TRANSACTIONS.c.key.in_(chunk))):
                known[row.key] = (row.nonce, row.cost_wei)
        _add_costs(connection, records, known)
        rows = [self._values(record) for record in records]
        changed = [{**row, "changed_key": row["key"]} for row in rows if row["key"] in known]
        # A nonce may pass from one record to another: it is let go before it is taken.
        for group in (
            [row for row in changed if row["nonce"] is None],
            [row for row in changed if row["nonce"] is not None],
        ):
            if group:
                columns: dict[str, Any] = {
                    name: bindparam(name) for name in group[0] if name not in ("key", "changed_key")
                }
                connection.execute(
                    update(TRANSACTIONS).where(TRANSACTIONS.c.key == bindparam("changed_key")).values(columns),
                    [{name: value for name, value in row.items() if name != "key"} for row in group],
                )
        new = [row for row in rows if row["key"] not in known]
        if new:
            connection.execute(insert(TRANSACTIONS), new)

    def _values(self, record: TransactionRecord) -> dict[str, Any]:
        intent = record.intent
        return {
            "key": record.key,
            "chain_id": self.chain_id,
            "sender": record.sender,
            "target": intent.to,
            "data": intent.data,
            "value_wei": intent.value_wei,
            "gas_cap": intent.gas_cap,
            "urgent": int(intent.urgent),
            "margin_percent": intent.margin_percent,
            "deadline": intent.deadline,
            "cost_wei": record.cost_wei,
            "status": record.status.value,
            "nonce": record.nonce,
            "gas": record.gas,
            "transaction_hash": record.transaction_hash,
            "block_number": record.block_number,
            "succeeded": None if record.succeeded is None else int(record.succeeded),
            "note": record.note,
            "updated_at": self.clock(),
        }


def _add_costs(
    connection: Connection, records: Sequence[TransactionRecord], known: Mapping[str, tuple[int | None, int | None]]
) -> None:
    """Brings the totals to what these records have cost."""
    changes: Counter[tuple[str, str]] = Counter()
    for record in records:
        nonce, counted_wei = known.get(record.key, (None, None))
        # A key that starts anew, with another nonce, gives nothing back: what it had mined before was paid. The same
        # nonce without a cost left its block.
        before_wei = (counted_wei or 0) if nonce == record.nonce else 0
        changes[record.sender, record.intent.kind] += (record.cost_wei or 0) - before_wei
    for (sender, kind), change_wei in sorted(changes.items()):
        if not change_wei:
            continue
        mine = (GAS_PAID.c.sender == sender, GAS_PAID.c.kind == kind)
        insert_once(connection, GAS_PAID, {"sender": sender, "kind": kind, "paid_wei": 0})
        paid_wei = connection.execute(select(GAS_PAID.c.paid_wei).where(*mine).with_for_update()).scalar_one()
        connection.execute(update(GAS_PAID).where(*mine).values(paid_wei=paid_wei + change_wei))


def _put_attempts(connection: Connection, records: Sequence[TransactionRecord]) -> None:
    """Adds signed forms; those of a key that started anew replace the old ones."""
    stored: dict[bytes, str] = {}
    for chunk in _chunks([record.key for record in records]):
        query = select(ATTEMPTS.c.hash, ATTEMPTS.c.key).where(ATTEMPTS.c.key.in_(chunk))
        stored |= {bytes(row.hash): row.key for row in connection.execute(query)}
    rows = [row for record in records for row in _attempt_rows(record)]
    kept = {row["hash"] for row in rows}
    for stale in _chunks([hash_ for hash_ in stored if hash_ not in kept]):
        connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.hash.in_(stale)))
    new = [row for row in rows if row["hash"] not in stored]
    if new:
        connection.execute(insert(ATTEMPTS), new)


def _attempt_rows(record: TransactionRecord) -> list[dict[str, Any]]:
    return [
        {
            "hash": attempt.hash,
            "key": record.key,
            "ordinal": ordinal,
            "raw": attempt.raw,
            "max_fee_wei": attempt.max_fee_wei,
            "tip_wei": attempt.tip_wei,
            "signed_at": attempt.signed_at,
            "cancels": int(attempt.cancels),
        }
        for ordinal, attempt in enumerate(record.attempts)
    ]


def _records(connection: Connection, rows: Sequence[Mapping[Any, Any]]) -> list[TransactionRecord]:
    attempts: dict[str, list[SignedAttempt]] = {}
    for chunk in _chunks([row["key"] for row in rows]):
        query = select(ATTEMPTS).where(ATTEMPTS.c.key.in_(chunk)).order_by(ATTEMPTS.c.key, ATTEMPTS.c.ordinal)
        for item in connection.execute(query):
            attempts.setdefault(item.key, []).append(
                SignedAttempt(
                    hash=item.hash,
                    raw=item.raw,
                    max_fee_wei=item.max_fee_wei,
                    tip_wei=item.tip_wei,
                    signed_at=item.signed_at,
                    cancels=bool(item.cancels),
                )
            )
    return [_record(row, tuple(attempts.get(row["key"], ()))) for row in rows]


def _record(row: Mapping[Any, Any], attempts: tuple[SignedAttempt, ...]) -> TransactionRecord:
    return TransactionRecord(
        intent=Intent(
            key=row["key"],
            to=Address(row["target"]),
            data=row["data"],
            value_wei=row["value_wei"],
            gas_cap=row["gas_cap"],
            urgent=bool(row["urgent"]),
            margin_percent=row["margin_percent"],
            deadline=row["deadline"],
        ),
        sender=Address(row["sender"]),
        status=TransactionStatus(row["status"]),
        nonce=row["nonce"],
        gas=row["gas"],
        attempts=attempts,
        transaction_hash=row["transaction_hash"],
        block_number=row["block_number"],
        succeeded=None if row["succeeded"] is None else bool(row["succeeded"]),
        cost_wei=row["cost_wei"],
        note=row["note"],
    )


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
