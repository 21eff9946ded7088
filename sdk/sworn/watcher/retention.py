"""For how long traces are kept: until nothing about their results can be disputed any more."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block
from sworn.types import Address, RequestId, Status
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import effective_deadline
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.payloads import PayloadStore
from sworn.watcher.traces import KeptTrace, TraceStore

#: Longer than any request's deadline can be extended by disputes over earlier results.
MAX_EXTENSION_S: Final = 60 * 86_400
#: Seconds between two looks at what is kept.
SWEEP_INTERVAL_S: Final = 60.0
#: Where a result of ours stands, or may stand again, until it is final.
_CONTESTABLE: Final = frozenset({Status.PROPOSED, Status.DISPUTED})


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
        contested: Callable[[], Collection[RequestId]] = frozenset,
        payloads: PayloadStore | None = None,
    ) -> None:
        """``contested`` says which requests have results of ours under challenge: of these everything is kept."""
        self._traces = traces
        self._store = store
        self._contracts = contracts
        self._operator = operator
        self._keep_s = keep_s
        self._confirmations = confirmations
        self._log = log
        self._clock = clock
        self._contested = contested
        self._payloads = payloads
        self._next_at = 0.0

    def sweep(self, head: Block) -> None:
        """Looks at every trace, now and then. Raises `ChainError`, `StoreError`, `TraceError`."""
        if self._clock() < self._next_at:
            return
        self._next_at = self._clock() + SWEEP_INTERVAL_S
        contested = self._contested()
        for trace in self._traces.kept():
            if trace.request_id not in contested and self._is_over(trace, head):
                self._traces.drop(trace)
                self._log.info("trace_dropped", request_id=trace.request_id, trace_root=trace.trace_root)
        if self._payloads is not None:
            # Disputes extend the deadlines of requests by their own length.
            self._payloads.drop(ended_before=head.timestamp - self._keep_s - MAX_EXTENSION_S)

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
        return state.status not in _CONTESTABLE and head.timestamp > ends_at
