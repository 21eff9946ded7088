"""Transactions in the watcher's database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event
from tests.support.sender_world import SIGNER, TARGET

from sworn.chain.transactions import Intent, SignedAttempt, TransactionRecord, TransactionStatus
from sworn.errors import LeadershipLost, StoreError
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.store.transactions import SqlTransactionStore


@pytest.fixture
def database() -> Iterator[Database]:
    """An empty database with the newest schema."""
    database = open_database("sqlite://")
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> SqlTransactionStore:
    """Transactions of one chain in it."""
    return SqlTransactionStore(database=database, chain_id=1, clock=lambda: 5.0)


def _record(number: int, **changes: Any) -> TransactionRecord:
    attempt = SignedAttempt(
        hash=number.to_bytes(32, "big"), raw=b"raw", max_fee_wei=2**80, tip_wei=number, signed_at=float(number)
    )
    record = TransactionRecord(
        intent=Intent(key=f"propose:{number}", to=TARGET, data=b"data", value_wei=2**70, gas_cap=9),
        sender=SIGNER.address,
        status=TransactionStatus.SIGNED,
        nonce=number,
        gas=8,
        attempts=(attempt,),
    )
    return replace(record, **changes)


def _cancelled(record: TransactionRecord) -> TransactionRecord:
    last = replace(record.attempts[-1], hash=b"\xff" * 32, cancels=True)
    return replace(record, attempts=(*record.attempts, last))


def test_transactions_put_together_come_back_as_they_were(store: SqlTransactionStore) -> None:
    """Every field counts: a deadline, a margin or the mark of a cancellation that got lost would be acted against."""
    intent = replace(_record(2).intent, margin_percent=60, deadline=2**40, urgent=True)
    records = [
        _record(1),
        _record(2, intent=intent),
        _cancelled(_record(3)),
        _record(4, nonce=None, attempts=(), status=TransactionStatus.INTENDED),
    ]
    store.put_many(records)
    assert store.get_many([record.key for record in records]) == {record.key: record for record in records}
    mined = [replace(record, status=TransactionStatus.MINED, block_number=7) for record in records[:3]]
    store.put_many(mined)
    assert store.live(SIGNER.address) == mined
    assert store.get("propose:9") is None and store.get_many([]) == {}


def test_transactions_put_together_are_all_or_none(store: SqlTransactionStore) -> None:
    """Half a batch would leave nonces that nobody sends."""
    store.put(_record(1))
    with pytest.raises(StoreError):
        store.put_many([_record(2), _record(3, nonce=1)])
    assert store.get("propose:2") is None
    assert store.next_nonce(SIGNER.address) == 2


def test_transaction_that_starts_anew_forgets_its_old_forms(store: SqlTransactionStore) -> None:
    """The receipt of an old form must not be taken for one of the new."""
    store.put(_cancelled(_record(1)))
    renewed = _record(1, nonce=None, attempts=(), status=TransactionStatus.INTENDED)
    store.put(renewed)
    assert store.get("propose:1") == renewed
    again = replace(_record(1), nonce=5, attempts=(replace(_record(9).attempts[0]),))
    store.put(again)
    assert store.get("propose:1") == again


def test_nonce_passes_from_one_transaction_to_another_in_one_put(store: SqlTransactionStore) -> None:
    """One that is given up and the one that takes its place are stored at the same moment."""
    store.put_many([_record(1), _record(2)])
    given_up = _record(1, nonce=None, status=TransactionStatus.ABANDONED)
    store.put_many([_record(2, nonce=1), given_up])
    assert [record.key for record in store.live(SIGNER.address)] == ["propose:2"]


def test_fence_that_falls_keeps_every_write_out(store: SqlTransactionStore) -> None:
    """A replica that lost its leadership may not change what the new leader acts upon."""
    store.put(_record(1))

    def fallen(connection: Connection) -> None:
        raise LeadershipLost("another replica leads")

    fenced = replace(store, fence=fallen)
    with pytest.raises(LeadershipLost):
        fenced.put(_record(2))
    with pytest.raises(LeadershipLost):
        fenced.put_many([_record(1, nonce=7)])
    assert fenced.live(SIGNER.address) == [_record(1)]


def test_transactions_of_other_keys_and_chains_are_not_counted(database: Database, store: SqlTransactionStore) -> None:
    """Several keys and chains share the table: nonces of one say nothing about another's."""
    store.put_many([_record(1), _record(2, sender=TARGET, nonce=77)])
    replace(store, chain_id=2).put(_record(3, nonce=99))
    assert store.next_nonce(SIGNER.address) == 2
    assert store.in_flight(SIGNER.address) == 1
    assert [record.key for record in store.live(TARGET)] == ["propose:2"]


def test_many_transactions_cost_few_statements(database: Database, store: SqlTransactionStore) -> None:
    """A statement per transaction would make the database the slowest part of every round."""
    statements: list[str] = []

    def heard(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", heard)
    records = [_record(number) for number in range(400)]
    store.put_many(records)
    assert len(statements) <= 6
    statements.clear()
    store.put_many([replace(record, status=TransactionStatus.CONFIRMED) for record in records])
    assert len(statements) <= 5
    statements.clear()
    assert len(store.ended_from(SIGNER.address, 0)) == 400
    assert len(statements) <= 4


def test_queries_of_every_round_use_an_index(database: Database, store: SqlTransactionStore) -> None:
    """With a million transactions behind it, a round must not read through all of them."""
    statements: list[tuple[str, Any]] = []

    def heard(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        if statement.startswith("SELECT") and "FROM transactions" in statement:
            statements.append((statement, parameters))

    store.put(_record(1))
    event.listen(database.engine, "before_cursor_execute", heard)
    store.live(SIGNER.address)
    store.in_flight(SIGNER.address)
    store.ended_from(SIGNER.address, 0)
    store.next_nonce(SIGNER.address)
    event.remove(database.engine, "before_cursor_execute", heard)
    assert len(statements) == 4
    with database.transaction() as connection:
        plans = [
            str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all())
            for statement, parameters in statements
        ]
    live, in_flight, ended, highest = plans
    # A status or a nonce among what is looked up by: the sender alone has sent all of them.
    assert "(status=? AND sender=?" in live and "(status=? AND sender=?" in in_flight
    assert "nonce>?" in ended
    assert "uq_transactions" in highest or "sqlite_autoindex_transactions" in highest
    assert not any("SCAN" in plan for plan in plans)
