"""How long requests wait for their results, told to whoever counts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from sworn.chain.gateway import Block
from sworn.watcher.jobs import Job
from sworn.watcher.store.database import Database
from sworn.watcher.store.tables import JOBS
from sworn.watcher.telemetry import NO_TELEMETRY, Telemetry

#: Identifiers in one query.
_CHUNK = 500


def tell_proposed(telemetry: Telemetry, database: Database, jobs: Sequence[Job], *, head: Block, now: float) -> None:
    """Jobs whose results have just been seen on chain. Raises `StoreError`."""
    if telemetry is NO_TELEMETRY or not jobs:
        return
    by_id = {bytes(job.request_id): job for job in jobs}
    ids = list(by_id)
    with database.transaction() as connection:
        for start in range(0, len(ids), _CHUNK):
            some = ids[start : start + _CHUNK]
            query = select(JOBS.c.request_id, JOBS.c.created_at).where(JOBS.c.request_id.in_(some))
            for row in connection.execute(query):
                job = by_id[bytes(row.request_id)]
                telemetry.proposed(max(head.number - job.block_number, 0), max(now - row.created_at, 0.0))
