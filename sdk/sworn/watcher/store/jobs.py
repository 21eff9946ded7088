"""Jobs, the cursor, and the journal of sworn results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from sworn.chain.follower import BlockId
from sworn.errors import ConfigurationError, DigestConflict
from sworn.types import Address, Assurance, FailureCode, ModelId, Request, RequestId
from sworn.watcher.jobs import Job, JobStatus, Oath
from sworn.watcher.store.database import Database
from sworn.watcher.store.tables import BLOCKS, JOBS, ORIGIN, SIGNED_DIGESTS

_OPEN = tuple(status.value for status in JobStatus if not status.terminal)
_MOVING = tuple(value for value in _OPEN if value != JobStatus.SEEN.value)
#: Ends that a chain reorganisation can undo.
_SETTLED = tuple(
    status.value for status in JobStatus if status.terminal and status not in (JobStatus.ORPHANED, JobStatus.PARKED)
)


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
                connection.execute(insert(ORIGIN).values(chain_id=chain_id, oracle=oracle))
            elif (row.chain_id, row.oracle) != (chain_id, oracle):
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
            for job in seen:
                self._see(connection, job)
            connection.execute(delete(BLOCKS).where(BLOCKS.c.stream == stream))
            if history:
                rows = [{"stream": stream, "number": block.number, "hash": block.hash} for block in history]
                connection.execute(insert(BLOCKS), rows)

    def job(self, request_id: RequestId) -> Job | None:
        """One job."""
        with self.database.transaction() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.request_id == request_id)).mappings().first()
            return None if row is None else _job(row)

    def jobs(self) -> list[Job]:
        """Every job, in chain order."""
        with self.database.transaction() as connection:
            rows = connection.execute(select(JOBS).order_by(JOBS.c.block_number, JOBS.c.request_id))
            return [_job(row) for row in rows.mappings()]

    def counts(self) -> dict[JobStatus, int]:
        """How many jobs there are of each status; those of which there is none are left out."""
        query = select(JOBS.c.status, func.count()).group_by(JOBS.c.status)
        with self.database.transaction() as connection:
            return {JobStatus(status): count for status, count in connection.execute(query)}

    def due(self, *, block_timestamp: int, limit: int, seen: bool) -> list[Job]:
        """Open jobs whose times have come, oldest first: those that are only SEEN, or all others."""
        statuses = (JobStatus.SEEN.value,) if seen else _MOVING
        query = (
            select(JOBS)
            .where(JOBS.c.status.in_(statuses), JOBS.c.due_at <= block_timestamp, JOBS.c.retry_at <= self.clock())
            .order_by(JOBS.c.retry_at, JOBS.c.block_number)
            .limit(limit)
        )
        with self.database.transaction() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]

    def save(self, job: Job) -> None:
        """Stores a job's progress."""
        with self.database.transaction() as connection:
            values = _progress(job) | self._now()
            connection.execute(update(JOBS).where(JOBS.c.request_id == job.request_id).values(values))

    def oath(self, request_id: RequestId, operator: Address) -> Oath | None:
        """The result sworn by an operator for a request."""
        with self.database.transaction() as connection:
            return _oath(connection, request_id, operator)

    def sworn(self, digest: bytes, operator: Address) -> Oath | None:
        """The result of an operator whose id this is."""
        query = select(SIGNED_DIGESTS.c.request_id).where(
            SIGNED_DIGESTS.c.digest == digest, SIGNED_DIGESTS.c.operator == operator
        )
        with self.database.transaction() as connection:
            request_id = connection.execute(query).scalar()
            return None if request_id is None else _oath(connection, RequestId(request_id), operator)

    def restore(self, job: Job, oath: Oath) -> bool:
        """Takes a result of ours that stands on chain into a journal that does not have it.

        False, and nothing is stored, where the journal has another result for the request.
        """
        with self.database.transaction() as connection:
            known = _oath(connection, oath.request_id, Address(oath.operator))
            if known is not None and known.digest != oath.digest:
                return False
            self._see(connection, job)
            if known is None:
                self._journal(connection, oath)
            return True

    def swear(self, oath: Oath, *, one_answer_per_input: bool = False) -> None:
        """Journals a digest before it is signed; the same one again is fine.

        Raises `DigestConflict` when another result was journalled for the request, or with ``one_answer_per_input``
        another output for another request with the same model and input: it must not be signed.
        """
        with self.database.transaction() as connection:
            if one_answer_per_input:
                _check_one_answer(connection, oath)
            known = _oath(connection, oath.request_id, Address(oath.operator))
            if known is None:
                self._journal(connection, oath)
            # INVARIANT: one operator never signs two different results for one request.
            elif known.digest != oath.digest:
                raise DigestConflict(f"another result is journalled for request 0x{oath.request_id.hex()}")

    def store_signature(self, oath: Oath) -> None:
        """Completes a journalled digest by its signature."""
        with self.database.transaction() as connection:
            connection.execute(
                update(SIGNED_DIGESTS)
                .where(
                    SIGNED_DIGESTS.c.request_id == oath.request_id,
                    SIGNED_DIGESTS.c.operator == oath.operator,
                    SIGNED_DIGESTS.c.digest == oath.digest,
                )
                .values(signature=oath.signature)
            )

    def _journal(self, connection: Connection, oath: Oath) -> None:
        values = {
            "request_id": oath.request_id,
            "operator": oath.operator,
            "digest": oath.digest,
            "output_root": oath.output_root,
            "trace_root": oath.trace_root,
            "output": oath.output,
            "signature": oath.signature,
            "created_at": self.clock(),
        }
        connection.execute(insert(SIGNED_DIGESTS).values(values))

    def _rewind(self, connection: Connection, number: int) -> None:
        """Orphans the jobs of void blocks and opens again those whose end lay in them."""
        orphaned = {"status": JobStatus.ORPHANED.value, "reason": "its block left the chain"}
        connection.execute(update(JOBS).where(JOBS.c.block_number > number).values(orphaned | self._now()))
        reopened = {**_FRESH, "status": JobStatus.SEEN.value, "reason": "", "settled_block": None}
        connection.execute(
            update(JOBS)
            .where(JOBS.c.block_number <= number, JOBS.c.status.in_(_SETTLED), JOBS.c.settled_block > number)
            .values(reopened | self._now())
        )
        # A window that was waited for may have to be waited for again.
        connection.execute(update(JOBS).where(JOBS.c.status.in_(_OPEN)).values(_FRESH))

    def _see(self, connection: Connection, job: Job) -> None:
        known = connection.execute(select(JOBS.c.status).where(JOBS.c.request_id == job.request_id)).scalar()
        if known is None:
            connection.execute(insert(JOBS).values(_row(job) | {"created_at": self.clock()} | self._now()))
        elif known == JobStatus.ORPHANED.value:
            connection.execute(update(JOBS).where(JOBS.c.request_id == job.request_id).values(_row(job) | self._now()))

    def _now(self) -> dict[str, Any]:
        return {"updated_at": self.clock()}


