"""The part of the watcher's loop that defends results: follows disputes, runs models again, answers, alarms."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block
from sworn.chain.sender import SENDER_POINTS
from sworn.errors import (
    ChainError,
    DigestConflict,
    StoreError,
    SwornError,
    TraceError,
    TransientChainError,
)
from sworn.types import ModelId, ResultId
from sworn.watcher.containment import Care, Containment, Patience, Remedy
from sworn.watcher.defence.alarms import Alarms, duties
from sworn.watcher.defence.answers import Answers, Flight
from sworn.watcher.defence.decisions import RECHECK_S, Answer
from sworn.watcher.defence.docket import Contested
from sworn.watcher.defence.evidence import Evidence, Rerun
from sworn.watcher.defence.funds import Funds
from sworn.watcher.defence.intake import DisputeIntake
from sworn.watcher.defence.readiness import Readiness
from sworn.watcher.defence.records import Defence, DefenceStatus
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.jobs import backoff_s

#: Every point at which a defence calls its checkpoint; dying at any of them loses nothing.
DEFENCE_KILL_POINTS: tuple[str, ...] = (
    "dispute_logs_fetched",
    "dispute_logs_stored",
    "before_rerun",
    "after_rerun",
    "trace_rederived",
    "trace_journalled",
    "trace_signed",
    *(f"{kind}_{point}" for kind in ("commit", "disclose", "resolve", "withdraw") for point in SENDER_POINTS),
    "dispute_settled",
)
#: Between two attempts, whatever went wrong: time is what a defence has least of.
MAX_BACKOFF_S: Final = 30.0
#: Disputes whose states are read in one go, and how long one that waits for a place to run in is not looked at again:
#: nothing can be done for it meanwhile, and a crowd of them would have the node asked more than it answers.
_GROUP: Final = 50
_QUEUED_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Defender:
    """Defends one operator's results. All but model runs happens in the thread that calls `turn`."""

    intake: DisputeIntake
    answers: Answers
    evidence: Evidence
    store: DefenceStore
    alarms: Alarms
    readiness: Readiness
    funds: Funds
    log: FilteringBoundLogger
    #: Models that run again at the same time.
    workers: int
    poll_interval_s: float
    clock: Callable[[], float]
    checkpoint: Callable[[str], None]
    _reruns: dict[ResultId, tuple[Contested, Future[Rerun]]] = field(default_factory=dict, repr=False, init=False)
    #: Models that are being written down, each for the dispute that asked first.
    _exhibits: dict[ModelId, tuple[ResultId, Future[None]]] = field(default_factory=dict, repr=False, init=False)

    #: Runs that have ended, but what follows from them could not be stored so far.
    _ended: set[ResultId] = field(default_factory=set, repr=False, init=False)
    #: Disputes whose model has to run again, as soon as there is a place for it, and when they were looked at.
    _queued: dict[ResultId, float] = field(default_factory=dict, repr=False, init=False)
    _patience: Patience = field(init=False, repr=False)
    containment: Containment[Defence] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        patience = Patience(poll_interval_s=self.poll_interval_s, clock=self.clock)
        object.__setattr__(self, "_patience", patience)
        containment = Containment(
            remedies=_REMEDIES,
            crashed="defence_crashed",
            postpone=self._postpone,
            # What is given up costs its bond: a defence never is.
            park=lambda defence, error: False,
            facts=lambda defence: {"result_id": defence.result_id},
            poll_interval_s=self.poll_interval_s,
            log=self.log,
        )
        object.__setattr__(self, "containment", containment)

    @property
    def runs(self) -> tuple[Future[Any], ...]:
        """Models that run, or are written down, right now, or have just ended."""
        reruns = (run for result_id, (_, run) in self._reruns.items() if result_id not in self._ended)
        return (*reruns, *(run for _, run in self._exhibits.values()))

    def prepare(self) -> None:
        """Says what could not be defended, and takes up what was given up before: it may have been repaired.

        Raises `StoreError`.
        """
        self.readiness.check()
        for defence in self.store.open():
            if defence.status is DefenceStatus.INDEFENSIBLE:
                self.store.save(replace(defence, status=DefenceStatus.OPEN, due_at=0, retry_at=0.0))

    def turn(self, head: Block, pool: ThreadPoolExecutor) -> bool:
        """One round over logs, reruns and due disputes; whether anything changed. Raises `ChainError`, `StoreError`."""
        changed = self.intake.follow()
        troubles: list[TransientChainError] = []
        changed |= self._collect(troubles)
        self.alarm(head.timestamp)
        self.funds.look(self.store.open(), self.store.demands())
        changed |= self._advance(head, pool)
        if troubles:
            raise troubles[0]
        return changed

    def alarm(self, now: float) -> None:
        """Says what is due soon, by the newest block's time or the wall clock's. Raises `StoreError`."""
        owed = duties(self.store.open(), self.store.demands(), disclose_s=self.evidence.clocks.disclose_s)
        self.alarms.look(owed, int(max(now, self.clock())))

    def cancel(self) -> None:
        """Forgets runs that have not begun."""
        for run in self.runs:
            run.cancel()
        self._reruns.clear()
        self._exhibits.clear()
        self._ended.clear()

    @property
    def _free(self) -> int:
        """Places to run in that are free."""
        return self.workers - sum(not run.done() for run in self.runs)

    def _by_urgency(self, head: Block) -> list[Defence]:
        soonest: dict[ResultId, int] = {}
        for demand in self.store.demands():
            soonest.setdefault(demand.result_id, demand.due_at)
        never = 1 << 62
        due = [each for each in self.store.due(block_timestamp=head.timestamp) if each.result_id not in self._reruns]
        return sorted(due, key=lambda each: min(each.answer_by or never, soonest.get(each.result_id, never)))

    def _advance(self, head: Block, pool: ThreadPoolExecutor) -> bool:
        """Does what is due, the most urgent first."""
        due = self._by_urgency(head)
        left = {defence.result_id for defence in due}
        for result_id in self._queued.keys() - left:
            del self._queued[result_id]
        changed, flight, free = False, Flight(), self._free
        for start in range(0, len(due), _GROUP):
            group: list[Defence] = []
            for defence in due[start : start + _GROUP]:
                if self._is_queued(defence):
                    free -= 1
                if free >= 0 or not self._is_queued(defence):
                    group.append(defence)
            for defence, state in zip(group, self.answers.states(group), strict=True):
                step = partial(self._step, defence, head, pool, flight, state)
                changed |= self.containment.run(defence, step)
        return changed

    def _is_queued(self, defence: Defence) -> bool:
        """Whether nothing can be done about a dispute before there is a place to run in."""
        queued_at = self._queued.get(defence.result_id)
        return queued_at is not None and 0 <= self.clock() - queued_at < _QUEUED_S

    def _step(
        self, defence: Defence, head: Block, pool: ThreadPoolExecutor, flight: Flight, state: bytes | ChainError
    ) -> bool:
        view = self.answers.look(defence, head, state)
        self._queued.pop(defence.result_id, None)
        if view is None:
            return self._unknown(defence)
        changed = self.answers.act(defence, view, flight)
        if view.decision.answer is Answer.TRACE:
            changed |= self._rerun(defence, view.contested, pool)
        elif view.decision.answer is Answer.EXHIBIT:
            changed |= self._exhibit(defence, view.contested, pool)
        return changed

    def _exhibit(self, defence: Defence, contested: Contested, pool: ThreadPoolExecutor) -> bool:
        model_id = contested.result.model_id
        if model_id in self._exhibits or self._free <= 0:
            return False
        self.log.info("exhibit_started", result_id=defence.result_id, model_id=model_id)
        self._exhibits[model_id] = (defence.result_id, pool.submit(self.evidence.write_exhibit, contested))
        return True

    def _rerun(self, defence: Defence, contested: Contested, pool: ThreadPoolExecutor) -> bool:
        if self._free <= 0:
            self._queued[defence.result_id] = self.clock()
            return False
        self.checkpoint("before_rerun")
        self.log.info("rerun_started", result_id=defence.result_id, model_id=contested.result.model_id)
        run = pool.submit(self.evidence.rerun, contested, defence.result_id)
        self._reruns[defence.result_id] = (contested, run)
        return True

    def _collect(self, troubles: list[TransientChainError]) -> bool:
        """Concludes the runs that have ended; what went wrong with the node is kept, so that one holds up no other."""
        changed = False
        for result_id in [result_id for result_id, (_, run) in self._reruns.items() if run.done()]:
            contested, run = self._reruns[result_id]
            defence = self.store.defence(result_id)
            if defence is None or defence.status.terminal:
                self._forget(result_id)
                changed = True
                if run.exception() is None:
                    self.evidence.discard(run.result())
            elif result_id not in self._ended or defence.retry_at <= self.clock():
                self._ended.add(result_id)
                changed = True
                try:
                    self.containment.run(defence, partial(self._conclude, defence, contested, run))
                except TransientChainError as error:
                    troubles.append(error)
        return self._collect_exhibits() or changed

    def _forget(self, result_id: ResultId) -> None:
        del self._reruns[result_id]
        self._ended.discard(result_id)

    def _collect_exhibits(self) -> bool:
        ended = [(model_id, *job) for model_id, job in self._exhibits.items() if job[1].done()]
        for model_id, result_id, writing in ended:
            del self._exhibits[model_id]
            defence = self.store.defence(result_id)
            if defence is not None:
                self.containment.run(defence, partial(_written, writing))
        return bool(ended)

    def _conclude(self, defence: Defence, contested: Contested, run: Future[Rerun]) -> bool:
        is_kept = False
        try:
            rerun = run.result()
            self.checkpoint("after_rerun")
            return self.answers.conclude(defence, contested, rerun)
        except (ChainError, StoreError, TraceError) as error:
            # SAFETY: it may have run for an hour, and a node that fails now and then must not cost another one.
            is_of_run = error is run.exception() or isinstance(error, DigestConflict)
            is_kept = not is_of_run and self.evidence.holds(contested, run.result())
            raise
        finally:
            if not is_kept:
                self._forget(defence.result_id)

    def _unknown(self, defence: Defence) -> bool:
        reason = (
            "neither the journal nor the chain says what was sworn: an off-chain result, or one from another database. "
            "Defend it from where it was sworn; answers are open to everyone who has the trace"
        )
        if defence.reason != reason:
            self.log.critical("result_unknown", result_id=defence.result_id, reason=reason)
        self.store.save(replace(defence, reason=reason, retry_at=self.clock() + RECHECK_S))
        return False

    def _postpone(self, defence: Defence, error: Exception, wait_s: float | None) -> None:
        if isinstance(error, TransientChainError):
            wait_s = self._patience.wait_s(defence.result_id)
        stored = self.store.defence(defence.result_id) or defence
        attempts = stored.attempts + (wait_s is None)
        delay = backoff_s(attempts, MAX_BACKOFF_S) if wait_s is None else wait_s
        reason = f"{type(error).__name__}: {error}"
        self.store.save(replace(stored, reason=reason, attempts=attempts, retry_at=self.clock() + delay))


_REMEDIES: Final = (
    (DigestConflict, Remedy(care=Care.LATER, event="digest_conflict", level="critical")),
    (StoreError, Remedy(care=Care.EVERYBODYS)),
    (TransientChainError, Remedy(care=Care.NODE)),
    (SwornError, Remedy(care=Care.LATER, event="defence_failed")),
)


def _written(writing: Future[None]) -> bool:
    writing.result()
    return True
