"""For how long traces are kept: until nothing about their results can be disputed any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block
from sworn.types import ZERO_HASH, Address, Status
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import JobStatus, effective_deadline
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.traces import KeptTrace, TraceStore

#: Seconds between two looks at what is kept.
SWEEP_INTERVAL_S: Final = 60.0
_DISPUTABLE: Final = frozenset({JobStatus.ANSWERED, JobStatus.PROPOSING, JobStatus.PROPOSED, JobStatus.FINALIZING})


class Retention:
    """Removes traces whose time is over, and those of runs that were never sworn to."""

    def __init__(
        self,
        *,
        traces: TraceStore,
        store: JobStore,
        contracts: Contracts,
        operator: Address,
        keep_s: int,
        confirmations: int,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
    ) -> None:
        self._traces = traces
        self._store = store
        self._contracts = contracts
        self._operator = operator
        self._keep_s = keep_s
        self._confirmations = confirmations
        self._log = log
        self._clock = clock
        self._next_at = 0.0
        self._has_looked = False

    def sweep(self, head: Block) -> None:
        """Looks at every trace, now and then. Raises `ChainError`, `StoreError`, `TraceError`."""
        if self._clock() < self._next_at:
            return
        self._next_at = self._clock() + SWEEP_INTERVAL_S
        if not self._has_looked:
            self._alarm()
            self._has_looked = True
        for trace in self._traces.kept():
            if self._is_over(trace, head):
                self._traces.drop(trace)
                self._log.info("trace_dropped", request_id=trace.request_id, trace_root=trace.trace_root)

    def _alarm(self) -> None:
        """Says, once after a start, which results on their way could not be defended."""
        for job in self._store.jobs():
            oath = self._store.oath(job.request_id, self._operator) if job.status in _DISPUTABLE else None
            if oath is None or oath.trace_root == ZERO_HASH:
                continue
            trace = KeptTrace(request_id=job.request_id, trace_root=oath.trace_root)
            if self._traces.find(trace) is None:
                self._log.critical("trace_missing", request_id=job.request_id, trace_root=oath.trace_root)

    def _is_over(self, trace: KeptTrace, head: Block) -> bool:
        oath = self._store.oath(trace.request_id, self._operator)
        if oath is None or oath.trace_root != trace.trace_root:
            # The watcher died between keeping it and swearing: the model runs again.
            return True
        job = self._store.job(trace.request_id)
        if job is None or head.timestamp <= job.request.deadline + job.request.window_s + self._keep_s:
            return False
        block = max(head.number - self._confirmations, job.block_number)
        state = self._contracts.state_of(trace.request_id, block=block)
        # INVARIANT: a result that is in its window, or can still be proposed, can be defended.
        ends_at = effective_deadline(job.request, state) + job.request.window_s + self._keep_s
        return state.status is not Status.PROPOSED and head.timestamp > ends_at
