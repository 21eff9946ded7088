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
    DigestConflict,
    StoreError,
    SwornError,
    TransientChainError,
)
from sworn.types import ModelId, ResultId
from sworn.watcher.containment import Care, Containment, Remedy
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

    containment: Containment[Defence] = field(init=False, repr=False)

    def __post_init__(self) -> None:
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
        """Models that run, or are written down, right now."""
        reruns, exhibits = self._reruns.values(), self._exhibits.values()
        return (*(run for _, run in reruns), *(run for _, run in exhibits))

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
        changed |= self._collect()
        self.alarm(head.timestamp)
        self.funds.look(self.store.open(), self.store.demands())
        flight = Flight()
        for defence in self._by_urgency(head):
            changed |= self.containment.run(defence, partial(self._step, defence, head, pool, flight))
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

    def _by_urgency(self, head: Block) -> list[Defence]:
        soonest: dict[ResultId, int] = {}
        for demand in self.store.demands():
            soonest.setdefault(demand.result_id, demand.due_at)
        never = 1 << 62
        due = [each for each in self.store.due(block_timestamp=head.timestamp) if each.result_id not in self._reruns]
        return sorted(due, key=lambda each: min(each.answer_by or never, soonest.get(each.result_id, never)))

    def _step(self, defence: Defence, head: Block, pool: ThreadPoolExecutor, flight: Flight) -> bool:
        view = self.answers.look(defence, head)
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
        if model_id in self._exhibits or len(self.runs) >= self.workers:
            return False
        self.log.info("exhibit_started", result_id=defence.result_id, model_id=model_id)
        self._exhibits[model_id] = (defence.result_id, pool.submit(self.evidence.write_exhibit, contested))
        return True

    def _rerun(self, defence: Defence, contested: Contested, pool: ThreadPoolExecutor) -> bool:
        if len(self.runs) >= self.workers:
            return False
        self.checkpoint("before_rerun")
        self.log.info("rerun_started", result_id=defence.result_id, model_id=contested.result.model_id)
        run = pool.submit(self.evidence.rerun, contested, defence.result_id)
        self._reruns[defence.result_id] = (contested, run)
        return True

    def _collect(self) -> bool:
        """Concludes the runs that have ended."""
        ended = [result_id for result_id, (_, run) in self._reruns.items() if run.done()]
        for result_id in ended:
            contested, run = self._reruns.pop(result_id)
            defence = self.store.defence(result_id)
            if defence is not None and not defence.status.terminal:
                self.containment.run(defence, partial(self._conclude, defence, contested, run))
            elif run.exception() is None:
                self.evidence.discard(run.result())
        return self._collect_exhibits() or bool(ended)

    def _collect_exhibits(self) -> bool:
        ended = [(model_id, *job) for model_id, job in self._exhibits.items() if job[1].done()]
        for model_id, result_id, writing in ended:
            del self._exhibits[model_id]
            defence = self.store.defence(result_id)
            if defence is not None:
                self.containment.run(defence, partial(_written, writing))
        return bool(ended)

    def _conclude(self, defence: Defence, contested: Contested, run: Future[Rerun]) -> bool:
        rerun = run.result()
        self.checkpoint("after_rerun")
        return self.answers.conclude(defence, contested, rerun)

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
