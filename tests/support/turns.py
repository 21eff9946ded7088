"""What a watcher's turn asks of its database, question by question, and what each costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import event, insert
from tests.support import store_rows

from sworn.chain.transactions import TransactionStatus
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.jobs import PROMISED, Job, JobStatus, Oath
from sworn.watcher.store.census import Census
from sworn.watcher.store.database import Database
from sworn.watcher.store.exposure import ExposureStore
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.rows import job_row, oath_row
from sworn.watcher.store.strays import stray_senders
from sworn.watcher.store.tables import JOBS, SIGNED_DIGESTS, STATEMENTS
from sworn.watcher.store.transactions import SqlTransactionStore

NOW = 10**9
#: Jobs of one batch, which is what a turn deals with here.
SOME = 20
_FAR = 10**12
#: Instructions of SQLite's machine between two counts.
_GRAIN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much of what there is beside the jobs of one turn."""

    #: Jobs that ended, with their oaths, and the transactions that carried them.
    settled: int = SOME
    #: Results that wait for the end of their windows.
    waiting: int = SOME
    #: New jobs behind those that run.
    queued: int = SOME


def filled(database: Database, load: Load) -> None:
    """Puts it into a database, and the jobs of one turn: `SOME` that run, and `SOME` whose proposal is promised."""
    plan = (
        (JobStatus.SEEN, SOME),
        (JobStatus.PROPOSING, SOME),
        (JobStatus.FINALIZED, load.settled),
        (JobStatus.PROPOSED, load.waiting),
        (JobStatus.SEEN, load.queued),
    )
    jobs = [status for status, count in plan for _ in range(count)]
    rows = [_job(number, status) for number, status in enumerate(jobs)]
    sworn = [number for number, status in enumerate(jobs) if status is not JobStatus.SEEN]
    with database.transaction() as connection:
        connection.execute(insert(JOBS), [job_row(row) | {"created_at": 1.0, "updated_at": 1.0} for row in rows])
        connection.execute(insert(SIGNED_DIGESTS), [oath_row(_oath(number), now=1.0) for number in sworn])
        connection.execute(insert(STATEMENTS), [_statement(number) for number in sworn])
    live = load.settled + 3
    SqlTransactionStore(database=database, chain_id=1).put_many(
        [
            store_rows.record(number, nonce=number, status=status)
            for number in range(live)
            for status in [TransactionStatus.CONFIRMED if number < load.settled else TransactionStatus.SIGNED]
        ]
    )


def questions(database: Database, load: Load) -> Mapping[str, Callable[[], object]]:
    """Everything that turns ask of the database, whose answers are as large for any load."""
    jobs = JobStore(database=database, clock=lambda: NOW)
    transactions = SqlTransactionStore(database=database, chain_id=1)
    census, exposure = Census(database=database), ExposureStore(database=database)
    defences = DefenceStore(database=database)
    running = [_job(number, JobStatus.SEEN) for number in range(SOME)]
    ids = [job.request_id for job in running]
    oaths = [_oath(number) for number in range(SOME)]
    nonce = load.settled + 3
    return {
        "cursor": lambda: jobs.history(store_rows.STREAM),
        "new": lambda: jobs.advance(
            store_rows.STREAM, history=[store_rows.block(9)], seen=[_job(_FAR + n, JobStatus.SEEN) for n in range(SOME)]
        ),
        "due": lambda: jobs.due(block_timestamp=NOW, limit=SOME, seen=False),
        "lease": lambda: jobs.lease("", block_timestamp=NOW, limit=SOME, lease_s=9, running=ids),
        "lease of one of many": lambda: jobs.lease("me", block_timestamp=NOW, limit=SOME, lease_s=9, running=ids),
        "renew": lambda: jobs.renew("me", ids, lease_s=9),
        "found": lambda: jobs.found(ids),
        "oaths": lambda: jobs.oaths(ids, store_rows.SENDER),
        "swear": lambda: jobs.swear_many(oaths, bound=frozenset(ids)),
        "conclude": lambda: jobs.conclude(running, "", signed=[replace(each, signature=bytes(65)) for each in oaths]),
        "save": lambda: jobs.save_many(running),
        "wake": lambda: jobs.wake([_carrier(SOME)]),
        "wake promised ones": lambda: jobs.wake([_carrier(SOME)], PROMISED),
        "carries": lambda: jobs.carries(_carrier(SOME), PROMISED),
        "takeover": jobs.wake_promised,
        "deepened": lambda: jobs.wake_ended(after=3, up_to=4),
        "still running": lambda: exposure.still_running(ids),
        "records": lambda: transactions.get_many([f"propose:{number}" for number in range(SOME)]),
        "live": lambda: transactions.live(store_rows.SENDER),
        "in flight": lambda: transactions.in_flight(store_rows.SENDER),
        "next nonce": lambda: transactions.next_nonce(store_rows.SENDER),
        "ended from": lambda: transactions.ended_from(store_rows.SENDER, nonce - 10),
        "promise": lambda: transactions.put_many([store_rows.record(_FAR + n, nonce=nonce + n) for n in range(3)]),
        "pending": census.pending,
        "strays": lambda: stray_senders(database, chain_id=1, known=[store_rows.SENDER]),
        "next deadline": census.next_deadline,
        "defences": defences.open,
        "demands": defences.demands,
    }


def steps(database: Database, question: Callable[[], object]) -> int:
    """What one question costs: instructions of SQLite's machine, the same on any computer."""
    counted = [0]

    def count() -> int:
        counted[0] += _GRAIN
        return 0

    def attach(connection: Any, *rest: object) -> None:
        connection.connection.driver_connection.set_progress_handler(count, _GRAIN)

    event.listen(database.engine, "before_cursor_execute", attach)
    try:
        question()
    finally:
        event.remove(database.engine, "before_cursor_execute", attach)
    return counted[0]


def _job(number: int, status: JobStatus) -> Job:
    return replace(
        store_rows.job(number, at=number // 10, status=status),
        carrier="" if status is JobStatus.SEEN else _carrier(number),
        due_at=NOW + 1 if status is JobStatus.PROPOSED else 0,
        settled_block=number // 10 + 3 if status.terminal else None,
    )


def _carrier(number: int) -> str:
    return f"proposemany:{number // SOME:064x}"


def _oath(number: int) -> Oath:
    return store_rows.oath(number, digest=number.to_bytes(32))


def _statement(number: int) -> dict[str, object]:
    return {
        "operator": store_rows.SENDER,
        "model_id": b"\x01" * 32,
        "input_root": number.to_bytes(32),
        "output_root": b"\x08" * 32,
    }
