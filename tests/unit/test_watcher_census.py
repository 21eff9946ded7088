"""Counting what a database holds: what is late, what does not add up, and without holding anybody up."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update
from tests.support.databases import KINDS, opened

from sworn.chain.transactions import TransactionStatus
from sworn.errors import StoreError
from sworn.types import Address
from sworn.watcher.challenger.claims import ClaimStatus
from sworn.watcher.jobs import JobStatus
from sworn.watcher.store import census as census_module
from sworn.watcher.store.census import Census, read_only, release, require_writable
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.store.oaths import insert_new
from sworn.watcher.store.tables import (
    ATTEMPTS,
    BLOCKS,
    CLAIMS,
    JOBS,
    ORIGIN,
    SIGNED_DIGESTS,
    STATEMENTS,
    TRANSACTIONS,
)

SENDER = Address("0x" + "11" * 20)
NOW = 1_000_000.0
HASH = bytes(32)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated database that is copied."""
    file = tmp_path_factory.mktemp("census") / "watcher.db"
    opened = open_database(f"sqlite:///{file}")
    upgrade(opened)
    opened.close()
    return file


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated database in a file."""
    file = shutil.copy(migrated, tmp_path / "watcher.db")
    opened = open_database(f"sqlite:///{file}")
    yield opened
    opened.close()


@pytest.fixture
def census(database: Database) -> Iterator[Census]:
    """Counts it."""
    reading = read_only(database)
    yield Census(database=reading)
    release(reading, database)


def put(database: Database, table: Any, **values: Any) -> None:
    """One row."""
    with database.transaction() as connection:
        connection.execute(insert(table).values(**values))


def put_job(database: Database, number: int, status: JobStatus, **values: Any) -> None:
    """One job, made now and due in an hour."""
    row = {
        "request_id": number.to_bytes(32, "big"),
        "model_id": HASH,
        "input_root": number.to_bytes(32, "big"),
        "requester": SENDER,
        "operator": SENDER,
        "refund_to": SENDER,
        "fee_wei": 1,
        "value_at_risk_wei": 0,
        "callback_gas": 0,
        "window_s": 60,
        "deadline": int(NOW) + 3600,
        "assurance": 0,
        "salt": HASH,
        "input": b"",
        "block_number": 1,
        "block_hash": HASH,
        "transaction_hash": HASH,
        "status": status.value,
        "reason": "",
        "attempts": 0,
        "retry_at": 0.0,
        "due_at": 0,
        "created_at": NOW,
        "updated_at": NOW,
    }
    put(database, JOBS, **(row | values))


def put_transaction(database: Database, key: str, status: TransactionStatus, **values: Any) -> None:
    """One transaction."""
    row = {
        "key": key,
        "chain_id": 1,
        "sender": SENDER,
        "target": SENDER,
        "data": b"",
        "value_wei": 0,
        "gas_cap": 1,
        "status": status.value,
        "note": "",
        "updated_at": NOW,
    }
    put(database, TRANSACTIONS, **(row | values))


def put_claim(database: Database, number: int, status: ClaimStatus, **values: Any) -> None:
    """One result that a challenger looks at."""
    row = {
        "result_id": number.to_bytes(32, "big"),
        "request_id": HASH,
        "operator": SENDER,
        "trace_root": HASH,
        "output": b"",
        "signature": bytes(65),
        "block_number": 1,
        "block_hash": HASH,
        "transaction_hash": HASH,
        "status": status.value,
        "reason": "",
        "attempts": 0,
        "retry_at": 0.0,
        "due_at": 0,
        "exposure_wei": 0,
        "created_at": NOW,
        "updated_at": NOW,
    }
    put(database, CLAIMS, **(row | values))


def overdue(census: Census) -> tuple[int, int, int]:
    """Untouched, unsent, unfinished."""
    late = census.overdue(now=NOW, chain_now=NOW, after_s=300, min_time_left_s=30)
    return late.untouched, late.unsent, late.unfinished


@pytest.mark.parametrize(
    ("status", "values", "expected"),
    [
        (JobStatus.SEEN, {}, (0, 0, 0)),
        (JobStatus.SEEN, {"created_at": NOW - 301}, (1, 0, 0)),
        # Put off for a reason, a fee that is too low for example.
        (JobStatus.SEEN, {"created_at": NOW - 9_999, "retry_at": NOW + 60}, (0, 0, 0)),
        (JobStatus.ANSWERED, {}, (0, 0, 0)),
        (JobStatus.ANSWERED, {"created_at": NOW - 301}, (0, 1, 0)),
        (JobStatus.PROPOSING, {"deadline": int(NOW) + 29}, (0, 1, 0)),
        (JobStatus.FAILING, {"deadline": int(NOW) - 1}, (0, 1, 0)),
        (JobStatus.PROPOSED, {"due_at": int(NOW) + 9_999, "created_at": 0.0}, (0, 0, 0)),
        (JobStatus.PROPOSED, {"due_at": int(NOW) - 301}, (0, 0, 1)),
        (JobStatus.FINALIZING, {"due_at": int(NOW) - 301}, (0, 0, 1)),
        (JobStatus.DISPUTED, {"due_at": int(NOW) - 9_999, "created_at": 0.0}, (0, 0, 0)),
        (JobStatus.FINALIZED, {"created_at": 0.0, "deadline": 1}, (0, 0, 0)),
        (JobStatus.IGNORED, {"created_at": 0.0, "deadline": 1}, (0, 0, 0)),
    ],
)
def test_job_is_overdue_only_when_nothing_excuses_it(
    database: Database, census: Census, status: JobStatus, values: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    """Late work that goes unnoticed costs fees and bonds; an alarm for work that waits for a window costs trust."""
    put_job(database, 1, status, **values)

    assert overdue(census) == expected


_CLOSED = int(NOW) - 300


@pytest.mark.parametrize("kind", KINDS)
def test_result_that_does_not_become_final_is_overdue_whenever_it_is_due_again(kind: str, tmp_path: Path) -> None:
    """A transaction key that is away keeps bonds and earnings on chain for ever, behind a page that says all is well.

    What is promised is due again a minute after each look, what could not be sent at once: neither says for how long.
    """
    standing = (JobStatus.PROPOSED, JobStatus.FINALIZING)
    long_over = {"window_s": 60, "deadline": _CLOSED - 61}
    just_over = {"window_s": 60, "deadline": _CLOSED - 60}
    with opened(kind, tmp_path) as database:
        rows = [
            *((each, long_over | {"due_at": due}, 1) for each in standing for due in (0, int(NOW), int(NOW) - 9)),
            (JobStatus.FINALIZING, long_over | {"due_at": int(NOW) + 60}, 1),
            *((each, just_over | {"due_at": due}, 0) for each in standing for due in (0, int(NOW), int(NOW) + 60)),
            # Its window is open: it was proposed in time that a refuted result had taken.
            (JobStatus.PROPOSED, long_over | {"due_at": int(NOW) + 1}, 0),
            # It is final, and waits until that is deep.
            *((each, long_over | {"due_at": due, "settled_block": 7}, 0) for each in standing for due in (0, 1)),
            (JobStatus.FINALIZED, long_over | {"settled_block": 7}, 0),
            # No sum of these leaves the integers of a database.
            (JobStatus.FINALIZING, {"window_s": 2**40, "deadline": 2**63 - 1}, 0),
        ]
        counted = 0
        for number, (status, values, late) in enumerate(rows):
            put_job(database, number, status, **values)
            counted += late
            assert overdue(Census(database=database)) == (0, 0, counted), (status, values)


def test_next_deadline_is_that_of_what_is_sworn(database: Database, census: Census) -> None:
    """The time that is left for an answer is shown for answers that are owed, not for requests that were refused."""
    assert census.next_deadline() is None
    put_job(database, 1, JobStatus.IGNORED, deadline=10)
    put_job(database, 2, JobStatus.PROPOSING, deadline=30)
    put_job(database, 3, JobStatus.ANSWERED, deadline=20)

    assert census.next_deadline() == 20


def test_pending_counts_from_first_signature(database: Database, census: Census) -> None:
    """A transaction that is bumped every minute is stuck all the same."""
    put_transaction(database, "propose:1", TransactionStatus.SIGNED, nonce=1)
    for ordinal, signed_at in enumerate((NOW - 500, NOW - 5)):
        put(
            database,
            ATTEMPTS,
            hash=bytes([ordinal]) * 32,
            key="propose:1",
            ordinal=ordinal,
            raw=b"",
            max_fee_wei=1,
            tip_wei=1,
            signed_at=signed_at,
        )

    assert (census.pending().count, census.pending().since) == (1, NOW - 500)


def test_challenges_are_told_by_what_was_earned(database: Database, census: Census) -> None:
    """A challenger that loses must see it: lost bonds are the only sign of a wrong setup."""
    for number, moves in enumerate((("open_dispute", "claim_share"), ("join_dispute",), ("open_dispute",), ())):
        result = number.to_bytes(32, "big").hex()
        status = ClaimStatus.FALSE if number == 2 else ClaimStatus.SETTLED
        put_claim(database, number, status, exposure_wei=7 if number == 2 else 0)
        for move in moves:
            put_transaction(database, f"{move}:{result}", TransactionStatus.CONFIRMED, succeeded=1, block_number=1)
    contests = census.contests()

    assert (contests.won, contests.lost, contests.open) == (1, 1, 1)
    assert census.exposure_wei() == 7


def test_books_that_add_up_have_no_discrepancies(database: Database, census: Census) -> None:
    """An audit that cries wolf would be switched off."""
    put_job(database, 1, JobStatus.FINALIZED)
    put_job(database, 2, JobStatus.IGNORED)
    put(
        database,
        SIGNED_DIGESTS,
        request_id=(1).to_bytes(32, "big"),
        operator=SENDER,
        digest=HASH,
        output_root=HASH,
        trace_root=HASH,
        output=b"",
        created_at=NOW,
    )
    for nonce in (4, 5, 6):
        put_transaction(
            database, f"propose:{nonce}", TransactionStatus.CONFIRMED, nonce=nonce, succeeded=1, block_number=9
        )

    assert census.discrepancies(SENDER) == []


def test_books_that_do_not_add_up_say_what_is_missing(database: Database, census: Census) -> None:
    """A nonce without a transaction, an answer without an oath, a receipt that was never stored: each loses money."""
    put_job(database, 1, JobStatus.PROPOSED)
    put_transaction(database, "propose:1", TransactionStatus.CONFIRMED, nonce=4, succeeded=1, block_number=9)
    put_transaction(database, "propose:2", TransactionStatus.CONFIRMED, nonce=6)

    found = census.discrepancies(SENDER)

    assert [text.split()[0] for text in found] == ["1", "1", "1"]


def test_counting_does_not_wait_for_a_writer(database: Database, census: Census) -> None:
    """A scrape in the middle of a long write must neither wait for it nor make it wait."""
    put_job(database, 1, JobStatus.SEEN)
    counted = threading.Event()
    with database.transaction() as connection:
        connection.execute(update(JOBS).values(status=JobStatus.PARKED.value))

        def count() -> None:
            census.jobs()
            counted.set()

        threading.Thread(target=count, daemon=True).start()

        assert counted.wait(5), "the count waits for the writer"
    assert census.jobs()[JobStatus.PARKED] == 1


def test_counting_writes_nothing_ever(database: Database, census: Census) -> None:
    """What serves strangers' scrapes must not be able to change the journal of oaths."""
    with pytest.raises(StoreError):
        put(census.database, BLOCKS, stream="requests", number=1, hash=HASH)


