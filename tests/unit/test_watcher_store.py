from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import store_rows
from tests.support.databases import KINDS, opened
from tests.support.store_rows import OPERATOR, ORACLE, STREAM

from sworn.chain.transactions import (
    Intent,
    MemoryTransactionStore,
    SignedAttempt,
    TransactionRecord,
    TransactionStatus,
    TransactionStore,
)
from sworn.errors import ConfigurationError, DigestConflict, StoreError, StoreUnavailable
from sworn.types import FailureCode, RequestId
from sworn.watcher.jobs import JobStatus
from sworn.watcher.store import migration
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.transactions import SqlTransactionStore


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated database."""
    with opened(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def store(database: Database) -> JobStore:
    """The job store over it."""
    return JobStore(database=database, clock=lambda: 100.0)


def test_migrations_from_nothing_build_the_schema_of_the_code(database: Database) -> None:
    """The migrated schema is exactly the one that the tables describe; a second upgrade changes nothing."""
    assert migration.differences(database) == []
    assert migration.current(database) == migration.latest()
    migration.upgrade(database)
    migration.require_current(database)


def test_database_not_migrated_is_refused_with_advice(tmp_path: Path) -> None:
    """A database without the schema is recognised before it is used."""
    database = open_database(f"sqlite:///{tmp_path}/empty.db")
    assert migration.current(database) is None
    with pytest.raises(StoreError, match="migrate"):
        migration.require_current(database)
    database.close()


def test_database_of_an_older_version_is_brought_up_with_its_jobs(tmp_path: Path) -> None:
    """What was stored before a migration is there after it."""
    database = open_database(f"sqlite:///{tmp_path}/old.db")
    migration.upgrade(database)
    store = JobStore(database=database)
    store.advance(STREAM, history=[store_rows.block(1)], seen=[store_rows.job(1)])
    with database.transaction() as connection:
        configuration = migration._configuration()
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "0001")
    assert migration.current(database) == "0001" and migration.differences(database) != []
    migration.upgrade(database)
    assert migration.differences(database) == [] and store.job(store_rows.job(1).request_id) == store_rows.job(1)
    database.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """An SQLite database in ``watcher.db``."""
    with opened("sqlite", tmp_path) as database:
        yield database


def test_database_on_disk_is_durable_and_shared(sqlite: Database) -> None:
    """SQLite runs with a write-ahead log, full synchronisation and enforced foreign keys."""
    with sqlite.transaction() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]


def test_database_locked_by_another_raises_store_error(sqlite: Database, tmp_path: Path) -> None:
    """A database that stays locked is a typed error, and one that passes."""
    other = sqlite3.connect(tmp_path / "watcher.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    connect = sqlite.engine.raw_connection()
    connect.driver_connection.execute("PRAGMA busy_timeout=10")  # type: ignore[union-attr]
    connect.close()
    with pytest.raises(StoreUnavailable), sqlite.transaction():
        pass
    other.close()


@pytest.mark.parametrize("url", ["", "nonsense", "nosuchdialect://x"])
def test_database_url_malformed_raises_configuration_error(url: str) -> None:
    """A URL that names no database is a configuration error."""
    with pytest.raises(ConfigurationError):
        open_database(url)


def test_job_stored_and_loaded_is_equal(store: JobStore) -> None:
    """Every field of a job, at the limits of its type, survives the database."""
    seen = store_rows.job(1, window_s=2**32 - 1)
    job = replace(seen, failure=FailureCode.TOO_LARGE, reason="why", attempts=3, settled_block=2**62)
    store.advance(STREAM, history=[store_rows.block(1)], seen=[seen])
    store.save(job)
    assert store.job(job.request_id) == job
    assert store.job(RequestId(bytes(32))) is None


def test_job_seen_twice_keeps_its_progress(store: JobStore) -> None:
    """The same log again does not start a job anew."""
    store.advance(STREAM, history=[store_rows.block(1)], seen=[store_rows.job(1)])
    store.save(store_rows.job(1, status=JobStatus.PROPOSED))
    store.advance(STREAM, history=[store_rows.block(2)], seen=[store_rows.job(1)])
    assert [job.status for job in store.jobs()] == [JobStatus.PROPOSED]


def test_history_advanced_replaces_the_old_one(store: JobStore) -> None:
    """The stored history is the one of the last step."""
    store.advance(STREAM, history=[store_rows.block(1), store_rows.block(2)], seen=[])
    store.advance(STREAM, history=[store_rows.block(2), store_rows.block(3)], seen=[])
    assert store.history(STREAM) == (store_rows.block(2), store_rows.block(3))
    assert store.history("another") == ()


def test_rewind_orphans_reopens_and_forgets_waiting(store: JobStore) -> None:
    """Jobs of void blocks are orphaned, ends in void blocks undone, waiting ended; parked jobs stay parked."""
    jobs = {
        1: store_rows.job(1, at=5),
        2: store_rows.job(2, at=20),
        3: replace(store_rows.job(3, at=5, status=JobStatus.FINALIZED), settled_block=15),
        4: replace(store_rows.job(4, at=5, status=JobStatus.FINALIZED), settled_block=9),
        5: replace(store_rows.job(5, at=5, status=JobStatus.PARKED), settled_block=15),
        6: replace(store_rows.job(6, at=5, status=JobStatus.PROPOSED), due_at=10**9),
    }
    store.advance(STREAM, history=[store_rows.block(20)], seen=list(jobs.values()))
    store.advance(STREAM, history=[store_rows.block(10)], seen=[], rewound_to=10)
    statuses = {int.from_bytes(job.request_id, "big"): job.status for job in store.jobs()}
    assert statuses == {
        1: JobStatus.SEEN,
        2: JobStatus.ORPHANED,
        3: JobStatus.SEEN,
        4: JobStatus.FINALIZED,
        5: JobStatus.PARKED,
        6: JobStatus.PROPOSED,
    }
    assert {job.due_at for job in store.jobs()} == {0}
    store.advance(STREAM, history=[store_rows.block(11)], seen=[store_rows.job(2, at=11)])
    assert store.job(jobs[2].request_id) == store_rows.job(2, at=11)


def test_rewind_forgets_ends_that_were_waited_for(store: JobStore) -> None:
    """An end that is waited for may be void: the job is looked at again, and is not excused by it any more."""
    ended = replace(store_rows.job(1, at=5, status=JobStatus.FINALIZING), settled_block=15, due_at=10**9)
    store.advance(STREAM, history=[store_rows.block(20)], seen=[ended])
    store.advance(STREAM, history=[store_rows.block(18)], seen=[], rewound_to=18)
    assert store.job(ended.request_id) == replace(ended, settled_block=None, due_at=0)


@pytest.mark.parametrize(("after", "expected"), [(None, {1, 2, 4}), (9, {2, 4}), (10, set())])
def test_ends_that_have_become_deep_are_looked_at(store: JobStore, after: int | None, expected: set[int]) -> None:
    """Each is woken once, by the block that makes it deep; whoever takes over wakes all that are."""
    open_ones = {1: 3, 2: 10, 3: 11, 4: 10, 5: None}
    jobs = [
        replace(store_rows.job(number, status=JobStatus.FINALIZING), settled_block=at, due_at=50)
        for number, at in open_ones.items()
    ]
    jobs[3] = replace(jobs[3], status=JobStatus.SEEN)
    over = replace(store_rows.job(6, status=JobStatus.FINALIZED), settled_block=10, due_at=50)
    store.advance(STREAM, history=[store_rows.block(1)], seen=[*jobs, over])
    store.wake_ended(after=after, up_to=10)
    assert {int.from_bytes(job.request_id) for job in store.jobs() if job.due_at == 0} == expected


def test_jobs_whose_end_is_waited_for_come_after_what_is_owed(store: JobStore) -> None:
    """A thousand that become deep at once must not push an answer past its deadline."""
    jobs = [
        replace(store_rows.job(1, at=1, status=JobStatus.FINALIZING), settled_block=3),
        store_rows.job(2, at=2, status=JobStatus.ANSWERED),
        replace(store_rows.job(3, at=3, status=JobStatus.ANSWERED), retry_at=99.0),
    ]
    store.advance(STREAM, history=[store_rows.block(3)], seen=jobs)
    assert store.due(block_timestamp=50, limit=2, seen=False) == jobs[1:]
    assert store.due(block_timestamp=50, limit=3, seen=False) == [*jobs[1:], jobs[0]]


def test_jobs_counted_by_status_leave_out_what_is_not_there(store: JobStore) -> None:
    """The counts are those of the jobs."""
    assert store.counts() == {}
    jobs = [store_rows.job(1), store_rows.job(2), store_rows.job(3, status=JobStatus.IGNORED)]
    store.advance(STREAM, history=[store_rows.block(1)], seen=jobs)
    assert store.counts() == {JobStatus.SEEN: 2, JobStatus.IGNORED: 1}


def test_due_jobs_by_time_and_kind_are_selected(store: JobStore) -> None:
    """Only open jobs whose block time and wall time have come are due."""
    jobs = [
        store_rows.job(1),
        replace(store_rows.job(2), retry_at=101.0),
        replace(store_rows.job(3, status=JobStatus.PROPOSED), due_at=50),
        replace(store_rows.job(4, status=JobStatus.PROPOSED), due_at=51),
        store_rows.job(5, status=JobStatus.IGNORED),
    ]
    store.advance(STREAM, history=[store_rows.block(1)], seen=jobs)
    assert store.due(block_timestamp=50, limit=9, seen=True) == [jobs[0]]
    assert store.due(block_timestamp=50, limit=9, seen=False) == [jobs[2]]


def test_journal_takes_one_digest_per_request_and_operator(store: JobStore) -> None:
    """The same digest may be journalled again, another one never; the signature completes it."""
    store.swear(store_rows.oath(1))
    store.swear(store_rows.oath(1))
    with pytest.raises(DigestConflict):
        store.swear(store_rows.oath(1, digest=b"\x09" * 32))
    signed = replace(store_rows.oath(1), signature=b"\x01" * 65)
    store.store_signature(signed)
    assert store.oath(signed.request_id, OPERATOR) == signed
    assert store.oath(signed.request_id, ORACLE) is None


def test_database_of_another_deployment_is_refused(store: JobStore) -> None:
    """A database serves one oracle on one chain for ever."""
    store.claim(chain_id=1, oracle=ORACLE)
    store.claim(chain_id=1, oracle=ORACLE)
    with pytest.raises(ConfigurationError):
        store.claim(chain_id=2, oracle=ORACLE)


def _record(number: int, *, nonce: int | None, status: TransactionStatus) -> TransactionRecord:
    attempt = SignedAttempt(
        hash=number.to_bytes(32, "big"), raw=b"raw", max_fee_wei=2**255, tip_wei=2**128, signed_at=1.5
    )
    return TransactionRecord(
        intent=Intent(key=f"propose:{number}", to=ORACLE, data=b"data", value_wei=2**256 - 1, gas_cap=1 << 24),
        sender=OPERATOR,
        status=status,
        nonce=nonce,
        gas=21_000,
        attempts=(attempt, replace(attempt, hash=(number + 1_000).to_bytes(32, "big"))) if nonce is not None else (),
        succeeded=status is TransactionStatus.CONFIRMED or None,
    )


_NONCES = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(list(TransactionStatus))), max_size=8)


@settings(max_examples=25, deadline=None)
@given(moves=_NONCES)
def test_transaction_stores_of_both_kinds_agree(moves: list[tuple[int, TransactionStatus]]) -> None:
    """The database and the double in memory answer alike, whatever is put into them."""
    database = open_database("sqlite://")
    migration.upgrade(database)
    sql: TransactionStore = SqlTransactionStore(database=database, chain_id=1)
    memory: TransactionStore = MemoryTransactionStore()
    for number, (nonce, status) in enumerate(moves):
        record = _record(number, nonce=nonce, status=status)
        outcomes = []
        for store in (sql, memory):
            try:
                store.put(record)
                outcomes.append("stored")
            except StoreError:
                outcomes.append("refused")
        assert outcomes[0] == outcomes[1]
    for number in range(len(moves)):
        assert sql.get(f"propose:{number}") == memory.get(f"propose:{number}")
    assert sql.live(OPERATOR) == memory.live(OPERATOR)
    assert sql.next_nonce(OPERATOR) == memory.next_nonce(OPERATOR)
    assert sql.ended_from(OPERATOR, 3) == memory.ended_from(OPERATOR, 3)
    assert sql.in_flight(OPERATOR) == memory.in_flight(OPERATOR)
    database.close()


def test_second_output_of_one_input_is_not_sworn_where_bits_are_promised(store: JobStore) -> None:
    """Two requests about the same input have one answer in profile exact: another one would convict the operator."""
    other_input = replace(store_rows.job(4), request=replace(store_rows.job(4).request, input_root=b"\x0a" * 32))
    store.advance(
        STREAM,
        history=[store_rows.block(1)],
        seen=[store_rows.job(1), store_rows.job(2), store_rows.job(3), other_input],
    )
    store.swear(store_rows.oath(1), one_answer_per_input=True)
    store.swear(store_rows.oath(1), one_answer_per_input=True)
    store.swear(store_rows.oath(2, digest=b"\x17" * 32), one_answer_per_input=True)
    lie = replace(store_rows.oath(3, digest=b"\x27" * 32), output_root=b"\x09" * 32, output=b"\x02")
    with pytest.raises(DigestConflict, match="same model and input"):
        store.swear(lie, one_answer_per_input=True)
    assert store.oath(lie.request_id, OPERATOR) is None
    store.swear(replace(lie, request_id=other_input.request_id), one_answer_per_input=True)
    store.swear(lie)
    assert store.oath(lie.request_id, OPERATOR) == lie
