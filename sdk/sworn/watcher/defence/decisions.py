"""What to do next about a dispute: decided from chain state and what is at hand, without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from sworn.dispute.case import Clocks
from sworn.dispute.disclosure import is_of_trace
from sworn.types import ZERO_HASH, Dispute, DisputeStatus, Result
from sworn.watcher.defence.records import Defence, DefenceStatus, OpenDemand

#: Seconds of block time between two looks at a dispute in which nothing has to be done: a verdict may come without any
#: event of the dispute.
RECHECK_S: Final = 60


class Answer(Enum):
    """What to do next about a dispute."""

    #: Nothing now.
    WAIT = "wait"
    #: Run the model again, for its trace.
    TRACE = "trace"
    #: Write the model down, to show parts of it.
    EXHIBIT = "exhibit"
    #: Swear to the trace, on chain.
    COMMIT = "commit"
    #: Show what is demanded.
    DISCLOSE = "disclose"
    #: End the dispute.
    RESOLVE = "resolve"
    #: The chain says that it is over.
    SETTLE = "settle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Everything that a decision depends on."""

    result: Result
    dispute: Dispute
    #: Unanswered ones, most urgent first.
    demands: Sequence[OpenDemand]
    #: Whether the trace that the operator is, or will be, committed to is at hand.
    has_trace: bool
    #: Whether the model is at hand as challengers are shown it.
    has_exhibit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An answer, and why."""

    answer: Answer
    #: What can be shown now, most urgent first.
    demands: tuple[OpenDemand, ...] = ()
    status: DefenceStatus = DefenceStatus.OPEN
    reason: str = ""
    #: Block timestamp before which nothing can change, short of an event or a reorg.
    due_at: int = 0


_VERDICTS: Final = {DisputeStatus.UPHELD: DefenceStatus.UPHELD, DisputeStatus.REFUTED: DefenceStatus.REFUTED}


def decide(defence: Defence, outlook: Outlook, *, clocks: Clocks, now: int) -> Decision:
    """What to do about a dispute, given the newest block's timestamp ``now``."""
    dispute = outlook.dispute
    if dispute.status in _VERDICTS:
        return Decision(answer=Answer.SETTLE, status=_VERDICTS[dispute.status])
    if dispute.status is DisputeStatus.NONE:
        return Decision(answer=Answer.WAIT, reason="not on chain at its newest block")
    if defence.status is DefenceStatus.INDEFENSIBLE:
        return Decision(answer=Answer.WAIT, status=defence.status, reason=defence.reason, due_at=now + RECHECK_S)
    if committed_root(outlook.result, dispute) == ZERO_HASH:
        return _decide_commitment(outlook, clocks=clocks, now=now)
    return _decide_demands(outlook, clocks=clocks, now=now)


def committed_root(result: Result, dispute: Dispute) -> bytes:
    """The trace that the operator stands for; zero while there is none."""
    return result.trace_root if result.trace_root != ZERO_HASH else dispute.trace_root


def _decide_commitment(outlook: Outlook, *, clocks: Clocks, now: int) -> Decision:
    if now > clocks.trace_until(outlook.dispute):
        reason = "no trace was committed to in time: anyone can convict us"
        return Decision(answer=Answer.WAIT, reason=reason, due_at=now + RECHECK_S)
    return Decision(answer=Answer.COMMIT if outlook.has_trace else Answer.TRACE)


def _decide_demands(outlook: Outlook, *, clocks: Clocks, now: int) -> Decision:
    # What is overdue can be shown no more; the rest still earns its price.
    answerable = tuple(demand for demand in outlook.demands if now <= demand.due_at)
    if not outlook.has_trace and (answerable or now <= clocks.demand_until(outlook.dispute)):
        return Decision(answer=Answer.TRACE)
    of_trace = tuple(demand for demand in answerable if is_of_trace(demand.target.part))
    if len(of_trace) < len(answerable) and not outlook.has_exhibit:
        return Decision(answer=Answer.EXHIBIT, demands=of_trace)
    if answerable:
        return Decision(answer=Answer.DISCLOSE, demands=answerable)
    if outlook.dispute.open_demands:
        reason = "a demand is overdue: anyone can convict us" if outlook.demands else "waiting for a demand's log"
        return Decision(answer=Answer.WAIT, reason=reason, due_at=now + RECHECK_S if outlook.demands else 0)
    ends_at = clocks.ends_at(outlook.dispute)
    if now > ends_at:
        return Decision(answer=Answer.RESOLVE)
    return Decision(answer=Answer.WAIT, due_at=min(ends_at + 1, now + RECHECK_S))
