"""The loop of the watcher.

SIGTERM: the caller sets the stop event; the loop takes nothing new, lets runs under way end, and returns. Whatever had
not been stored by then is repeated after the next start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from sworn import abi
from sworn.chain.gateway import Block, Gateway
from sworn.chain.heads import POLLING, Wakeup
from sworn.chain.sender import SENDER_POINTS
from sworn.chain.transactions import ENDED, TransactionSender
from sworn.errors import (
    ChainError,
    CodecError,
    ConfigurationError,
    ContractRevert,
    DigestConflict,
    EngineBusy,
    EngineError,
    SignerError,
    SignerUnavailable,
    StoreError,
    SwornError,
    TraceError,
    TraceMissing,
    TransientChainError,
)
from sworn.pools import filled_pool
from sworn.watcher.containment import Care, Containment, Patience, Remedy
from sworn.watcher.defence.service import Defender
from sworn.watcher.inference import Inference
from sworn.watcher.intake import Intake
from sworn.watcher.jobs import PROMISED, Job, JobStatus, Trouble
from sworn.watcher.reloading import Reloading
from sworn.watcher.replica import ALONE, ReplicaRole
from sworn.watcher.retention import Retention
from sworn.watcher.running import Admission, Runs
from sworn.watcher.steps import Done, Steps
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.telemetry import NO_TELEMETRY, Telemetry

#: What a transaction does, as its key begins; the last two are batches.
_KINDS: Final = ("propose", "finalize", "fail", "proposemany", "finalizemany")
#: Points at which `Watcher` and its `Sender` call their checkpoint, where every result goes on chain alone; dying at
#: any of them loses nothing.
KILL_POINTS: tuple[str, ...] = (
    "logs_fetched",
    "logs_stored",
    "before_run",
    "after_run",
    "digest_journalled",
    "signature_stored",
    "failure_stored",
    *(f"{kind}_{point}" for kind in _KINDS[:3] for point in SENDER_POINTS),
    "job_settled",
)
#: Those of the transactions that carry many results.
BATCH_KILL_POINTS: tuple[str, ...] = tuple(f"{kind}_{point}" for kind in _KINDS[3:] for point in SENDER_POINTS)
#: Those that only a model in profile bounded leads to.
TRACED_KILL_POINTS: tuple[str, ...] = ("trace_kept",)
#: Consecutive unexpected errors after which a job is parked.
MAX_ERRORS: Final = 8
#: Jobs looked at in one turn, besides those that wait for the engine.
BATCH: Final = 2_000
#: Strides of the log follower in one turn: a long way back is gone in many, but never at the cost of a defence.
STRIDES: Final = 16
#: How long one turn may spend on them: the engine has nothing to do meanwhile.
FOLLOW_S: Final = 0.5
#: How soon a stop is noticed while models run.
STOP_LATENCY_S: Final = 0.2
#: How soon a new block is noticed while models run.
RUN_LATENCY_S: Final = 0.05
#: How long the loop waits for more runs to end once one has: what ends together goes on chain together.
LINGER_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """One operator's daemon. All I/O but model runs happens in the thread that calls `run`."""

    gateway: Gateway
    intake: Intake
    steps: Steps
    runs: Runs
    admission: Admission
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
    #: Threads that prepare inputs, wait for the engine, and encode outputs: as many as keep the engine busy.
    callers: int = 16
    poll_interval_s: float = 2.0
    checkpoint: Callable[[str], None] = lambda point: None
    clock: Callable[[], float] = time.time
    #: This process among those that share the database.
    role: ReplicaRole = ALONE
    #: Ends a rest early when the chain has a new block.
    wakeup: Wakeup = POLLING
    #: None where guards stay as they are until the next start.
    reloading: Reloading | None = None
    telemetry: Telemetry = NO_TELEMETRY
    containment: Containment[Job] = field(init=False, repr=False)
    _patience: Patience = field(init=False, repr=False)
    #: Whether the last turn was that of a leader.
    _reign: list[bool] = field(default_factory=lambda: [False], repr=False, init=False)
    #: The block up to which this leader has woken what ended; empty at first.
    _deepened: list[int] = field(default_factory=list, repr=False, init=False)

    def __post_init__(self) -> None:
        containment = Containment(
            remedies=_remedies(),
            crashed="job_crashed",
            postpone=self._postpone,
            park=self._park,
            facts=lambda job: {"request_id": job.request_id},
            poll_interval_s=self.poll_interval_s,
            log=self.log,
        )
        object.__setattr__(self, "containment", containment)
        patience = Patience(poll_interval_s=self.poll_interval_s, clock=self.clock)
        object.__setattr__(self, "_patience", patience)

    def run(self, stop: Event, *, once: bool = False) -> None:
        """Serves until ``stop`` is set; with ``once`` until nothing more can be done without waiting for the chain.

        With ``once``, raises the `ChainError`, `StoreError` or `ConfigurationError` that a running service would wait
        out.
        """
        self.log.info("watcher_started", operator=self.steps.operator, sender=self.sender.address)
        if self.defence is not None:
            self.defence.prepare()
        with ExitStack() as ending:
            ending.callback(self.role.release)
            threads = min(self.callers, self.runs.queue)
            pool = ending.enter_context(filled_pool(threads, name="inference"))
            # A defence never waits behind answers.
            urgent = ending.enter_context(filled_pool(self.workers, name="defence"))
            ending.callback(self._cancel)
            while not stop.is_set():
                if self._turn_or_wait(pool, urgent, stop, once=once):
                    continue
                if once and not self._under_way():
                    break
                self._rest(stop)
        self.log.info("watcher_stopped")

    def turn(self, pool: ThreadPoolExecutor, stop: Event, urgent: ThreadPoolExecutor | None = None) -> bool:
        """One round over logs, transactions and due jobs; whether anything changed.

        Answers run in ``pool``, defences in ``urgent``. Raises `ChainError`, `StoreError`, `SignerError`, and
        `ConfigurationError` when the node refuses the watcher.
        """
        if self.reloading is not None:
            self.reloading.turn()
        leads = self._leads()
        changed = leads and self._follow(stop)
        if leads:
            changed |= self._poll_transactions()
        # SAFETY: read after the receipts were, so that a job is never older than what is known of its transaction.
        head = self.gateway.block("latest")
        # What fails from here on may be one job's or one dispute's doing, and must not keep everything else from being
        # done; that it failed is said when the rest is done.
        troubles: list[Exception] = []
        if leads:
            # A defence has clocks that end in a conviction: it comes before everything else.
            if self.defence is not None:
                changed |= self._attempted(partial(self.defence.turn, head, urgent or pool), troubles)
            changed |= self._attempted(partial(self._sweep, head), troubles)
        self.steps.swearing.signers.refresh(head)
        changed |= self._attempted(lambda: self._treated(self.runs.collect(head)), troubles)
        if leads and not stop.is_set():
            changed |= self._attempted(partial(self._advance, head), troubles)
        if not stop.is_set():
            changed |= self._attempted(partial(self._feed, head, pool, stop, leads=leads), troubles)
        if troubles:
            raise troubles[0]
        return changed

    def _attempted(self, part: Callable[[], bool], troubles: list[Exception]) -> bool:
        """Whether a part of a turn changed anything; what went wrong with the node is kept for the end of the turn.

        Raises `ChainError` where something has, and the node is away: it is not asked for all that is left.
        """
        if troubles:
            self.gateway.block("latest")
        try:
            return part()
        except (ChainError, CodecError, ConfigurationError, SignerError, TraceError) as error:
            troubles.append(error)
            return False

    def _sweep(self, head: Block) -> bool:
        if self.retention is not None:
            self.retention.sweep(head)
        return False

    def _advance(self, head: Block) -> bool:
        self._deepened[:] = [self.steps.deepened(head, self._deepened[0] if self._deepened else None)]
        due = self.store.due(block_timestamp=head.timestamp, limit=BATCH, seen=False)
        return self._treated(self.steps.advance(due, head))

    def _feed(self, head: Block, pool: ThreadPoolExecutor, stop: Event, *, leads: bool) -> bool:
        self.admission.turn(head)
        return not self.admission.paused and self._treated(self.runs.feed(head, pool, stop, leads=leads))

    def _leads(self) -> bool:
        leads = self.role.leads()
        if leads and not self._reign[0]:
            self.store.wake_promised()
            self._deepened.clear()
        self._reign[0] = leads
        return leads

    def _turn_or_wait(self, pool: ThreadPoolExecutor, urgent: ThreadPoolExecutor, stop: Event, *, once: bool) -> bool:
        begun, failed = time.monotonic(), True
        try:
            changed = self.turn(pool, stop, urgent)
            failed = False
            return changed
        except (ChainError, CodecError, StoreError, SignerError, TraceError, ConfigurationError) as error:
            # A node that refuses us (ConfigurationError) may be a provider's passing mood, while results wait for their
            # windows: only the start is strict about it. One that answers nonsense (CodecError) may be another's.
            if once:
                raise
            self.log.warning("turn_failed", error=type(error).__name__, reason=str(error))
            self._alarm()
            return False
        finally:
            self.telemetry.turn(time.monotonic() - begun, failed, self.role.led)

    def _follow(self, stop: Event) -> bool:
        changed, until = False, time.monotonic() + FOLLOW_S
        for _ in range(STRIDES):
            if stop.is_set() or not self.intake.follow():
                break
            changed = True
            if time.monotonic() >= until:
                break
        return changed

    def _poll_transactions(self) -> bool:
        changed = self.sender.poll(wanted=self.steps.submissions.wanted)
        if changed:
            # What a transaction carries is looked at when it moves, and else only once in a while; what stands on chain
            # already is not looked at when it has become deep.
            deep = {record.key for record in changed if record.succeeded and record.status in ENDED}
            self.store.wake([record.key for record in changed if record.key not in deep])
            self.store.wake(deep, PROMISED)
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

    def _treated(self, done: Done) -> bool:
        """Deals with what failed; whether anything changed. Raises what is everybody's trouble."""
        return self.containment.treat_all(done.failed) or done.changed

    def _postpone(self, job: Job, error: Exception, wait_s: float | None) -> None:
        if isinstance(error, _NODES):
            wait_s = self._patience.wait_s(job.request_id)
        known = isinstance(error, SwornError)
        trouble = Trouble.REVERT if isinstance(error, ContractRevert) else Trouble.AROUND if known else Trouble.ERROR
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        # The step may have stored progress before it failed: that is kept.
        stored = self.store.job(job.request_id) or job
        if not _has_moved(job, stored):
            self.steps.postpone(stored, reason, trouble=trouble, wait_s=wait_s)

    def _park(self, job: Job, error: Exception) -> bool:
        stored = self.store.job(job.request_id) or job
        if _has_moved(job, stored):
            return True
        if isinstance(error, ContractRevert):
            self.steps.settle([(stored, JobStatus.IGNORED, str(error))], self.gateway.block("latest"))
            return True
        if not isinstance(error, SwornError) and stored.errors + 1 < MAX_ERRORS:
            return False
        self.steps.park(stored, error)
        return True

    def _rest(self, stop: Event) -> None:
        """Sleeps until the next poll, some finished runs, or a stop."""
        # Not the wall clock, which may jump.
        wake_at = time.monotonic() + self.poll_interval_s
        while not stop.is_set() and (left_s := wake_at - time.monotonic()) > 0:
            runs = self._under_way()
            if runs and wait(runs, timeout=min(left_s, RUN_LATENCY_S), return_when=FIRST_COMPLETED).done:
                wait(runs, timeout=LINGER_S)
                return
            if self.wakeup.wait(0.0 if runs else min(left_s, STOP_LATENCY_S)):
                return

    def _under_way(self) -> list[Future[Any]]:
        """Models that run right now, for answers and for defences."""
        return [*self.runs.under_way, *(() if self.defence is None else self.defence.runs)]

    def _cancel(self) -> None:
        self.runs.cancel()
        if self.defence is not None:
            self.defence.cancel()

    def _alarm(self) -> None:
        """Says what is due soon although the chain, or a part of the database, cannot be read."""
        if self.defence is None:
            return
        with suppress(StoreError):
            self.defence.alarm(self.clock())


