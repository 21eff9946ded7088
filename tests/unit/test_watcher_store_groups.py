from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.support import store_rows
from tests.support.store_rows import OPERATOR, STREAM

from sworn.errors import DigestConflict
from sworn.types import RequestId
from sworn.watcher.jobs import Job, JobStatus, Oath
from sworn.watcher.store import migration
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.tables import JOBS

LEASE_S = 1000.0


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty, migrated database."""
    file = tmp_path_factory.mktemp("empty") / "watcher.db"
    database = open_database(f"sqlite:///{file}")
    migration.upgrade(database)
    database.close()
    return file


@pytest.fixture
def database(empty: Path, tmp_path: Path) -> Iterator[Database]:
    """A database of one's own."""
    database = open_database(f"sqlite:///{shutil.copy(empty, tmp_path)}")
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> JobStore:
    """The job store over it, with four jobs that were only seen."""
    store = JobStore(database=database, clock=lambda: 100.0)
    store.advance(STREAM, history=[store_rows.block(1)], seen=[store_rows.job(number) for number in range(1, 5)])
    return store


def _signed(number: int, digest: bytes) -> Oath:
    return replace(store_rows.oath(number, digest=digest), signature=b"\x01" * 65)


def _lease(store: JobStore, holder: str, limit: int = 9, running: tuple[RequestId, ...] = ()) -> list[RequestId]:
    jobs = store.lease(holder, block_timestamp=50, limit=limit, lease_s=LEASE_S, running=running)
    return [job.request_id for job in jobs]


def _ids(*numbers: int) -> list[RequestId]:
    return [store_rows.job(number).request_id for number in numbers]


def test_oaths_sworn_together_leave_out_only_what_contradicts(store: JobStore) -> None:
    """One conflict in a group keeps nothing else from being sworn, and is never sworn itself."""
    store.swear(store_rows.oath(1, digest=b"\x01" * 32))
    group = [
        store_rows.oath(1, digest=b"\x02" * 32),
        store_rows.oath(2, digest=b"\x03" * 32),
        store_rows.oath(3, digest=b"\x04" * 32),
    ]
    first, *others = store.swear_many(group, bound=frozenset())
    assert isinstance(first, DigestConflict) and others == [None, None]
    journalled = store.oaths(_ids(1, 2, 3), OPERATOR)
    assert [journalled[key].digest[0] for key in _ids(1, 2, 3)] == [1, 3, 4]


def test_two_outputs_of_one_input_in_one_group_are_not_both_sworn(store: JobStore) -> None:
    """Both would convict the operator, and nothing but the group itself shows the contradiction."""
    lie = replace(store_rows.oath(2, digest=b"\x03" * 32), output_root=b"\x09" * 32)
    outcomes = store.swear_many([store_rows.oath(1, digest=b"\x01" * 32), lie], bound=frozenset(_ids(1, 2)))
    assert sorted(outcome is None for outcome in outcomes) == [False, True]
    assert len(store.oaths(_ids(1, 2), OPERATOR)) == 1


def test_statement_outlives_its_job(store: JobStore, database: Database) -> None:
    """The one output of an input is remembered when the jobs that it was sworn for are long gone."""
    store.swear(store_rows.oath(1, digest=b"\x01" * 32), one_answer_per_input=True)
    with database.transaction() as connection:
        connection.execute(JOBS.delete().where(JOBS.c.request_id == _ids(1)[0]))
    with pytest.raises(DigestConflict):
        store.swear(
            replace(store_rows.oath(2, digest=b"\x03" * 32), output_root=b"\x09" * 32), one_answer_per_input=True
        )


def test_leased_jobs_are_nobody_elses_until_the_lease_ends(store: JobStore, database: Database) -> None:
    """Two replicas never run one job at a time, and those of a dead one are free again."""
    assert _lease(store, "a", 2) == _ids(1, 2)
    assert _lease(store, "b") == _ids(3, 4)
    assert _lease(store, "a", running=tuple(_ids(1, 2))) == []
    with database.transaction() as connection:
        connection.execute(update(JOBS).where(JOBS.c.leased_by == "b").values(lease_until=1.0))
    assert _lease(store, "a", running=tuple(_ids(1, 2))) == _ids(3, 4)


