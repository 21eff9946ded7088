"""What a player of a dispute holds, and what it makes of what it sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sworn.dispute.case import Case
from sworn.dispute.queries import DisputeEvent
from sworn.dispute.record import shown_in
from sworn.dispute.search import Finding, Search, audit_trace
from sworn.dispute.strategy import Action, Move, View, Wait
from sworn.types import ZERO_HASH, DisputeStatus
from sworn.verification import CompiledModel, Trace

#: Told in words of every move before it is made, and of what is waited for.
OnStep = Callable[[str], None]

_WORDS: Final = MappingProxyType(
    {
        Action.OPEN: "challenge the result",
        Action.JOIN: "join the challengers",
        Action.DEMAND: "demand a part of the trace",
        Action.COMMIT_FAULT: "commit to the fault",
        Action.PROVE_FAULT: "prove the fault",
        Action.CONVICT_SILENCE: "convict the operator for its silence",
        Action.RESOLVE: "resolve the dispute",
        Action.CLAIM: "claim bond and share",
        Action.WITHDRAW: "withdraw what is credited",
    }
)


def words_of(step: Move | Wait) -> str:
    """What is done or waited for now, in words."""
    return _WORDS[step.action] if isinstance(step, Move) else step.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """What a player brings to a dispute."""

    case: Case
    #: No event of the dispute is older; None = unknown.
    from_block: int | None
    model: CompiledModel
    #: The operator's whole trace, where it is at hand.
    trace: Trace | None
    search: Search
    #: 32 bytes from which salts are derived.
    secret: bytes
    #: For demands, in all.
    budget_wei: int

    def finding(self, view: View, events: Sequence[DisputeEvent]) -> Finding | None:
        """What is known of the fault by now; None before there is a trace to search. Raises as `Search.look` does."""
        if view.trace_root == ZERO_HASH or view.dispute.status in (DisputeStatus.NONE, DisputeStatus.UPHELD):
            return None
        if self.trace is not None and self.trace.root == view.trace_root:
            return audit_trace(self.model, self.trace, view.sworn)
        return self.search.look(view.sworn, shown_in(events, view.trace_root))
