"""For how long things are kept: traces until nothing about their results can be disputed any more, rows for longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block
from sworn.types import Address, RequestId, Status
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import effective_deadline
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.payloads import PayloadStore
from sworn.watcher.store.pruning import MAX_EXTENSION_S, Pruner
from sworn.watcher.traces import KeptTrace, TraceStore

#: Seconds between two looks at what is kept.
SWEEP_INTERVAL_S: Final = 60.0
#: Seconds between two looks at the rows of the database; each reads whole tables.
PRUNE_INTERVAL_S: Final = 3_600.0
#: Seconds between the end of a run and its oath that are never reached: a trace without an oath is left alone for so
#: long, as another replica may be about to swear.
UNSWORN_S: Final = 600.0
#: Where a result of ours stands, or may stand again, until it is final.
_CONTESTABLE: Final = frozenset({Status.PROPOSED, Status.DISPUTED})


class RowRetention:
    """Removes rows of the database that nothing follows from any more."""

    def __init__(
        self, *, pruner: Pruner, log: FilteringBoundLogger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pruner = pruner
        self._log = log
        self._clock = clock
        self._next_at = 0.0

    def sweep(self, head: Block) -> None:
        """Looks at the tables, now and then. Raises `StoreError`."""
        if self._clock() < self._next_at:
            return
        self._next_at = self._clock() + PRUNE_INTERVAL_S
        removed = self._pruner.prune(now=head.timestamp)
        if removed:
            self._log.info("rows_pruned", **removed)


class Retention:
    """Removes traces whose time is over, those of runs that were never sworn to, and rows that nothing follows from."""

    def __init__(
        self,
        *,
        traces: TraceStore | None,
        store: JobStore,
        contracts: Contracts,
        operator: Address,
        keep_s: int,
        confirmations: int,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
        contested: Callable[[], Collection[RequestId]] = frozenset,
        payloads: PayloadStore | None = None,
        rows: RowRetention | None = None,
        unsworn_s: float = 0.0,
    ) -> None:
        """``contested`` says which requests have results of ours under challenge: of these everything is kept.

        ``unsworn_s`` is `UNSWORN_S` where other replicas run models too.
        """
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
        self._rows = rows
        self._unsworn_s = unsworn_s
        self._next_at = 0.0

    def sweep(self, head: Block) -> None:
        """Looks at everything, now and then. Raises `ChainError`, `StoreError`, `TraceError`."""
        if self._clock() < self._next_at:
            return
        self._next_at = self._clock() + SWEEP_INTERVAL_S
        if self._traces is not None:
            self._sweep_traces(self._traces, head)
        if self._payloads is not None:
            # Disputes extend the deadlines of requests by their own length.
            self._payloads.drop(ended_before=head.timestamp - self._keep_s - MAX_EXTENSION_S)
        if self._rows is not None:
            self._rows.sweep(head)

    def _sweep_traces(self, traces: TraceStore, head: Block) -> None:
        traces.sweep_drafts()
        contested = self._contested()
        for trace in traces.kept():
            if trace.request_id not in contested and self._is_over(traces, trace, head):
                traces.drop(trace)
                self._log.info("trace_dropped", request_id=trace.request_id, trace_root=trace.trace_root)

    def _is_over(self, traces: TraceStore, trace: KeptTrace, head: Block) -> bool:
        oath = self._store.oath(trace.request_id, self._operator)
        if oath is None or oath.trace_root != trace.trace_root:
            # A watcher died between keeping it and swearing, and the model runs again; or one is between the two now.
            return self._unsworn_s == 0 or traces.age_s(trace) > self._unsworn_s
        job = self._store.job(trace.request_id)
        if job is None or head.timestamp <= job.request.deadline + job.request.window_s + self._keep_s:
            return False
        block = max(head.number - self._confirmations, job.block_number)
        state = self._contracts.state_of(trace.request_id, block=block)
        # INVARIANT: a result that is in its window, or can still be proposed, can be defended.
        ends_at = effective_deadline(job.request, state) + job.request.window_s + self._keep_s
        return state.status not in _CONTESTABLE and head.timestamp > ends_at
