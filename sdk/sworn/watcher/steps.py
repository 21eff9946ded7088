"""What is done with jobs, except running models: look at the chain, decide, act, group by group.

Every effect is stored before it leaves the process, and what many jobs need is stored together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block
from sworn.types import Address, FailureCode
from sworn.watcher.containment import attempted
from sworn.watcher.inference import RETRIED, Computed, Outcome, Unanswerable
from sworn.watcher.jobs import (
    MAX_BACKOFF_S,
    RECHECK_S,
    Action,
    Job,
    JobStatus,
    Oath,
    Trouble,
    backoff_s,
    moved,
    postponed,
)
from sworn.watcher.latency import tell_proposed
from sworn.watcher.looking import Looker, Mishap, Sight, View
from sworn.watcher.policy import Guards
from sworn.watcher.rehearsal import Rehearsal
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.submissions import Kind, Submissions
from sworn.watcher.swearing import Swearing
from sworn.watcher.telemetry import NO_TELEMETRY, Telemetry

#: Runs of one job before a failure that may pass is taken as final: as many as quarantine allows that do harm. An input
#: that cannot be had is asked for until the deadline is near.
MAX_RUNS = {FailureCode.EXECUTION_FAILED: 2, FailureCode.LIMIT_EXCEEDED: 2}
#: How long a machine is given to recover from what broke a limit, where there is so much time.
RECOVERY_S = 60.0
_KINDS = {Action.PROPOSE: Kind.PROPOSE, Action.FINALIZE: Kind.FINALIZE, Action.FAIL: Kind.FAIL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a group of steps came to."""

    changed: bool = False
    failed: list[Mishap] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Everything that is done with jobs, except running the model."""

    looker: Looker
    swearing: Swearing
    submissions: Submissions
    store: JobStore
    operator: Address
    guards: Callable[[], Guards]
    #: Name under which this process leases jobs.
    holder: str
    log: FilteringBoundLogger
    clock: Callable[[], float]
    checkpoint: Callable[[str], None]
    #: Seconds before the deadline from which on a run is not tried again.
    give_up_before_s: int = 120
    telemetry: Telemetry = NO_TELEMETRY
    #: In a dry run: nothing is sworn.
    rehearsal: Rehearsal | None = None

    def deepened(self, head: Block, after: int | None) -> int:
        """Has jobs looked at whose end is deep by now; the block up to which that was done.

        ``after`` is what this said last, None at first. Only for who leads. Raises `StoreError`.
        """
        safe = head.number - self.looker.confirmations
        if self.looker.confirmations and (after is None or safe > after):
            self.store.wake_ended(after=after, up_to=safe)
        return safe

    def advance(self, jobs: Sequence[Job], head: Block) -> Done:
        """Looks at jobs that move by themselves and does what is due. Only for who leads. Raises `ChainError`."""
        sights = self.looker.look(jobs, head)
        done = self.act(sights.seen, head)
        return Done(changed=done.changed, failed=sights.failed + done.failed)

    def act(self, sights: Sequence[Sight], head: Block, *, leads: bool = True) -> Done:
        """Does everything but RUN. Who does not lead sends nothing: it only stores what it has seen.

        Raises `ChainError`, `StoreError`.
        """
        by_action: dict[Action, list[Sight]] = defaultdict(list)
        for job, view in self._reopened(sights):
            by_action[view.decision.action].append((job, view))
        changed = self._settle_deep(by_action.pop(Action.SETTLE, []), head)
        failed: list[Mishap] = []
        due = {kind: by_action.pop(action, []) for action, kind in _KINDS.items()}
        if not leads:
            by_action[Action.WAIT] += [sight for some in due.values() for sight in some]
            due = {}
        changed |= self._keep(by_action.get(Action.WAIT, []))
        for kind, some in due.items():
            carried = self.submissions.carry(kind, some)
            changed |= carried.changed
            failed += carried.failed
        return Done(changed=changed, failed=failed)

    def conclude(self, ended: Sequence[tuple[Job, Outcome]], head: Block) -> Done:
        """Stores what runs came to: oaths, failures, or another try. Raises `StoreError`."""
        if self.rehearsal is not None:
            return Done(changed=bool(self.settle(self.rehearsal.concluded(ended), head)))
        computed = [(job, outcome) for job, outcome in ended if isinstance(outcome, Computed)]
        sworn, refused = self.swearing.swear(computed)
        failed = self._undisputed(refused)
        signed: list[Oath] = []
        for job, oath in sworn:
            # What cannot be signed now is signed when it is proposed: the digest is there.
            signed += self._signature(job, oath)
        answered = [moved(job, JobStatus.ANSWERED) for job, _ in sworn]
        unanswered = [self._given_up(job, out, head) for job, out in ended if isinstance(out, Unanswerable)]
        counted = self.store.conclude([*answered, *unanswered], self.holder, signed=signed)
        if signed:
            self.checkpoint("signature_stored")
        if any(job.status is JobStatus.FAILING for job in unanswered):
            self.checkpoint("failure_stored")
        before = {job.request_id: job for job, _ in ended}
        for job in (*answered, *unanswered):
            if job.request_id in counted:
                self._tell(before[job.request_id], job)
        return Done(changed=bool(ended), failed=failed)

    def forget(self, outcome: Outcome) -> None:
        """Removes what a run has left that nobody asks for any more. Raises `TraceError`."""
        if isinstance(outcome, Computed):
            self.swearing.discard(outcome)

    def settle(self, jobs: Sequence[tuple[Job, JobStatus, str]], head: Block) -> list[Job]:
        """Ends jobs, each in a status and for a reason."""
        settled = [
            replace(job, status=status, reason=reason, settled_block=head.number) for job, status, reason in jobs
        ]
        if settled:
            self.store.save_many(settled)
            for (before, _, _), job in zip(jobs, settled, strict=True):
                self._tell(before, job)
            self.checkpoint("job_settled")
        return settled

    def postpone(self, job: Job, reason: str, *, trouble: Trouble = Trouble.AROUND, wait_s: float | None = None) -> Job:
        """Leaves an open job for later: for ``wait_s``, or longer with every consecutive trouble."""
        later = postponed(job, reason, trouble, now=self.clock(), wait_s=wait_s)
        self.store.save(later)
        self._tell(job, later)
        return later

    def postpone_many(self, jobs: Sequence[tuple[Job, str]], wait_s: float) -> None:
        """Leaves jobs for later, each for a reason that is not its own doing."""
        now = self.clock()
        later = [(job, postponed(job, reason, Trouble.AROUND, now=now, wait_s=wait_s)) for job, reason in jobs]
        if later:
            self.store.save_many([job for _, job in later])
        for before, job in later:
            self._tell(before, job)

    def park(self, job: Job, error: Exception) -> None:
        """Gives a job up until a person has looked at it."""
        self.store.save(replace(job, status=JobStatus.PARKED, reason=f"{type(error).__name__}: {error}"))
        self.log.error("job_parked", request_id=job.request_id, reason=str(error))

    def _undisputed(self, refused: Sequence[Mishap]) -> list[Mishap]:
        """What must not be sworn, without those that another replica has sworn in the mean time."""
        sworn = self.store.oaths([job.request_id for job, _ in refused], self.operator) if refused else {}
        for job, error in refused:
            if job.request_id in sworn:
                self.log.warning("result_discarded", request_id=job.request_id, reason=str(error))
        return [(job, error) for job, error in refused if job.request_id not in sworn]

    def _signature(self, job: Job, oath: Oath) -> list[Oath]:
        signed = attempted(partial(self.swearing.signed, job, oath))
        if isinstance(signed, Exception):
            reason = f"{type(signed).__name__}: {signed}"
            self.log.error("result_unsigned", request_id=job.request_id, reason=reason)
            return []
        return [signed]

    def _reopened(self, sights: Sequence[Sight]) -> list[Sight]:
        """The same; of what had ended, and has not any more, that is forgotten."""
        kept = {
            job.request_id: replace(job, settled_block=None)
            for job, view in sights
            if job.settled_block is not None and view.decision.action is not Action.SETTLE
        }
        if kept:
            self.store.save_many(kept.values())
        return [(kept.get(job.request_id, job), view) for job, view in sights]

    def _settle_deep(self, ends: Sequence[Sight], head: Block) -> bool:
        """Ends what cannot come back; the rest is left alone until it is as deep, or for a while."""
        safe = head.number - self.looker.confirmations
        # What was above that block, itself or its end, when it was seen first need not be asked for there.
        ripe = [(job, view) for job, view in ends if max(job.block_number, job.settled_block or 0) <= safe]
        deep = self.looker.deep(ripe, head)
        over = [(job, view.decision) for job, view in ends if job.request_id in deep]
        self.settle([(job, decision.status, decision.reason) for job, decision in over], head)
        shallow = [job for job, _ in ends if job.request_id not in deep]
        seen = [head.number if job.settled_block is None else min(job.settled_block, head.number) for job in shallow]
        # SAFETY: `Steps.deepened` wakes it when it is deep. It is looked at before that because a reorganisation of
        # blocks that have not been followed yet wakes nobody.
        due_at = head.timestamp + RECHECK_S
        rested = [replace(job, settled_block=at, due_at=due_at) for job, at in zip(shallow, seen, strict=True)]
        if rested:
            self.store.save_many(rested)
        return bool(over) or any(job.settled_block is None for job in shallow)

    def _keep(self, sights: Sequence[Sight]) -> bool:
        changes: list[Sight] = []
        for job, view in sights:
            decision = view.decision
            kept = moved(job, decision.status, reason=decision.reason, due_at=decision.due_at)
            if kept != job:
                changes.append((kept, view))
        if changes:
            before = {job.request_id: job for job, _ in sights}
            self.store.save_many([job for job, _ in changes])
            for job, _ in changes:
                self._tell(before[job.request_id], job)
            self._count_proposed([(before[job.request_id], job, view) for job, view in changes])
        return bool(changes)

    def _count_proposed(self, changes: Sequence[tuple[Job, Job, View]]) -> None:
        fresh = [(job, view) for before, job, view in changes if job.status is JobStatus.PROPOSED is not before.status]
        if fresh:
            jobs, head = [job for job, _ in fresh], fresh[-1][1].head
            tell_proposed(self.telemetry, self.store.database, jobs, head=head, now=self.clock())

    def _given_up(self, job: Job, outcome: Unanswerable, head: Block) -> Job:
        wait_s = self._retry_after(job, outcome, head)
        if wait_s is not None:
            reason = f"{outcome.code.name}: {outcome.reason}"
            later = postponed(job, reason, Trouble.RUN, now=self.clock(), wait_s=wait_s)
            return replace(later, attempts=job.attempts + 1)
        if job.request.operator != self.operator or not self.guards().post_failures:
            reason = f"{outcome.code.name}: {outcome.reason}"
            return replace(job, status=JobStatus.IGNORED, reason=reason, settled_block=head.number)
        return moved(replace(job, failure=outcome.code), JobStatus.FAILING, reason=outcome.reason)

    def _retry_after(self, job: Job, outcome: Unanswerable, head: Block) -> float | None:
        """Seconds until a job's next run; None where there is none any more."""
        if not outcome.passing or outcome.code not in RETRIED:
            return None
        if job.runs + 1 >= MAX_RUNS.get(outcome.code, 1 << 30):
            return None
        left_s = job.request.deadline - self.give_up_before_s - head.timestamp
        wait_s = backoff_s(job.attempts + 1, MAX_BACKOFF_S)
        if outcome.crashed and left_s > RECOVERY_S:
            return max(wait_s, RECOVERY_S)
        return wait_s if left_s > wait_s else None

    def _tell(self, before: Job, job: Job) -> None:
        if job.status is not before.status:
            self.log.info(f"job_{job.status.value}", request_id=job.request_id, reason=job.reason)
        elif job.retry_at > before.retry_at:
            facts = {"reason": job.reason, "attempts": job.attempts, "wait_s": round(job.retry_at - self.clock(), 3)}
            self.log.warning("job_postponed", request_id=job.request_id, **facts)
