"""`TransactionStore` in the watcher's database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from sworn.chain.transactions import LIVE, Intent, SignedAttempt, TransactionRecord, TransactionStatus
from sworn.types import Address
from sworn.watcher.store.database import Database
from sworn.watcher.store.tables import ATTEMPTS, TRANSACTIONS

_LIVE = tuple(status.value for status in LIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlTransactionStore:
    """Implements `TransactionStore`. Every method is one transaction and raises `StoreError`."""

    database: Database
    chain_id: int
    clock: Callable[[], float] = time.time

    def get(self, key: str) -> TransactionRecord | None:
        with self.database.transaction() as connection:
            row = connection.execute(select(TRANSACTIONS).where(TRANSACTIONS.c.key == key)).mappings().first()
            return None if row is None else _record(connection, row)

    def put(self, record: TransactionRecord) -> None:
        with self.database.transaction() as connection:
            values = self._values(record)
            known = connection.execute(update(TRANSACTIONS).where(TRANSACTIONS.c.key == record.key).values(values))
            if known.rowcount == 0:
                connection.execute(insert(TRANSACTIONS).values(values))
            connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.key == record.key))
            if record.attempts:
                connection.execute(insert(ATTEMPTS), _attempt_rows(record))

    def live(self, sender: Address) -> list[TransactionRecord]:
        with self.database.transaction() as connection:
            query = self._of(sender).where(TRANSACTIONS.c.status.in_(_LIVE))
            return _records(connection, query.order_by(TRANSACTIONS.c.nonce))

    def confirmed_from(self, sender: Address, nonce: int) -> list[TransactionRecord]:
        with self.database.transaction() as connection:
            query = self._of(sender).where(
                TRANSACTIONS.c.status == TransactionStatus.CONFIRMED.value, TRANSACTIONS.c.nonce >= nonce
            )
            return _records(connection, query.order_by(TRANSACTIONS.c.nonce))

    def next_nonce(self, sender: Address) -> int | None:
        query = select(func.max(TRANSACTIONS.c.nonce)).where(
            TRANSACTIONS.c.sender == sender, TRANSACTIONS.c.chain_id == self.chain_id
        )
        with self.database.transaction() as connection:
            highest = connection.execute(query).scalar()
            return None if highest is None else int(highest) + 1

    def _of(self, sender: Address) -> Any:
        return select(TRANSACTIONS).where(TRANSACTIONS.c.sender == sender, TRANSACTIONS.c.chain_id == self.chain_id)

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
            "status": record.status.value,
            "nonce": record.nonce,
            "gas": record.gas,
            "transaction_hash": record.transaction_hash,
            "block_number": record.block_number,
            "succeeded": None if record.succeeded is None else int(record.succeeded),
            "note": record.note,
            "updated_at": self.clock(),
        }


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
        }
        for ordinal, attempt in enumerate(record.attempts)
    ]


def _records(connection: Connection, query: Any) -> list[TransactionRecord]:
    rows: Iterable[Any] = connection.execute(query).mappings().all()
    return [_record(connection, row) for row in rows]


def _record(connection: Connection, row: Mapping[Any, Any]) -> TransactionRecord:
    attempts = connection.execute(select(ATTEMPTS).where(ATTEMPTS.c.key == row["key"]).order_by(ATTEMPTS.c.ordinal))
    return TransactionRecord(
        intent=Intent(
            key=row["key"],
            to=Address(row["target"]),
            data=row["data"],
            value_wei=row["value_wei"],
            gas_cap=row["gas_cap"],
            urgent=bool(row["urgent"]),
        ),
        sender=Address(row["sender"]),
        status=TransactionStatus(row["status"]),
        nonce=row["nonce"],
        gas=row["gas"],
        attempts=tuple(
            SignedAttempt(
                hash=item.hash,
                raw=item.raw,
                max_fee_wei=item.max_fee_wei,
                tip_wei=item.tip_wei,
                signed_at=item.signed_at,
            )
            for item in attempts
        ),
        transaction_hash=row["transaction_hash"],
        block_number=row["block_number"],
        succeeded=None if row["succeeded"] is None else bool(row["succeeded"]),
        note=row["note"],
    )
