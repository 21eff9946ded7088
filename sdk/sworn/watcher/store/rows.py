"""Jobs and oaths as rows, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sworn.types import Address, Assurance, FailureCode, ModelId, Request, RequestId
from sworn.watcher.jobs import Job, JobStatus, Oath


def job_row(job: Job) -> dict[str, Any]:
    """Everything about a job."""
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
    } | job_progress(job)


def job_progress(job: Job) -> dict[str, Any]:
    """What changes while a job lives. Whoever writes it is done with the model: the lease ends."""
    return {
        "status": job.status.value,
        "reason": job.reason,
        "attempts": job.attempts,
        "errors": job.errors,
        "reverts": job.reverts,
        "runs": job.runs,
        "carrier": job.carrier,
        "retry_at": job.retry_at,
        "due_at": job.due_at,
        "failure": None if job.failure is None else int(job.failure),
        "settled_block": job.settled_block,
        "leased_by": "",
        "lease_until": 0.0,
    }


def job_of(row: Mapping[Any, Any]) -> Job:
    """The job of a row."""
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
        errors=row["errors"],
        reverts=row["reverts"],
        runs=row["runs"],
        carrier=row["carrier"],
        retry_at=row["retry_at"],
        due_at=row["due_at"],
        failure=None if row["failure"] is None else FailureCode(row["failure"]),
        settled_block=row["settled_block"],
    )


def oath_row(oath: Oath, *, now: float) -> dict[str, Any]:
    """An oath, journalled ``now``."""
    return {
        "request_id": oath.request_id,
        "operator": oath.operator,
        "digest": oath.digest,
        "output_root": oath.output_root,
        "trace_root": oath.trace_root,
        "output": oath.output,
        "signature": oath.signature,
        "created_at": now,
    }


def oath_of(row: Any) -> Oath:
    """The oath of a row."""
    return Oath(
        request_id=RequestId(row.request_id),
        operator=row.operator,
        digest=row.digest,
        output_root=row.output_root,
        trace_root=row.trace_root,
        output=row.output,
        signature=row.signature,
    )
