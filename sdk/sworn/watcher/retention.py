"""For how long things are kept: traces until nothing about their results can be disputed any more, rows for longer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block
from sworn.errors import ChainError
from sworn.types import Address, RequestId, Status
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import Job, effective_deadline
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.payloads import PayloadStore
from sworn.watcher.store.pruning import MAX_EXTENSION_S, PRUNE_INTERVAL_S, Pruner
from sworn.watcher.traces import KeptTrace, TraceStore

#: Seconds between two looks at the traces, and until one that failed is begun anew.
SWEEP_INTERVAL_S: Final = 60.0
#: Seconds that a turn gives to a look, and the share of the time that it may take.
GO_S, SHARE = 0.05, 0.1
#: Traces that are looked at together.
TRACES: Final = 100
#: Seconds between the end of a run and its oath that are never reached: a trace without an oath is left alone for so
#: long, as another replica may be about to swear.
UNSWORN_S: Final = 600.0
#: Where a result of ours stands, or may stand again, until it is final.
_CONTESTABLE: Final = frozenset({Status.PROPOSED, Status.DISPUTED})


class Rounds:
    """Work that begins anew every so often and is done a moment at a time, so that no turn waits for all of it.

    However much there is, it goes on until it is through: what comes faster than one moment an interval can remove
    would pile up for ever.
    """

    def __init__(self, begin: Callable[[], Iterator[object]], *, every_s: float, clock: Callable[[], float]) -> None:
        """``begin`` starts a round; what it yields is nothing but a place to stop at."""
        self._begin = begin
        self._every_s = every_s
        self._clock = clock
        self._next_at = float("-inf")
        self._round: Iterator[object] | None = None

    def go(self) -> None:
        """Does some of it, if it is time. Raises what the round raises, which ends it: the next one comes later."""
        began = self._clock()
        if began < self._next_at:
            return
        current, self._round = self._round or self._begin(), None
        self._next_at = began + min(self._every_s, SWEEP_INTERVAL_S)
        for _ in current:
            spent_s = self._clock() - began
            if spent_s >= GO_S:
                self._round, self._next_at = current, began + spent_s / SHARE
                return
        self._next_at = began + self._every_s


class RowRetention:
    """Removes rows of the database that nothing follows from any more."""

    def __init__(
        self,
        *,
        pruner: Pruner,
        log: FilteringBoundLogger,
        every_s: float = PRUNE_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pruner = pruner
        self._log = log
        self._now = 0
        self._rounds = Rounds(self._round, every_s=every_s, clock=clock)

    def sweep(self, head: Block) -> None:
        """Looks at the tables now and then. Raises `StoreError`."""
        self._now = head.timestamp
        self._rounds.go()

    def _round(self) -> Iterator[None]:
        removed: Counter[str] = Counter()
        for name, count in self._pruner.steps(now=self._now):
            removed[name] += count
            yield
        gone = {name: count for name, count in removed.items() if count}
        if gone:
            self._log.info("rows_pruned", **gone)


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
        clock: Callable[[], float] = time.monotonic,
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
        self._contested = contested
        self._payloads = payloads
        self._rows = rows
        self._unsworn_s = unsworn_s
        self._head: Block | None = None
        self._rounds = Rounds(self._round, every_s=SWEEP_INTERVAL_S, clock=clock)

    def sweep(self, head: Block) -> None:
        """Looks at everything, now and then. Raises `ChainError`, `StoreError`, `TraceError`."""
        self._head = head
        if self._rows is not None:
            self._rows.sweep(head)
        self._rounds.go()

    def _round(self) -> Iterator[None]:
        if self._traces is not None:
            yield from self._sweep_traces(self._traces)
        if self._payloads is not None and self._head is not None:
            # Disputes extend the deadlines of requests by their own length.
            ended_before = self._head.timestamp - self._keep_s - MAX_EXTENSION_S
            for _ in self._payloads.drop(ended_before=ended_before):
                yield

    def _sweep_traces(self, traces: TraceStore) -> Iterator[None]:
        traces.sweep_drafts()
        kept = traces.kept()
        for start in range(0, len(kept), TRACES):
            # INVARIANT: who is contested, where the chain is and what was sworn are asked in every go anew: a round may
            # take long.
            contested = self._contested()
            some = [trace for trace in kept[start : start + TRACES] if trace.request_id not in contested]
            for trace in self._over(traces, some):
                traces.drop(trace)
                self._log.info("trace_dropped", request_id=trace.request_id, trace_root=trace.trace_root)
            yield

    def _over(self, traces: TraceStore, some: Sequence[KeptTrace]) -> list[KeptTrace]:
        ids = [trace.request_id for trace in some]
        oaths, jobs = self._store.oaths(ids, self._operator), self._store.found(ids)
        over: list[KeptTrace] = []
        sworn: list[tuple[KeptTrace, Job]] = []
        for trace in some:
            oath, job = oaths.get(trace.request_id), jobs.get(trace.request_id)
            if oath is None or oath.trace_root != trace.trace_root:
                # A watcher died between keeping it and swearing, and the model runs again; or one is between the two.
                over += [trace] if self._unsworn_s == 0 or traces.age_s(trace) > self._unsworn_s else []
            elif job is not None:
                sworn.append((trace, job))
        return over + self._ended(sworn)

    def _ended(self, sworn: Sequence[tuple[KeptTrace, Job]]) -> list[KeptTrace]:
        """The traces whose results nobody can dispute any more."""
        if self._head is None:
            return []
        now, block = self._head.timestamp, self._head.number - self._confirmations
        late = [
            (trace, job)
            for trace, job in sworn
            if now > job.request.deadline + job.request.window_s + self._keep_s and job.block_number <= block
        ]
        states = self._contracts.states_of([trace.request_id for trace, _ in late], block=block) if late else []
        ended: list[KeptTrace] = []
        for (trace, job), state in zip(late, states, strict=True):
            if isinstance(state, ChainError):
                # It stays until the node says.
                self._log.warning("trace_state_unknown", request_id=trace.request_id, reason=str(state))
                continue
            # INVARIANT: a result that is in its window, or can still be proposed, can be defended.
            ends_at = effective_deadline(job.request, state) + job.request.window_s + self._keep_s
            if state.status not in _CONTESTABLE and now > ends_at:
                ended.append(trace)
        return ended