def _has_moved(job: Job, stored: Job) -> bool:
    """Whether another replica has gone on with a job that failed here."""
    return stored.status.terminal or (job.status is JobStatus.SEEN and stored.status is not JobStatus.SEEN)


#: What ends a turn.
_NODES: Final = (TransientChainError, ConfigurationError)


def _remedies() -> tuple[tuple[type[Exception], Remedy], ...]:
    """What is done about troubles of single jobs."""
    return (
        (DigestConflict, Remedy(care=Care.PARK, event="digest_conflict", level="critical")),
        (TraceMissing, Remedy(care=Care.PARK, event="trace_missing", level="critical")),
        (StoreError, Remedy(care=Care.EVERYBODYS)),
        # A conviction bars the operator for ever.
        (abi.reverts()["OperatorBarredFromRequest"], Remedy(care=Care.PARK)),
        (ContractRevert, Remedy(care=Care.LATER)),
        *((kind, Remedy(care=Care.NODE)) for kind in _NODES),
        (ChainError, Remedy(care=Care.SOON)),
        (SignerUnavailable, Remedy(care=Care.SOON)),
        # The job is fine; a person has to see to the key.
        (SignerError, Remedy(care=Care.LATER, event="signing_failed", level="critical")),
        # A full disk may have room later; each attempt runs the model, so they grow rarer.
        (TraceError, Remedy(care=Care.LATER)),
        (EngineBusy, Remedy(care=Care.SOON)),
        (EngineError, Remedy(care=Care.LATER, event="engine_failed")),
    )