def test_database_that_cannot_be_written_is_found_out(database: Database) -> None:
    """A full disk shows at the write, not at the read: readiness has to write."""
    put(database, ORIGIN, chain_id=1, oracle=SENDER)
    require_writable(database)
    with database.transaction() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")

    with pytest.raises(StoreError):
        require_writable(database)


@pytest.mark.parametrize("kind", KINDS)
def test_statements_are_counted_without_reading_them_all(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one table that grows for ever is shown every minute: what that costs must not grow with it."""
    with opened(kind, tmp_path) as several:
        assert Census(database=several).rows()["statements"] == 0
        rows = [
            {"operator": SENDER, "model_id": HASH, "input_root": number.to_bytes(32, "big"), "output_root": HASH}
            for number in range(1, 31)
        ]
        with several.transaction() as connection:
            connection.execute(insert(STATEMENTS), rows)
            # One that is there already takes no place.
            insert_new(connection, STATEMENTS, rows[:3])
        assert Census(database=several).rows()["statements"] == 30
        if several.is_postgresql:
            monkeypatch.setattr(census_module, "_COUNTED", 10)
            assert Census(database=several).rows()["statements"] == 10
            with several.transaction() as connection:
                connection.exec_driver_sql("ANALYZE statements")
            assert Census(database=several).rows()["statements"] == 30
