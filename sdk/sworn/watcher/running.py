"""Models that run for jobs: leased, started as many as may wait, and taken up when they have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block
from sworn.types import Address, RequestId
from sworn.watcher.contracts import Contracts
from sworn.watcher.inference import Inference, Outcome, Unanswerable
from sworn.watcher.jobs import Action, Job, JobStatus, effective_deadline
from sworn.watcher.looking import Mishap, Sight
from sworn.watcher.policy import Refusal, ServedModel
from sworn.watcher.replica import ALONE, ReplicaRole
from sworn.watcher.steps import Done, Steps
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.telemetry import NO_TELEMETRY, Telemetry
from sworn.watcher.traces import TraceStore

#: Of a lease's length, after how much of it it is renewed.
_RENEWED_AFTER = 1 / 3


class Admission(Protocol):
    """Says which jobs are run; `sworn.watcher.admission` has the real one."""

    def turn(self, head: Block) -> None:
        """Reads what it judges by, once a turn. Raises `ChainError`."""
        ...

    @property
    def paused(self) -> bool:
        """Whether nothing new is run for now."""
        ...

    def refusal(self, job: Job, *, deadline: int, barred: bool) -> Refusal | None:
        """Why a job is not run, if so."""
        ...

    def admitted(self, job: Job) -> None:
        """A job's run begins: its bond counts from now on."""
        ...

    def dropped(self, request_id: RequestId) -> None:
        """A job's run ended without an oath."""
        ...

    def crashed(self, job: Job, outcome: Unanswerable) -> None:
        """A run took its worker down with it."""
        ...

    def ran(self, job: Job) -> None:
        """A run ended as it should."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a run came to, and how long it took."""

    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Keeps the engine busy: as many runs as `queue` are begun, and what waits longer waits in the database."""

    inference: Inference
    contracts: Contracts
    steps: Steps
    store: JobStore
    admission: Admission
    operator: Address
    models: Mapping[bytes, ServedModel]
    log: FilteringBoundLogger
    checkpoint: Callable[[str], None]
    role: ReplicaRole = ALONE
    #: Most runs that are begun and have not ended, and how many are begun at first: what is leased here no other
    #: replica takes, so that it is never more than what is worked off soon.
    queue: int = 256
    least: int = 4
    #: Needed for models in profile bounded only.
    traces: TraceStore | None = None
    #: How long a job that is refused for now is left alone.
    refusal_wait_s: float = 10.0
    clock: Callable[[], float] = time.monotonic
    telemetry: Telemetry = NO_TELEMETRY
    _runs: dict[RequestId, Future[Ended]] = field(default_factory=dict, repr=False, init=False)
    #: Bytes of the traces that these will leave.
    _promised: dict[RequestId, int] = field(default_factory=dict, repr=False, init=False)
    _renewed_at: list[float] = field(default_factory=list, repr=False, init=False)
    _depth: list[int] = field(default_factory=list, repr=False, init=False)

    @property
    def under_way(self) -> tuple[Future[Ended], ...]:
        """Runs that have not been taken up."""
        return tuple(self._runs.values())

    def cancel(self) -> None:
        """Forgets runs that have not begun."""
        for run in self._runs.values():
            run.cancel()
        self._runs.clear()

    def feed(self, head: Block, pool: ThreadPoolExecutor, stop: Event, *, leads: bool) -> Done:
        """Takes up new jobs, as many as there is room for. Raises `ChainError`, `StoreError`."""
        free = self._depth_now() - len(self._runs)
        if free <= 0 or stop.is_set():
            return Done()
        jobs = self.store.lease(
            self.role.holder,
            block_timestamp=head.timestamp,
            limit=free,
            lease_s=self.role.lease_s,
            running=self._runs.keys(),
        )
        sights = self.steps.looker.look(jobs, head)
        due = [(job, view) for job, view in sights.seen if view.decision.action is Action.RUN]
        others = [(job, view) for job, view in sights.seen if view.decision.action is not Action.RUN]
        done = self.steps.act(others, head, leads=leads)
        started = self._start(due, head, pool, stop)
        return Done(changed=done.changed or started, failed=sights.failed + done.failed)

    def collect(self, head: Block) -> Done:
        """Takes up the runs that have ended. Raises `StoreError`."""
        self._renew()
        ended = {request_id: run for request_id, run in self._runs.items() if run.done()}
        self._adapt(len(ended))
        if not ended:
            return Done()
        for request_id in ended:
            del self._runs[request_id]
        jobs = self.store.found(ended)
        concluded: list[tuple[Job, Outcome]] = []
        failed: list[Mishap] = []
        for request_id, run in ended.items():
            job = jobs.get(request_id)
            # A reorg may have removed the request while its model ran, or another replica has answered it.
            if job is None or job.status is not JobStatus.SEEN:
                self._discard(request_id, run)
            elif (error := run.exception()) is not None:
                failed += self._crashed(job, error)
            else:
                concluded.append((job, self._told(job, run.result())))
        if concluded:
            self.checkpoint("after_run")
        done = self.steps.conclude(concluded, head)
        return Done(changed=True, failed=failed + done.failed)

    def _depth_now(self) -> int:
        return min(self._depth[0] if self._depth else self.least, self.queue)

    def _adapt(self, ended: int) -> None:
        """Begins four times as many when all have ended between two looks, and half when hardly any have."""
        depth = self._depth_now()
        if ended and ended == len(self._runs):
            depth *= 4
        elif 8 * ended < depth:
            depth //= 2
        self._depth[:] = [max(min(depth, self.queue), min(self.least, self.queue))]

    def _start(self, due: Sequence[Sight], head: Block, pool: ThreadPoolExecutor, stop: Event) -> bool:
        marked = [job.request_id for job, view in due if view.state.has_barred]
        barred = self.contracts.barred_from(marked, self.operator, block=head.number)
        refused: list[tuple[Job, Refusal]] = []
        for job, view in due:
            if stop.is_set():
                break
            deadline = effective_deadline(job.request, view.state)
            refusal = self.admission.refusal(job, deadline=deadline, barred=job.request_id in barred)
            refusal = refusal or self._no_room(job)
            if refusal is not None:
                refused.append((job, refusal))
                continue
            self.admission.admitted(job)
            self.checkpoint("before_run")
            self.log.debug("run_started", request_id=job.request_id, model_id=job.request.model_id)
            self._runs[job.request_id] = pool.submit(self._timed, job)
        self.steps.settle([(job, JobStatus.IGNORED, no.reason) for job, no in refused if not no.for_now], head)
        self.steps.postpone_many([(job, no.reason) for job, no in refused if no.for_now], self.refusal_wait_s)
        return bool(due)

    def _no_room(self, job: Job) -> Refusal | None:
        model = self.models.get(job.request.model_id)
        if model is None or not model.traced:
            return None
        # What has been taken up lies in its file, or has been given up.
        for request_id in self._promised.keys() - self._runs.keys():
            del self._promised[request_id]
        needed = model.identified.trace_bytes
        if self.traces is not None and self.traces.has_room(needed, under_way=self._promised):
            self._promised[job.request_id] = needed
            return None
        return Refusal(reason="there is no room for another trace", for_now=True)

    def _timed(self, job: Job) -> Ended:
        begun = self.clock()
        return Ended(outcome=self.inference.compute(job), seconds=self.clock() - begun)

    def _told(self, job: Job, ended: Ended) -> Outcome:
        outcome = ended.outcome
        if isinstance(outcome, Unanswerable):
            self.admission.dropped(job.request_id)
            self.telemetry.run_ended(job.request.model_id, ended.seconds, outcome.code.name.lower())
            if outcome.crashed:
                self.admission.crashed(job, outcome)
        else:
            self.admission.ran(job)
            self.telemetry.run_ended(job.request.model_id, ended.seconds, "computed")
        return outcome

    def _crashed(self, job: Job, error: BaseException) -> list[Mishap]:
        self.admission.dropped(job.request_id)
        self.telemetry.run_ended(job.request.model_id, 0.0, "crashed")
        if not isinstance(error, Exception):
            raise error
        return [(job, error)]

    def _discard(self, request_id: RequestId, run: Future[Ended]) -> None:
        self.admission.dropped(request_id)
        if run.exception() is None:
            self.steps.forget(run.result().outcome)

    def _renew(self) -> None:
        """Prolongs the leases of what runs; what another replica has taken over is not ours any more."""
        now = self.clock()
        if self._renewed_at and now - self._renewed_at[0] < self.role.lease_s * _RENEWED_AFTER:
            return
        self._renewed_at[:] = [now]
        self.store.renew(self.role.holder, self._runs.keys(), lease_s=self.role.lease_s)
