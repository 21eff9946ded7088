"""The loop of the watcher.

SIGTERM: the caller sets the stop event; the loop takes nothing new, lets runs under way end, and returns. Whatever had
not been stored by then is repeated after the next start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any

from structlog.typing import FilteringBoundLogger

from sworn import abi
from sworn.chain.gateway import Block, Gateway
from sworn.chain.sender import SENDER_POINTS
from sworn.chain.transactions import TransactionSender
from sworn.errors import (
    ChainError,
    ConfigurationError,
    ContractRevert,
    DigestConflict,
    StoreError,
    TraceError,
    TraceMissing,
    TransientChainError,
)
from sworn.types import RequestId
from sworn.watcher.defence.service import Defender
from sworn.watcher.inference import Inference, Outcome
from sworn.watcher.intake import Intake
from sworn.watcher.jobs import Action, Job, JobStatus
from sworn.watcher.retention import Retention
from sworn.watcher.steps import Steps, View
from sworn.watcher.store.jobs import JobStore

#: Every point at which `Watcher` and its `Sender` call their checkpoint; dying at any of them loses nothing.
KILL_POINTS: tuple[str, ...] = (
    "logs_fetched",
    "logs_stored",
    "before_run",
    "after_run",
    "digest_journalled",
    "signature_stored",
    "failure_stored",
    *(f"{kind}_{point}" for kind in ("propose", "finalize", "fail") for point in SENDER_POINTS),
    "job_settled",
)
#: Those that only a model in profile bounded leads to.
TRACED_KILL_POINTS: tuple[str, ...] = ("trace_kept",)
#: Consecutive unexpected errors after which a job is parked.
MAX_ATTEMPTS = 8
#: Jobs looked at in one turn, besides those that wait for the engine.
BATCH = 1_000
#: Polls between two looks at a request that cannot be answered for now.
REFUSAL_POLLS = 5
#: How soon a stop is noticed while models run.
STOP_LATENCY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """One operator's daemon. All I/O but model runs happens in the thread that calls `run`."""

    gateway: Gateway
    intake: Intake
    steps: Steps
    store: JobStore
    sender: TransactionSender
    inference: Inference
    #: None where no model is traced.
    retention: Retention | None = None
    #: None where no result can be challenged.
    defence: Defender | None = None
    log: FilteringBoundLogger
    #: Models that run at the same time.
    workers: int = 1
    poll_interval_s: float = 2.0
    checkpoint: Callable[[str], None] = lambda point: None
    clock: Callable[[], float] = time.time
    _runs: dict[RequestId, Future[Outcome]] = field(default_factory=dict, repr=False, init=False)

    def run(self, stop: Event, *, once: bool = False) -> None:
        """Serves until ``stop`` is set; with ``once`` until nothing more can be done without waiting for the chain.

        With ``once``, raises the `ChainError`, `StoreError` or `ConfigurationError` that a running service would wait
        out.
        """
        self.log.info("watcher_started", operator=self.steps.operator, sender=self.sender.address)
        if self.defence is not None:
            self.defence.prepare()
        with ThreadPoolExecutor(max_workers=2 * self.workers, thread_name_prefix="inference") as pool:
            try:
                while not stop.is_set():
                    if self._turn_or_wait(pool, stop, once=once):
                        continue
                    if once and not self._under_way():
                        break
                    self._rest(stop)
            finally:
                for run in self._runs.values():
                    run.cancel()
                self._runs.clear()
                if self.defence is not None:
                    self.defence.cancel()
        self.log.info("watcher_stopped")

    def _turn_or_wait(self, pool: ThreadPoolExecutor, stop: Event, *, once: bool) -> bool:
        try:
            return self.turn(pool, stop)
        except (ChainError, StoreError, TraceError, ConfigurationError) as error:
            # A node that refuses us (ConfigurationError) may be a provider's passing mood, while results wait for their
            # windows: only the start is strict about it.
            if once:
                raise
            self.log.warning("turn_failed", error=type(error).__name__, reason=str(error))
            self._alarm()
            return False

    def turn(self, pool: ThreadPoolExecutor, stop: Event) -> bool:
        """One round over logs, transactions and due jobs; whether anything changed.

        Raises `ChainError`, `StoreError`, and `ConfigurationError` when the node refuses the watcher.
        """
        changed = self.intake.follow()
        changed |= self._poll_transactions()
        head = self.gateway.block("latest")
        # A defence has clocks that end in a conviction: it comes before everything else.
        if self.defence is not None:
            changed |= self.defence.turn(head, pool)
        if self.retention is not None:
            self.retention.sweep(head)
        changed |= self._collect()
        for job in self._due(head):
            if stop.is_set():
                break
            changed |= self._contained(job, partial(self._step, job, head, pool))
        return changed

    def _poll_transactions(self) -> bool:
        changed = self.sender.poll()
        for record in changed:
            self.log.info(
                "transaction_changed",
                key=record.key,
                status=record.status.value,
                tx=record.transaction_hash,
                block=record.block_number,
                succeeded=record.succeeded,
                note=record.note,
            )
        return bool(changed)

    def _due(self, head: Block) -> list[Job]:
        """Jobs to look at: all that move on by themselves, and as many new ones as the engine has room for."""
        moving = self.store.due(block_timestamp=head.timestamp, limit=BATCH, seen=False)
        free = self.workers - len(self._under_way())
        if free <= 0:
            return moving
        waiting = self.store.due(block_timestamp=head.timestamp, limit=len(self._runs) + free, seen=True)
        return moving + [job for job in waiting if job.request_id not in self._runs][:free]

    def _step(self, job: Job, head: Block, pool: ThreadPoolExecutor) -> bool:
        view = self.steps.look(job, head)
        if view.decision.action is Action.RUN:
            return self._start(job, view, pool)
        return self.steps.act(job, view) != job

    def _start(self, job: Job, view: View, pool: ThreadPoolExecutor) -> bool:
        refused = self.steps.refusal(job, view)
        if refused is not None:
            if refused.for_now:
                self.steps.postpone(job, refused.reason, wait_s=REFUSAL_POLLS * self.poll_interval_s)
            else:
                self.steps.settle(job, JobStatus.IGNORED, refused.reason)
            return True
        self.checkpoint("before_run")
        self.log.info("run_started", request_id=job.request_id, model_id=job.request.model_id)
        self._runs[job.request_id] = pool.submit(self.inference.compute, job)
        return True

    def _collect(self) -> bool:
        """Concludes the runs that have ended."""
        ended = [request_id for request_id, run in self._runs.items() if run.done()]
        for request_id in ended:
            run = self._runs.pop(request_id)
            job = self.store.job(request_id)
            # A reorg may have removed the request while its model ran.
            if job is not None and job.status is JobStatus.SEEN:
                self._contained(job, partial(self._conclude, job, run))
            elif run.exception() is None:
                self.steps.forget(run.result())
        return bool(ended)

    def _conclude(self, job: Job, run: Future[Outcome]) -> bool:
        outcome = run.result()
        self.checkpoint("after_run")
        return self.steps.conclude(job, outcome) != job

    def _contained(self, job: Job, step: Callable[[], bool]) -> bool:
        """Runs a step so that its trouble stays its job's own; a node or a database that fails is everybody's."""
        try:
            return step()
        except DigestConflict as error:
            self.log.critical("digest_conflict", request_id=job.request_id, reason=str(error))
            return self._park(job, error)
        except TraceMissing as error:
            self.log.critical("trace_missing", request_id=job.request_id, reason=str(error))
            return self._park(job, error)
        except StoreError:
            raise
        except ContractRevert as error:
            return self._reverted(job, error)
        except (TransientChainError, ConfigurationError) as error:
            self._postpone(job, str(error), wait_s=self.poll_interval_s)
            # The other jobs would meet the same node; if only this one does, it is the last in the next turn.
            raise
        except ChainError as error:
            self._postpone(job, str(error), wait_s=self.poll_interval_s)
        except TraceError as error:
            # A full disk may have room later; each attempt runs the model, so they grow rarer.
            self._postpone(job, str(error), wait_s=None)
        except Exception as error:
            # One poisoned job must not stop the others.
            self.log.exception("job_crashed", request_id=job.request_id, attempts=job.attempts)
            if job.attempts + 1 >= MAX_ATTEMPTS:
                return self._park(job, error)
            self._postpone(job, f"{type(error).__name__}: {error}", wait_s=None)
        return False

    def _reverted(self, job: Job, error: ContractRevert) -> bool:
        if isinstance(error, abi.reverts()["OperatorBarredFromRequest"]):
            self.steps.settle(job, JobStatus.IGNORED, str(error))
            return True
        self._postpone(job, str(error), wait_s=None)
        return False

    def _postpone(self, job: Job, reason: str, *, wait_s: float | None) -> None:
        # The step may have stored progress before it failed: that is kept.
        self.steps.postpone(self.store.job(job.request_id) or job, reason, wait_s=wait_s)

    def _park(self, job: Job, error: Exception) -> bool:
        stored = self.store.job(job.request_id) or job
        self.store.save(replace(stored, status=JobStatus.PARKED, reason=f"{type(error).__name__}: {error}"))
        self.log.error("job_parked", request_id=job.request_id, reason=str(error))
        return True

    def _rest(self, stop: Event) -> None:
        """Sleeps until the next poll, a finished run, or a stop."""
        wake_at = self.clock() + self.poll_interval_s
        if not self._under_way():
            stop.wait(self.poll_interval_s)
        while (runs := self._under_way()) and not stop.is_set() and self.clock() < wake_at:
            if wait(runs, timeout=STOP_LATENCY_S, return_when=FIRST_COMPLETED).done:
                return

    def _under_way(self) -> list[Future[Any]]:
        """Models that run right now, for answers and for defences."""
        return [*self._runs.values(), *(() if self.defence is None else self.defence.runs)]

    def _alarm(self) -> None:
        """Says what is due soon although the chain, or a part of the database, cannot be read."""
        if self.defence is None:
            return
        with suppress(StoreError):
            self.defence.alarm(self.clock())
