"""What the database forgets, and what it never does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event, func, insert, select
from tests.support.databases import KINDS, opened
from tests.support.store_rows import ORACLE, SENDER, STREAM, block, job, oath, record

from sworn.chain.transactions import TransactionStatus
from sworn.dispute.case import NO_REQUEST
from sworn.errors import DigestConflict
from sworn.types import ZERO_HASH, RequestId, ResultId
from sworn.watcher.challenger.claims import Claim, ClaimStatus
from sworn.watcher.challenger.store import Asked, ClaimStore
from sworn.watcher.defence.records import Defence, DefenceStatus
from sworn.watcher.defence.store import DefenceStore, News
from sworn.watcher.jobs import JobStatus
from sworn.watcher.store.database import Database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.pruning import KEPT_NONCES, MAX_EXTENSION_S, MIN_KEEP_S, Pruner
from sworn.watcher.store.tables import ATTEMPTS, METADATA, STATEMENTS
from sworn.watcher.store.transactions import SqlTransactionStore

NOW = int(time.time())
KEEP_S = MIN_KEEP_S
#: A deadline from which everything that can follow from a request is over, the minute of its window included.
OVER = NOW - KEEP_S - MAX_EXTENSION_S - 61


def long_ago() -> float:
    """A clock that stood when what is over now was stored."""
    return NOW - KEEP_S - 3600.0


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with the newest schema."""
    with opened(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def store(database: Database) -> JobStore:
    """Its jobs, as they were stored long ago."""
    return JobStore(database=database, clock=long_ago)


def pruned(database: Database, *, now: int = NOW, batch: int = 500) -> dict[str, int]:
    """What one go removes."""
    return Pruner(database=database, keep_s=KEEP_S, batch=batch).prune(now=now)


def numbers(store: JobStore) -> set[int]:
    """The jobs that are left."""
    return {int.from_bytes(each.request_id, "big") for each in store.jobs()}


def test_jobs_that_are_over_go_with_their_oaths_and_no_others_do(database: Database, store: JobStore) -> None:
    """An oath that went too early could be sworn a second time, with another output."""
    ended = JobStatus.FINALIZED
    store.advance(
        STREAM,
        history=[block(1)],
        seen=[
            job(1, status=ended, deadline=OVER),
            job(2, status=ended, deadline=OVER + 2),
            job(3, status=JobStatus.PROPOSED, deadline=OVER),
            job(4, status=JobStatus.PARKED, deadline=OVER),
            job(5, status=ended, deadline=OVER),
            job(6, status=JobStatus.EXPIRED, deadline=OVER),
        ],
    )
    for number in range(1, 7):
        store.swear(oath(number, digest=number.to_bytes(32, "big")))
    # The fifth one's result is contested still; the sixth was touched lately.
    contested = Defence(result_id=ResultId((5).to_bytes(32, "big")), block_number=1)
    DefenceStore(database=database).advance(history=(), news=News(opened=(contested,)))
    recent = JobStore(database=database)
    recent.save(job(6, status=JobStatus.EXPIRED, deadline=OVER))
    assert pruned(database) == {"jobs": 1}
    assert numbers(store) == {2, 3, 4, 5, 6}
    assert [store.oath(job(number).request_id, SENDER) is None for number in range(1, 7)] == [True] + [False] * 5
    assert pruned(database) == {}


def test_jobs_on_a_chain_that_lies_about_the_time_stay(database: Database) -> None:
    """A node that says it is the year 2100 must not make the watcher forget what it has sworn."""
    store = JobStore(database=database)
    store.advance(STREAM, history=[block(1)], seen=[job(1, status=JobStatus.FINALIZED, deadline=NOW)])
    assert pruned(database, now=2**40) == {}
    assert numbers(store) == {1}


def test_outputs_are_remembered_when_their_jobs_are_gone(database: Database, store: JobStore) -> None:
    """Two outputs for one input convict for ever: years later the second one must still be refused."""
    store.advance(STREAM, history=[block(1)], seen=[job(1, status=JobStatus.FINALIZED, deadline=OVER)])
    store.swear(oath(1), one_answer_per_input=True)
    assert pruned(database) == {"jobs": 1}
    store.advance(STREAM, history=[block(2)], seen=[job(2)])
    with pytest.raises(DigestConflict):
        store.swear(replace(oath(2), output_root=b"\x09" * 32), one_answer_per_input=True)
    store.swear(oath(2), one_answer_per_input=True)


def test_disputes_stay_as_long_as_the_oath_that_they_are_about(database: Database, store: JobStore) -> None:
    """A trace that was sworn to in a dispute must not be replaced by another while the result can be disputed."""
    seen = [job(number, status=JobStatus.FINALIZED, deadline=OVER + 100 * number) for number in range(2)]
    store.advance(STREAM, history=[block(1)], seen=seen)
    defences = DefenceStore(database=database, clock=long_ago)
    ids = [ResultId(bytes([number + 1]) * 32) for number in range(2)]
    for number, result_id in enumerate(ids):
        store.swear(oath(number, digest=result_id))
        upheld = Defence(result_id=result_id, block_number=1, status=DefenceStatus.UPHELD, settled_block=2)
        defences.advance(history=(), news=News(opened=(upheld,)))
    assert pruned(database) == {"jobs": 1, "defences": 1}
    assert defences.known() == {ids[1]}


def test_transactions_that_are_over_go_but_for_the_newest_nonces(database: Database) -> None:
    """The next nonce follows from what is stored; what is under way must be found however old it is."""
    old = SqlTransactionStore(database=database, chain_id=1, clock=long_ago)
    confirmed = TransactionStatus.CONFIRMED
    old.put(record(0, nonce=0))
    old.put_many([record(nonce, nonce=nonce, status=confirmed) for nonce in range(1, KEPT_NONCES + 4)])
    old.put(record(9_000, nonce=None, status=TransactionStatus.REJECTED))
    SqlTransactionStore(database=database, chain_id=1).put(record(9_001, nonce=None, status=TransactionStatus.REJECTED))
    assert pruned(database, batch=2) == {"transactions": 4}
    assert [old.get(f"propose:{number}") is None for number in (0, 1, 2, 3, 4, 9_000, 9_001)] == [
        *(False, True, True, True, False),
        *(True, False),
    ]
    assert old.next_nonce(SENDER) == KEPT_NONCES + 4
    with database.transaction() as connection:
        assert connection.execute(select(func.count()).select_from(ATTEMPTS)).scalar() == KEPT_NONCES + 1


def test_claims_that_are_over_go_and_so_do_requests_that_nobody_answered(database: Database) -> None:
    """A challenger sees every request of everybody: without an end its database would be the chain."""
    store = ClaimStore(database=database, clock=long_ago)
    requests = {number: asked_of(number, deadline=OVER + 60 if number < 4 else NOW) for number in range(1, 6)}
    claims = [claim_of(requests[1], ClaimStatus.HONEST), claim_of(requests[2], ClaimStatus.FALSE)]
    store.advance(history=(), asked=list(requests.values()), seen=claims, rewound_to=None)
    assert pruned(database, batch=1) == {"claims": 1, "asked": 2}
    left = {number for number, asked in requests.items() if store.asked(asked.request_id) is not None}
    assert left == {2, 4, 5} and [each.status for each in store.claims()] == [ClaimStatus.FALSE]


def asked_of(number: int, *, deadline: int) -> Asked:
    """A request of somebody's."""
    return Asked(
        request_id=RequestId(number.to_bytes(32, "big")),
        request=replace(NO_REQUEST, deadline=deadline),
        input=b"input",
        block_number=number,
    )


def claim_of(asked: Asked, status: ClaimStatus) -> Claim:
    """A claim about a request."""
    return Claim(
        result_id=ResultId(asked.request_id),
        request_id=asked.request_id,
        request=asked.request,
        input=asked.input,
        operator=SENDER,
        trace_root=ZERO_HASH,
        output=b"output",
        signature=bytes(65),
        block_number=asked.block_number,
        block_hash=ZERO_HASH,
        transaction_hash=ZERO_HASH,
        status=status,
    )


def test_tables_under_a_steady_load_stop_growing(database: Database) -> None:
    """A watcher that runs for years must not fill its disk; only one small row per distinct input stays."""
    sizes = []
    for day in range(6):
        # Each round is as far apart as what is kept: the round before is over by then.
        store = JobStore(database=database, clock=long_ago)
        transactions = SqlTransactionStore(database=database, chain_id=1, clock=long_ago)
        first = 1 + day * 400
        some = range(first, first + 400)
        ended = [job(number, status=JobStatus.FINALIZED, deadline=OVER) for number in some]
        store.advance(STREAM, history=[block(day)], seen=ended)
        store.swear_many([oath(number, digest=number.to_bytes(32, "big")) for number in some], bound=frozenset())
        transactions.put_many([record(n, nonce=n, status=TransactionStatus.CONFIRMED) for n in some])
        pruned(database)
        with database.transaction() as connection:
            counts = [
                connection.execute(select(func.count()).select_from(each)).scalar() or 0
                for each in METADATA.sorted_tables
            ]
        sizes.append(sum(counts))
    assert sizes[1:] == [sizes[1]] * 5 and sizes[1] < 2 * KEPT_NONCES + 10


def test_rows_that_stay_do_not_hide_the_ones_behind_them(database: Database, store: JobStore) -> None:
    """Jobs that wait for a person pile up at the old end of the table: the rest must go all the same."""
    parked = [job(number, at=1, status=JobStatus.PARKED, deadline=OVER) for number in range(10)]
    ended = [job(number, at=2 + number, status=JobStatus.FINALIZED, deadline=OVER) for number in range(10, 20)]
    store.advance(STREAM, history=[block(50)], seen=[*parked, *ended])
    assert pruned(database, batch=3) == {"jobs": 10}
    assert numbers(store) == set(range(10))


def test_looking_costs_as_much_as_is_over_and_not_as_much_as_there_is(database: Database, store: JobStore) -> None:
    """Three months of rows are millions: a look that read them all would hold everybody up to remove nothing."""
    ended = [job(number, at=number, status=JobStatus.FINALIZED, deadline=OVER) for number in range(4)]
    young = [job(number, at=number, status=JobStatus.FINALIZED, deadline=NOW) for number in range(4, 400)]
    store.advance(STREAM, history=[block(400)], seen=[*ended, *young])
    SqlTransactionStore(database=database, chain_id=1).put_many(
        [record(nonce, nonce=nonce, status=TransactionStatus.CONFIRMED) for nonce in range(KEPT_NONCES + 100)]
    )
    asked = [asked_of(number, deadline=NOW) for number in range(100)]
    claims = [replace(claim_of(each, ClaimStatus.HONEST), block_number=each.block_number) for each in asked]
    ClaimStore(database=database).advance(history=(), asked=asked, seen=claims, rewound_to=None)
    steps = list(Pruner(database=database, keep_s=KEEP_S, batch=4).steps(now=NOW))
    assert sum(count for _, count in steps) == 4
    # Of every table one batch in which nothing is old, and the four jobs.
    assert len(steps) <= 8


def test_look_that_is_left_and_gone_on_with_loses_nothing_between(database: Database, store: JobStore) -> None:
    """It is spread over many turns, in which others write; between two steps no job is without its oath."""
    ended = [job(number, at=10, status=JobStatus.FINALIZED, deadline=OVER) for number in range(6)]
    store.advance(STREAM, history=[block(10)], seen=ended)
    store.swear_many([oath(number, digest=number.to_bytes(32, "big")) for number in range(6)], bound=frozenset())
    steps = Pruner(database=database, keep_s=KEEP_S, batch=2).steps(now=NOW)
    assert next(steps) == ("jobs", 2)
    # A job that is looked at again meanwhile, a request of an older block, and one that is not over.
    JobStore(database=database).save(replace(job(4), status=JobStatus.EXPIRED))
    store.advance(
        STREAM,
        history=[block(11)],
        seen=[job(6, at=1, status=JobStatus.FINALIZED, deadline=OVER), job(7, at=11, deadline=OVER)],
    )
    for _ in steps:
        sworn = {number for number in range(6) if store.oath(job(number).request_id, SENDER) is not None}
        assert sworn == numbers(store) - {6, 7}
    assert numbers(store) == {4, 6, 7}
    assert pruned(database) == {"jobs": 1} and numbers(store) == {4, 7}


def test_nothing_that_prunes_ever_touches_what_was_sworn_by_input(database: Database, store: JobStore) -> None:
    """No statement about an input gets old: the second output convicts in a hundred years as it does today."""
    number = 0
    with database.transaction() as connection:
        for operator in (SENDER, ORACLE):
            for root in range(20):
                number += 1
                row = {"operator": operator, "model_id": b"\x01" * 32, "input_root": bytes([root]) * 32}
                connection.execute(insert(STATEMENTS).values(**row, output_root=bytes([number]) * 32))
    store.advance(STREAM, history=[block(1)], seen=[job(1, status=JobStatus.FINALIZED, deadline=OVER)])
    touched: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(*call: object) -> None:
        sql = str(call[2])
        touched.extend([sql] if "statements" in sql and not sql.startswith("SELECT") else [])

    assert pruned(database, now=NOW + 100 * 365 * 86_400) == {"jobs": 1}
    assert touched == []
    with database.transaction() as connection:
        assert connection.execute(select(func.count()).select_from(STATEMENTS)).scalar() == 40


def test_rows_that_somebody_works_on_are_left_for_the_next_time(database: Database, store: JobStore) -> None:
    """A batch that waited for a busy row would hold up everybody who waits for the batch."""
    if not database.is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    seen = [job(number, status=JobStatus.FINALIZED, deadline=OVER) for number in range(2)]
    store.advance(STREAM, history=[block(1)], seen=seen)
    with database.transaction() as connection:
        connection.exec_driver_sql("SELECT 1 FROM jobs WHERE request_id = '\\x" + "00" * 32 + "' FOR UPDATE")
        assert pruned(database) == {"jobs": 1}
    assert numbers(store) == {0} and pruned(database) == {"jobs": 1}


def test_oracle_and_secrets_are_no_subject_of_pruning(database: Database) -> None:
    """What a database is tied to, and what disputes were begun with, has no age."""
    store = ClaimStore(database=database, clock=long_ago)
    store.claim_database(chain_id=1, oracle=ORACLE)
    secret = store.secret("challenger", lambda: b"\x01" * 32)
    assert pruned(database, now=2**40) == {}
    store.claim_database(chain_id=1, oracle=ORACLE)
    assert store.secret("challenger", lambda: b"\x02" * 32) == secret
