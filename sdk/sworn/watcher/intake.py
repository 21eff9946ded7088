"""From logs to jobs, in step with the cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from sworn.chain.follower import Follower
from sworn.chain.gateway import Log
from sworn.errors import CodecError
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import Job
from sworn.watcher.store.jobs import JobStore

#: Name of the stream of `InferenceRequested` logs in the store.
REQUESTS = "requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Follows requests and makes each one a job."""

    follower: Follower
    contracts: Contracts
    store: JobStore
    log: FilteringBoundLogger
    checkpoint: Callable[[str], None]

    def follow(self) -> bool:
        """One step; whether it brought the cursor forward or back. Raises `ChainError` and `StoreError`."""
        history = self.store.history(REQUESTS)
        step = self.follower.step(history)
        if step.history == history and step.rewound_to is None:
            return not step.caught_up
        self.checkpoint("logs_fetched")
        jobs = [job for log in step.logs if (job := self._job(log)) is not None]
        # INVARIANT: the cursor never passes a request that is not stored as a job: both move in one transaction.
        self.store.advance(REQUESTS, history=step.history, seen=jobs, rewound_to=step.rewound_to)
        self.checkpoint("logs_stored")
        if step.rewound_to is not None:
            self.log.warning("chain_reorganised", block=step.rewound_to)
        for job in jobs:
            self.log.info("request_seen", request_id=job.request_id, block=job.block_number, tx=job.transaction_hash)
        return True

    def _job(self, log: Log) -> Job | None:
        try:
            return self.contracts.job_of(log)
        except CodecError as error:
            self.log.error("request_unreadable", block=log.block_number, tx=log.transaction_hash, reason=str(error))
            return None