_FRESH: Mapping[str, Any] = {"due_at": 0, "retry_at": 0.0, "attempts": 0}


def _oath(connection: Connection, request_id: RequestId, operator: Address) -> Oath | None:
    row = connection.execute(
        select(SIGNED_DIGESTS).where(SIGNED_DIGESTS.c.request_id == request_id, SIGNED_DIGESTS.c.operator == operator)
    ).first()
    if row is None:
        return None
    return Oath(
        request_id=RequestId(row.request_id),
        operator=row.operator,
        digest=row.digest,
        output_root=row.output_root,
        trace_root=row.trace_root,
        output=row.output,
        signature=row.signature,
    )


def _check_one_answer(connection: Connection, oath: Oath) -> None:
    asked = select(JOBS.c.model_id, JOBS.c.input_root).where(JOBS.c.request_id == oath.request_id).subquery()
    other = connection.execute(
        select(JOBS.c.request_id)
        .join(asked, (JOBS.c.model_id == asked.c.model_id) & (JOBS.c.input_root == asked.c.input_root))
        .join(SIGNED_DIGESTS, SIGNED_DIGESTS.c.request_id == JOBS.c.request_id)
        .where(SIGNED_DIGESTS.c.operator == oath.operator, SIGNED_DIGESTS.c.output_root != oath.output_root)
        .limit(1)
    ).scalar()
    # INVARIANT: where bits are promised, one operator never signs two outputs of one input; that alone convicts it.
    if other is not None:
        raise DigestConflict(f"another output is journalled for the same model and input, by request 0x{other.hex()}")


def _row(job: Job) -> dict[str, Any]:
    request = job.request
    return {
        "request_id": job.request_id,
        "model_id": request.model_id,
        "input_root": request.input_root,
        "requester": request.requester,
        "operator": request.operator,
        "refund_to": request.refund_to,
        "fee_wei": request.fee_wei,
        "value_at_risk_wei": request.value_at_risk_wei,
        "callback_gas": request.callback_gas,
        "window_s": request.window_s,
        "deadline": request.deadline,
        "assurance": int(request.assurance),
        "salt": request.salt,
        "input": job.input,
        "block_number": job.block_number,
        "block_hash": job.block_hash,
        "transaction_hash": job.transaction_hash,
    } | _progress(job)


def _progress(job: Job) -> dict[str, Any]:
    return {
        "status": job.status.value,
        "reason": job.reason,
        "attempts": job.attempts,
        "retry_at": job.retry_at,
        "due_at": job.due_at,
        "failure": None if job.failure is None else int(job.failure),
        "settled_block": job.settled_block,
    }


def _job(row: Mapping[Any, Any]) -> Job:
    return Job(
        request_id=RequestId(row["request_id"]),
        request=Request(
            model_id=ModelId(row["model_id"]),
            input_root=row["input_root"],
            requester=Address(row["requester"]),
            operator=Address(row["operator"]),
            refund_to=Address(row["refund_to"]),
            fee_wei=row["fee_wei"],
            value_at_risk_wei=row["value_at_risk_wei"],
            callback_gas=row["callback_gas"],
            window_s=row["window_s"],
            deadline=row["deadline"],
            assurance=Assurance(row["assurance"]),
            salt=row["salt"],
        ),
        input=row["input"],
        block_number=row["block_number"],
        block_hash=row["block_hash"],
        transaction_hash=row["transaction_hash"],
        status=JobStatus(row["status"]),
        reason=row["reason"],
        attempts=row["attempts"],
        retry_at=row["retry_at"],
        due_at=row["due_at"],
        failure=None if row["failure"] is None else FailureCode(row["failure"]),
        settled_block=row["settled_block"],
    )
