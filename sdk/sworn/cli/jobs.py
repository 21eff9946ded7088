"""`sworn jobs`: what a watcher has in hand, from its database; whether it runs or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from sworn.cli.command import OUTPUT, command
from sworn.cli.database import FilesOption, opened
from sworn.cli.session import Session
from sworn.cli.stored import LIMIT, identity_of, table_of
from sworn.cli.values import RequestArgument
from sworn.errors import ConfigurationError
from sworn.watcher.jobs import Job, JobStatus


def register(app: typer.Typer) -> None:
    """Adds `jobs`."""
    group = typer.Typer(name="jobs", help="The requests that a watcher has in hand.", no_args_is_help=True)
    command(group, "list", options=OUTPUT)(_list)
    command(group, "show", options=OUTPUT)(_show)
    command(group, "retry", options=OUTPUT)(_retry)
    app.add_typer(group)


def _list(
    session: Session,
    config: FilesOption = None,
    status: Annotated[
        list[JobStatus] | None, typer.Option(help="Only these; repeat. By default all that are open, and parked ones.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = LIMIT,
) -> None:
    """Counts all jobs, and lists some with the reason why they are where they are."""
    with opened(config) as (database, _):
        from sworn.watcher.store import migration
        from sworn.watcher.store.jobs import JobStore

        migration.require_current(database)
        store = JobStore(database=database)
        wanted = status or [each for each in JobStatus if not each.terminal or each is JobStatus.PARKED]
        counts, jobs = store.counts(), store.jobs(wanted, limit=limit)
    named = {each.value: count for each, count in counts.items()}
    session.output.result({"counts": named, "jobs": [_plain(job) for job in jobs]}, _table(named, jobs))


def _show(session: Session, request_id: RequestArgument, config: FilesOption = None) -> None:
    """Shows all that is remembered of one job."""
    with opened(config) as (database, _):
        from sworn.types import RequestId
        from sworn.watcher.store import migration
        from sworn.watcher.store.jobs import JobStore

        migration.require_current(database)
        job = JobStore(database=database).job(RequestId(identity_of(request_id, subject="request")))
    if job is None:
        raise ConfigurationError(f"no job has the id {request_id}: see `sworn jobs list`")
    session.output.result(_plain(job) | _history(job))


def _retry(session: Session, request_id: RequestArgument, config: FilesOption = None) -> None:
    """Has a job that was parked or ignored begin anew: after what stopped it has been repaired.

    The running watcher takes it up at its next turn. What was sworn for it stays sworn: no second result is signed.
    """
    with opened(config) as (database, _):
        from sworn.types import RequestId
        from sworn.watcher.store import migration
        from sworn.watcher.store.jobs import JobStore

        migration.require_current(database)
        job = JobStore(database=database).revive(RequestId(identity_of(request_id, subject="request")))
    if job is None:
        raise ConfigurationError(f"{request_id} is no job that was parked or ignored: see `sworn jobs list`")
    session.output.result(_plain(job), f"{request_id} begins anew")


def _plain(job: Job) -> dict[str, Any]:
    return {
        "request_id": "0x" + job.request_id.hex(),
        "status": job.status.value,
        "reason": job.reason,
        "attempts": job.attempts,
        "deadline": job.request.deadline,
        "block_number": job.block_number,
        "model_id": "0x" + job.request.model_id.hex(),
    }


def _history(job: Job) -> dict[str, Any]:
    request = job.request
    return {
        "requester": request.requester,
        "operator": request.operator,
        "fee_wei": request.fee_wei,
        "value_at_risk_wei": request.value_at_risk_wei,
        "window_s": request.window_s,
        "input_bytes": len(job.input),
        "input_root": "0x" + request.input_root.hex(),
        "transaction": "0x" + job.transaction_hash.hex(),
        "errors": job.errors,
        "reverts": job.reverts,
        "runs": job.runs,
        "carrier": job.carrier,
        "not_before": {"wall_clock": job.retry_at, "block_time": job.due_at},
        "failure": None if job.failure is None else job.failure.name,
        "settled_block": job.settled_block,
    }


def _table(counts: dict[str, int], jobs: Sequence[Job]) -> Table:
    rows = ((job.request_id, job.status.value, job.request.deadline, job.reason) for job in jobs)
    return table_of(counts, rows, subject="request", nothing="no jobs")
