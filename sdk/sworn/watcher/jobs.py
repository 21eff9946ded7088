"""One job per request, and what to do next with it: decided from chain state alone, without I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from sworn.types import FailureCode, Request, RequestId, RequestState, Status

#: Seconds between two looks at another operator's result, or at one under challenge.
RECHECK_S = 60
#: Longest wait after troubles in a row.
MAX_BACKOFF_S = 300.0


class JobStatus(Enum):
    """How far a job has come. The order of a good life is the order here."""

    #: Logged and stored; not yet answered.
    SEEN = "seen"
    #: The model has run; the digest and its signature are journalled.
    ANSWERED = "answered"
    #: A transaction that proposes the answer is promised, perhaps sent.
    PROPOSING = "proposing"
    #: Our result is on chain, in its challenge window.
    PROPOSED = "proposed"
    #: Our result is under challenge; `sworn.watcher.defence` defends it.
    DISPUTED = "disputed"
    #: A transaction that finalizes the result is promised, perhaps sent.
    FINALIZING = "finalizing"
    #: Our result stands and is paid. Ends here.
    FINALIZED = "finalized"
    #: A signed failure is promised, perhaps sent.
    FAILING = "failing"
    #: The request ended with our signed failure. Ends here.
    FAILED = "failed"
    #: Another operator's result is in its challenge window; the request may come back.
    OVERTAKEN = "overtaken"
    #: Not served, for the stored reason. Ends here.
    IGNORED = "ignored"
    #: The deadline passed without a result. Ends here.
    EXPIRED = "expired"
    #: The request ended with a refuted result. Ends here.
    REFUTED = "refuted"
    #: The request's block left the chain; the job starts anew when the request is seen again. Ends here.
    ORPHANED = "orphaned"
    #: Given up after repeated unexpected errors, for the stored reason; waits for a person. Ends here.
    PARKED = "parked"

    @property
    def terminal(self) -> bool:
        """Whether nothing more is done with the job unless the chain changes."""
        return self in _TERMINAL


#: Jobs for which a transaction is promised, perhaps sent.
PROMISED = frozenset({JobStatus.PROPOSING, JobStatus.FINALIZING, JobStatus.FAILING})
_TERMINAL = frozenset(
    {
        JobStatus.FINALIZED,
        JobStatus.FAILED,
        JobStatus.IGNORED,
        JobStatus.EXPIRED,
        JobStatus.REFUTED,
        JobStatus.ORPHANED,
        JobStatus.PARKED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request and what has become of it here."""

    request_id: RequestId
    request: Request
    #: The payload, or a reference to it, as emitted.
    input: bytes
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    status: JobStatus = JobStatus.SEEN
    #: Why the job is where it is, for people.
    reason: str = ""
    #: Consecutive attempts that ended with any trouble; they make the waits longer.
    attempts: int = 0
    #: Of these, errors that nobody expected; they end in PARKED.
    errors: int = 0
    #: Transactions and simulations that reverted, in a row.
    reverts: int = 0
    #: Runs that ended without an output.
    runs: int = 0
    #: Key of the transaction that carries the job's present move, alone or with others; empty before the first.
    carrier: str = ""
    #: Not before this wall-clock time (unix seconds): backoff.
    retry_at: float = 0.0
    #: Not before this block timestamp (unix seconds): a window that has to pass.
    due_at: int = 0
    #: The failure that was decided on, if any.
    failure: FailureCode | None = None
    #: Head of the chain when the job ended; a reorg below it opens the job again. Of an open job: that at which its end
    #: was seen first, which is waited for until it is deep.
    settled_block: int | None = None


class Trouble(Enum):
    """What a job is put off for, as its counters tell it."""

    #: The node, the engine or the signer: not the job's doing.
    AROUND = "around"
    #: An error of a kind that nobody expected.
    ERROR = "error"
    #: A contract refused.
    REVERT = "revert"
    #: A run without an output.
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Oath:
    """The one result that was sworn, or is about to be, for a request by an operator."""

    request_id: RequestId
    operator: str
    digest: bytes
    output_root: bytes
    trace_root: bytes
    output: bytes
    #: None until it has been stored; the digest is always stored before.
    signature: bytes | None = None


class Action(Enum):
    """What to do next with a job."""

    #: Nothing now.
    WAIT = "wait"
    #: Check the terms, then run the model.
    RUN = "run"
    #: Put the sworn result on chain.
    PROPOSE = "propose"
    #: Put the signed failure on chain.
    FAIL = "fail"
    #: Make our result final.
    FINALIZE = "finalize"
    #: The chain says that it is over.
    SETTLE = "settle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An action, the status that the job has from now on, and why."""

    action: Action
    status: JobStatus
    reason: str = ""
    #: Block timestamp before which nothing can change, short of a reorg.
    due_at: int = 0