def test_restarted_replica_takes_its_own_jobs_up_at_once(store: JobStore) -> None:
    """What a process had leased when it was killed does not wait for the end of its lease."""
    assert _lease(store, "a") == _ids(1, 2, 3, 4)
    assert _lease(store, "a") == _ids(1, 2, 3, 4)


def test_leases_renewed_tell_which_are_still_held(store: JobStore, database: Database) -> None:
    """Whoever lost a job to another replica learns it before it acts on its run."""
    _lease(store, "a", 2)
    with database.transaction() as connection:
        connection.execute(update(JOBS).where(JOBS.c.request_id == _ids(2)[0]).values(leased_by="b"))
    assert store.renew("a", _ids(1, 2), lease_s=LEASE_S) == frozenset(_ids(1))
    assert store.renew("", _ids(1, 2), lease_s=LEASE_S) == frozenset(_ids(1, 2))


def test_run_that_ends_after_its_lease_changes_nothing(store: JobStore) -> None:
    """A late failure must not settle a job that another replica has proposed meanwhile."""
    _lease(store, "a", 2)
    store.save(replace(store_rows.job(1), status=JobStatus.PROPOSED))
    late = [replace(store_rows.job(1), status=JobStatus.IGNORED), replace(store_rows.job(2), status=JobStatus.ANSWERED)]
    store.swear(store_rows.oath(2, digest=b"\x03" * 32))
    assert store.conclude(late, "a", signed=[_signed(2, b"\x03" * 32)]) == frozenset(_ids(2))
    statuses = {job.request_id: job.status for job in store.jobs()}
    assert [statuses[key] for key in _ids(1, 2)] == [JobStatus.PROPOSED, JobStatus.ANSWERED]
    assert store.oath(_ids(2)[0], OPERATOR) == _signed(2, b"\x03" * 32)


def test_job_seen_again_after_a_reorganisation_keeps_its_carrier(store: JobStore) -> None:
    """A transaction that may still be mined is not sent a second time because the request's block changed."""
    store.save(replace(store_rows.job(1), status=JobStatus.ORPHANED, carrier="proposemany:ab"))
    store.advance(STREAM, history=[store_rows.block(2)], seen=[store_rows.job(1, at=2)])
    assert store.job(_ids(1)[0]) == replace(store_rows.job(1, at=2), carrier="proposemany:ab")


def test_carried_jobs_are_found_by_transaction_and_status(store: JobStore) -> None:
    """A transaction is wanted as long as one job that it carries is where it would help."""
    store.save(replace(store_rows.job(1), status=JobStatus.PROPOSING, carrier="proposemany:ab"))
    store.save(replace(store_rows.job(2), status=JobStatus.PROPOSED, carrier="proposemany:ab"))
    assert store.carries("proposemany:ab", [JobStatus.PROPOSING])
    assert not store.carries("proposemany:ab", [JobStatus.FINALIZING])
    assert not store.carries("proposemany:cd", [JobStatus.PROPOSING])


def test_job_is_revived_only_where_it_was_given_up(store: JobStore) -> None:
    """A person can have a job begin anew that this watcher gave up, and no other: those are the chain's business."""
    for status in JobStatus:
        given_up = replace(store_rows.job(1), status=status, reason="why", errors=8, attempts=9, retry_at=1e9)
        store.save(given_up)
        revived = store.revive(given_up.request_id)
        if status in (JobStatus.PARKED, JobStatus.IGNORED):
            assert revived == store_rows.job(1) == store.job(given_up.request_id)
        else:
            assert revived is None and store.job(given_up.request_id) == given_up


def test_jobs_of_some_statuses_are_the_newest_of_them(store: JobStore) -> None:
    """What a person asks for is not buried under a million other jobs."""
    parked: list[Job] = [replace(store_rows.job(number), status=JobStatus.PARKED) for number in (1, 3)]
    store.save_many(parked)
    assert store.jobs([JobStatus.PARKED]) == parked
    assert store.jobs([JobStatus.PARKED], limit=1) == parked[1:]
