"""Jobs, the cursor, and the journal of sworn results."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from sworn.chain.follower import BlockId
from sworn.errors import ConfigurationError, DigestConflict
from sworn.types import Address, RequestId
from sworn.watcher.jobs import PROMISED, Job, JobStatus, Oath
from sworn.watcher.store import oaths as journal
from sworn.watcher.store.database import Database, database_time, insert_once, unindexed
from sworn.watcher.store.oaths import chunks, insert_new
from sworn.watcher.store.rows import job_of, job_progress, job_row
from sworn.watcher.store.tables import BLOCKS, JOBS, ORIGIN, SIGNED_DIGESTS

#: Jobs that move by themselves.
MOVING = frozenset(status for status in JobStatus if not status.terminal and status is not JobStatus.SEEN)
_OPEN = tuple(status.value for status in JobStatus if not status.terminal)
_SEEN = (JobStatus.SEEN.value,)
_MOVING = tuple(status.value for status in JobStatus if status in MOVING)
#: Ends that a chain reorganisation can undo.
_SETTLED = tuple(
    status.value for status in JobStatus if status.terminal and status not in (JobStatus.ORPHANED, JobStatus.PARKED)
)
#: Ends that a person can undo: what stood in the way may be gone.
REVIVABLE = frozenset({JobStatus.PARKED, JobStatus.IGNORED})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStore:
    """The watcher's durable memory. Every method is one transaction. All raise `StoreError`."""

    database: Database
    clock: Callable[[], float] = time.time

    def claim(self, *, chain_id: int, oracle: Address) -> None:
        """Ties the database to a deployment; raises `ConfigurationError` when it belongs to another one."""
        with self.database.transaction() as connection:
            row = connection.execute(select(ORIGIN)).first()
            if row is None:
                insert_once(connection, ORIGIN, {"chain_id": chain_id, "oracle": oracle})
                row = connection.execute(select(ORIGIN)).one()
            if (row.chain_id, row.oracle) != (chain_id, oracle):
                raise ConfigurationError(
                    f"this database belongs to the oracle {row.oracle} on chain {row.chain_id}, "
                    f"not to {oracle} on chain {chain_id}: use another database"
                )

    def history(self, stream: str) -> tuple[BlockId, ...]:
        """The blocks followed up to, oldest first."""
        with self.database.transaction() as connection:
            rows = connection.execute(select(BLOCKS).where(BLOCKS.c.stream == stream).order_by(BLOCKS.c.number))
            return tuple(BlockId(number=row.number, hash=row.hash) for row in rows)

    def advance(
        self, stream: str, *, history: Sequence[BlockId], seen: Sequence[Job], rewound_to: int | None = None
    ) -> None:
        """Stores a step of the follower whole: what a rewind voids, the jobs from new logs, and the new cursor."""
        with self.database.transaction() as connection:
            if rewound_to is not None:
                self._rewind(connection, rewound_to)
            self._see(connection, seen)
            connection.execute(delete(BLOCKS).where(BLOCKS.c.stream == stream))
            if history:
                rows = [{"stream": stream, "number": block.number, "hash": block.hash} for block in history]
                connection.execute(insert(BLOCKS), rows)

    def job(self, request_id: RequestId) -> Job | None:
        """One job."""
        return self.found((request_id,)).get(request_id)

    def found(self, request_ids: Iterable[RequestId]) -> dict[RequestId, Job]:
        """Those jobs that there are."""
        with self.database.transaction() as connection:
            queries = [select(JOBS).where(JOBS.c.request_id.in_(some)) for some in chunks(request_ids)]
            jobs = [job_of(row) for query in queries for row in connection.execute(query).mappings()]
            return {job.request_id: job for job in jobs}

    def jobs(self, statuses: Collection[JobStatus] = (), *, limit: int | None = None) -> list[Job]:
        """Jobs of some statuses, or of all, in chain order; with ``limit`` the newest."""
        query = select(JOBS).order_by(JOBS.c.block_number.desc(), JOBS.c.request_id.desc()).limit(limit)
        if statuses:
            query = query.where(JOBS.c.status.in_([status.value for status in statuses]))
        with self.database.transaction() as connection:
            return [job_of(row) for row in connection.execute(query).mappings()][::-1]

    def counts(self) -> dict[JobStatus, int]:
        """How many jobs there are of each status; those of which there is none are left out."""
        query = select(JOBS.c.status, func.count()).group_by(JOBS.c.status)
        with self.database.transaction() as connection:
            return {JobStatus(status): count for status, count in connection.execute(query)}

    def due(self, *, block_timestamp: int, limit: int, seen: bool) -> list[Job]:
        """Open jobs whose times have come, oldest first: those that are only SEEN, or all others."""
        statuses = _SEEN if seen else _MOVING
        with self.database.transaction() as connection:
            query = self._due(statuses, block_timestamp).limit(limit)
            return [job_of(row) for row in connection.execute(query).mappings()]

    def lease(
        self, holder: str, *, block_timestamp: int, limit: int, lease_s: float, running: Collection[RequestId] = ()
    ) -> list[Job]:
        """Jobs that are only SEEN and that no other replica works on; for ``lease_s`` they are ``holder``'s.

        A holder without a name is alone with its database: nothing is written. ``running`` are those it has already.
        """
        free = or_(JOBS.c.leased_by.in_(("", holder)), JOBS.c.lease_until < database_time())
        query = self._due(_SEEN, block_timestamp).where(free).limit(limit)
        if running:
            query = query.where(JOBS.c.request_id.not_in(running))
        with self.database.transaction() as connection:
            # Two replicas that look at once each take what the other has not locked; SQLite knows no such lock.
            rows = connection.execute(query.with_for_update(skip_locked=True)).mappings()
            jobs = [job_of(row) for row in rows]
            if holder and jobs:
                lease = {"leased_by": holder, "lease_until": database_time() + lease_s}
                ids = [job.request_id for job in jobs]
                connection.execute(update(JOBS).where(JOBS.c.request_id.in_(ids)).values(lease))
            return jobs

    def renew(self, holder: str, running: Collection[RequestId], *, lease_s: float) -> frozenset[RequestId]:
        """Prolongs leases; those that ``holder`` still has. Without a name it has them all."""
        if not holder or not running:
            return frozenset(running)
        mine = (JOBS.c.leased_by == holder) & JOBS.c.request_id.in_(running)
        with self.database.transaction() as connection:
            connection.execute(update(JOBS).where(mine).values(lease_until=database_time() + lease_s))
            return frozenset(
                RequestId(row.request_id) for row in connection.execute(select(JOBS.c.request_id).where(mine))
            )

    def save(self, job: Job) -> None:
        """Stores a job's progress."""
        self.save_many((job,))

    def save_many(self, jobs: Iterable[Job]) -> None:
        """Stores the progress of many jobs."""
        with self.database.transaction() as connection:
            self._save(connection, jobs)

    def conclude(self, jobs: Collection[Job], holder: str, *, signed: Iterable[Oath] = ()) -> frozenset[RequestId]:
        """Stores what runs have come to, signatures included; the jobs for which it counted.

        A job that moved on, or that another replica has leased meanwhile, is left as it is.
        """
        ids = [job.request_id for job in jobs]
        still = (unindexed(JOBS.c.status) == JobStatus.SEEN.value) & (JOBS.c.leased_by == holder)
        with self.database.transaction() as connection:
            mine: set[RequestId] = set()
            for some in chunks(sorted(ids)):
                query = select(JOBS.c.request_id).where(JOBS.c.request_id.in_(some), still).with_for_update()
                mine |= {RequestId(row.request_id) for row in connection.execute(query)}
            self._save(connection, (job for job in jobs if job.request_id in mine))
            journal.sign(connection, signed)
            return frozenset(mine)

    def revive(self, request_id: RequestId) -> Job | None:
        """Has a job that was given up begin anew; None, and nothing happens, where there is none of that kind."""
        with self.database.transaction() as connection:
            statuses = [status.value for status in REVIVABLE]
            mine = (JOBS.c.request_id == request_id) & JOBS.c.status.in_(statuses)
            values = {**_FRESH, "status": JobStatus.SEEN.value, "reason": "", "failure": None, "settled_block": None}
            if connection.execute(update(JOBS).where(mine).values(values | self._now())).rowcount == 0:
                return None
            return job_of(connection.execute(select(JOBS).where(JOBS.c.request_id == request_id)).mappings().one())

    def wake(self, keys: Collection[str], statuses: Collection[JobStatus] = MOVING) -> None:
        """Has jobs that any of these transactions carries looked at in this turn, whatever the chain's time."""
        if not keys:
            return
        with self.database.transaction() as connection:
            carried = (JOBS.c.carrier.in_(keys), JOBS.c.status.in_([status.value for status in statuses]))
            connection.execute(update(JOBS).where(*carried).values(due_at=0))

    def wake_promised(self) -> None:
        """Has every job looked at whose transaction is promised: who promised it may have died before it was sent."""
        promised = [status.value for status in PROMISED]
        with self.database.transaction() as connection:
            connection.execute(update(JOBS).where(JOBS.c.status.in_(promised)).values(due_at=0))

    def wake_ended(self, *, after: int | None, up_to: int) -> None:
        """Has open jobs looked at whose end was seen first in a block above ``after``, and not above ``up_to``.

        Without ``after`` from the first block on: that reads all open jobs, and is for who takes over.
        """
        ended = JOBS.c.settled_block if after is not None else unindexed(JOBS.c.settled_block)
        status = JOBS.c.status if after is None else unindexed(JOBS.c.status)
        chosen = [status.in_(_OPEN), ended <= up_to, *(() if after is None else (ended > after,))]
        with self.database.transaction() as connection:
            connection.execute(update(JOBS).where(*chosen).values(due_at=0))

    def carries(self, key: str, statuses: Collection[JobStatus]) -> bool:
        """Whether a transaction carries a move of any job that is in one of these statuses."""
        values = [status.value for status in statuses]
        query = select(JOBS.c.request_id).where(JOBS.c.carrier == key, unindexed(JOBS.c.status).in_(values)).limit(1)
        with self.database.transaction() as connection:
            return connection.execute(query).first() is not None

    def oath(self, request_id: RequestId, operator: Address) -> Oath | None:
        """The result sworn by an operator for a request."""
        return self.oaths((request_id,), operator).get(request_id)

    def oaths(self, request_ids: Iterable[RequestId], operator: Address) -> dict[RequestId, Oath]:
        """The results sworn by an operator for those of the requests that have one."""
        with self.database.transaction() as connection:
            return journal.find(connection, request_ids, operator)

    def sworn(self, digest: bytes, operator: Address) -> Oath | None:
        """The result of an operator whose id this is."""
        query = select(SIGNED_DIGESTS.c.request_id).where(
            SIGNED_DIGESTS.c.digest == digest, SIGNED_DIGESTS.c.operator == operator
        )
        with self.database.transaction() as connection:
            request_id = connection.execute(query).scalar()
            found = {} if request_id is None else journal.find(connection, (RequestId(request_id),), operator)
            return next(iter(found.values()), None)

    def restore(self, job: Job, oath: Oath) -> bool:
        """Takes a result of ours that stands on chain into a journal that does not have it.

        False, and nothing is stored, where the journal has another result for the request.
        """
        operator = Address(oath.operator)
        with self.database.transaction() as connection:
            journal.write(connection, (oath,), now=self.clock())
            if journal.find(connection, (oath.request_id,), operator)[oath.request_id].digest != oath.digest:
                return False
            self._see(connection, (job,))
            return True

    def swear(self, oath: Oath, *, one_answer_per_input: bool = False) -> None:
        """Journals a digest before it is signed; the same one again is fine.

        Raises `DigestConflict` when another result was journalled for the request, or with ``one_answer_per_input``
        another output for the same model and input: it must not be signed.
        """
        (conflict,) = self.swear_many((oath,), bound=frozenset({oath.request_id} if one_answer_per_input else ()))
        if conflict is not None:
            raise conflict

    def swear_many(self, oaths: Sequence[Oath], *, bound: frozenset[RequestId]) -> list[DigestConflict | None]:
        """Journals digests of one operator before they are signed; a conflict in the place of each that must not be.

        ``bound`` are the requests whose models promise bits: they have one answer per model and input.
        """
        with self.database.transaction() as connection:
            return journal.swear(connection, oaths, bound=bound, now=self.clock())

    def store_signature(self, oath: Oath) -> None:
        """Completes a journalled digest by its signature."""
        with self.database.transaction() as connection:
            journal.sign(connection, (oath,))

    def store_signatures(self, oaths: Iterable[Oath]) -> None:
        """Completes journalled digests by their signatures."""
        with self.database.transaction() as connection:
            journal.sign(connection, oaths)

    def _due(self, statuses: Sequence[str], block_timestamp: int) -> Any:
        # New jobs are all due and are read in their order; of the others, most wait for windows: those are not read.
        retry_at = JOBS.c.retry_at if statuses == _SEEN else unindexed(JOBS.c.retry_at)
        order = (JOBS.c.retry_at, JOBS.c.block_number)
        return (
            select(JOBS)
            .where(JOBS.c.status.in_(statuses), JOBS.c.due_at <= block_timestamp, retry_at <= self.clock())
            # What the chain has ended can wait for what still has a deadline.
            .order_by(*order if statuses == _SEEN else (JOBS.c.settled_block.is_not(None), *order))
        )

    def _save(self, connection: Connection, jobs: Iterable[Job]) -> None:
        rows = [job_progress(job) | self._now() | {"of": job.request_id} for job in jobs]
        if rows:
            connection.execute(update(JOBS).where(JOBS.c.request_id == bindparam("of")), rows)

    def _rewind(self, connection: Connection, number: int) -> None:
        """Orphans the jobs of void blocks and opens again those, of other blocks, whose end lay in void ones."""
        orphaned = {"status": JobStatus.ORPHANED.value, "reason": "its block left the chain"}
        connection.execute(update(JOBS).where(JOBS.c.block_number > number).values(orphaned | self._now()))
        reopened = {**_FRESH, "status": JobStatus.SEEN.value, "reason": "", "settled_block": None}
        connection.execute(
            update(JOBS)
            .where(unindexed(JOBS.c.status).in_(_SETTLED), JOBS.c.settled_block > number)
            .values(reopened | self._now())
        )
        # A window that was waited for may have to be waited for again, and an end that was waited for may be undone.
        waiting = {**_FRESH, "settled_block": None}
        connection.execute(update(JOBS).where(JOBS.c.status.in_(_OPEN)).values(waiting))

    def _see(self, connection: Connection, jobs: Iterable[Job]) -> None:
        fresh = {job.request_id: job for job in jobs}
        orphans: set[RequestId] = set()
        for some in chunks(fresh):
            query = select(JOBS.c.request_id, JOBS.c.status).where(JOBS.c.request_id.in_(some))
            known = {RequestId(row.request_id): row.status for row in connection.execute(query)}
            orphans |= {request_id for request_id, status in known.items() if status == JobStatus.ORPHANED.value}
            stamp = {"created_at": self.clock()} | self._now()
            rows = [job_row(fresh[request_id]) | stamp for request_id in sorted(some) if request_id not in known]
            insert_new(connection, JOBS, rows)
        for request_id in orphans:
            # A transaction that carried it may still be in some pool: that it did is not forgotten.
            row = {name: value for name, value in job_row(fresh[request_id]).items() if name != "carrier"}
            connection.execute(update(JOBS).where(JOBS.c.request_id == request_id).values(row | self._now()))

    def _now(self) -> dict[str, Any]:
        return {"updated_at": self.clock()}


_FRESH: Mapping[str, Any] = {"due_at": 0, "retry_at": 0.0, "attempts": 0, "errors": 0, "reverts": 0}