def moved(job: Job, status: JobStatus, *, reason: str = "", due_at: int = 0) -> Job:
    """The job in a status; a change of status forgets earlier trouble."""
    if status is job.status:
        return replace(job, reason=reason, due_at=due_at)
    return replace(job, status=status, reason=reason, due_at=due_at, attempts=0, errors=0, reverts=0, retry_at=0.0)


def postponed(job: Job, reason: str, trouble: Trouble, *, now: float, wait_s: float | None = None) -> Job:
    """The job, put off for ``wait_s``, or without it for longer with every trouble in a row."""
    attempts = job.attempts + (wait_s is None)
    return replace(
        job,
        reason=reason,
        attempts=attempts,
        errors=job.errors + (trouble is Trouble.ERROR),
        reverts=job.reverts + (trouble is Trouble.REVERT),
        runs=job.runs + (trouble is Trouble.RUN),
        retry_at=now + (backoff_s(attempts, MAX_BACKOFF_S) if wait_s is None else wait_s),
    )


def backoff_s(attempts: int, most_s: float) -> float:
    """Seconds to wait after so many troubles in a row: twice as long each time."""
    return min(2.0 ** min(attempts, 30), most_s)


_ENDED = {Status.EXPIRED: JobStatus.EXPIRED, Status.FAILED: JobStatus.FAILED, Status.REFUTED: JobStatus.REFUTED}


def decide(job: Job, *, state: RequestState, oath: Oath | None, now: int) -> Decision:
    """What to do with an open job, given the request's state on chain and the newest block's timestamp ``now``."""
    match state.status:
        case Status.NONE:
            return Decision(action=Action.WAIT, status=job.status, reason="not on chain at its newest block")
        case Status.REQUESTED:
            return _decide_requested(job, deadline=effective_deadline(job.request, state), oath=oath, now=now)
        case Status.PROPOSED:
            return _decide_proposed(job, state=state, oath=oath, now=now)
        case Status.DISPUTED if _is_ours(oath, state):
            return Decision(action=Action.WAIT, status=JobStatus.DISPUTED, due_at=now + RECHECK_S)
        case Status.DISPUTED:
            reason = "another operator's result is under challenge"
            return Decision(action=Action.WAIT, status=JobStatus.OVERTAKEN, reason=reason, due_at=now + RECHECK_S)
        case Status.FINALIZED if _is_ours(oath, state):
            return Decision(action=Action.SETTLE, status=JobStatus.FINALIZED)
        case Status.FINALIZED:
            reason = "another operator's result is final"
            return Decision(action=Action.SETTLE, status=JobStatus.IGNORED, reason=reason)
        case _:
            return Decision(action=Action.SETTLE, status=_ENDED[state.status], reason=job.reason)


def effective_deadline(request: Request, state: RequestState) -> int:
    """Last second in which a result may be proposed."""
    return request.deadline + state.extension_s


def _decide_requested(job: Job, *, deadline: int, oath: Oath | None, now: int) -> Decision:
    if now > deadline:
        return Decision(action=Action.SETTLE, status=JobStatus.EXPIRED, reason=job.reason or "the deadline has passed")
    if oath is not None:
        status = JobStatus.PROPOSING if job.status is JobStatus.PROPOSING else JobStatus.ANSWERED
        return Decision(action=Action.PROPOSE, status=status)
    if job.failure is not None:
        return Decision(action=Action.FAIL, status=JobStatus.FAILING, reason=job.reason)
    return Decision(action=Action.RUN, status=JobStatus.SEEN, reason=job.reason)


def _decide_proposed(job: Job, *, state: RequestState, oath: Oath | None, now: int) -> Decision:
    closes_at = state.proposed_at + job.request.window_s
    if not _is_ours(oath, state):
        reason = "another operator's result is in its window"
        # It may be refuted before its window closes, and then time runs again.
        due_at = min(closes_at + 1, now + RECHECK_S) if now <= closes_at else now + RECHECK_S
        return Decision(action=Action.WAIT, status=JobStatus.OVERTAKEN, reason=reason, due_at=due_at)
    if now <= closes_at:
        return Decision(action=Action.WAIT, status=JobStatus.PROPOSED, due_at=closes_at + 1)
    status = JobStatus.FINALIZING if job.status is JobStatus.FINALIZING else JobStatus.PROPOSED
    return Decision(action=Action.FINALIZE, status=status)


def _is_ours(oath: Oath | None, state: RequestState) -> bool:
    return oath is not None and oath.digest[:20] == state.result_tag
