"""How much stake open results bind, counted in the database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from sworn.types import Address, RequestId
from sworn.watcher.jobs import JobStatus
from sworn.watcher.store.database import Database, unindexed
from sworn.watcher.store.tables import JOBS

#: Sworn, and not known to be on chain.
SWORN: Final = (JobStatus.ANSWERED, JobStatus.PROPOSING)
#: On chain with a bond behind it.
LOCKED: Final = (JobStatus.PROPOSED, JobStatus.DISPUTED, JobStatus.FINALIZING)
_OPEN: Final = tuple(status.value for status in (*SWORN, *LOCKED))
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenResults:
    """Results of one requester with one value at risk, that are in one status."""

    requester: Address
    status: JobStatus
    value_at_risk_wei: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureStore:
    """Reads only. All raise `StoreError`."""

    database: Database

    def open_results(self) -> list[OpenResults]:
        """All results that bind stake, in groups."""
        columns = (JOBS.c.requester, JOBS.c.status, JOBS.c.value_at_risk_wei)
        grouped = select(*columns, func.count()).where(JOBS.c.status.in_(_OPEN)).group_by(*columns)
        with self.database.transaction() as connection:
            return [
                OpenResults(requester=Address(who), status=JobStatus(status), value_at_risk_wei=value, count=count)
                for who, status, value, count in connection.execute(grouped)
            ]

    def still_running(self, requests: Collection[RequestId]) -> set[RequestId]:
        """Those of some jobs that no run has concluded."""
        found: set[RequestId] = set()
        wanted = list(requests)
        with self.database.transaction() as connection:
            for start in range(0, len(wanted), _CHUNK):
                some = JOBS.c.request_id.in_(wanted[start : start + _CHUNK])
                seen = select(JOBS.c.request_id).where(some, unindexed(JOBS.c.status) == JobStatus.SEEN.value)
                found.update(RequestId(bytes(request_id)) for (request_id,) in connection.execute(seen))
        return found
