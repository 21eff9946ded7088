"""What was remarkable about a move: games that never get there show nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.games.model import REVEAL_S, TRACE_S, Rules
from tests.games.moves import Action, Moment, Move
from tests.games.shown_model import is_of_model

from sworn.types import ZERO_HASH, DisputeStatus

#: What thousands of games must reach between them.
MUST_HAPPEN: Final = frozenset(
    {
        *("proof", "takeover", "silence without a trace", "silence about a demand", "equivocation"),
        "equivocation in a dispute",
        *("upheld", "part of the model shown", "part of the trace shown", "reorganisation"),
        *("joined in the last second", "trace in the last second", "answer in the last second"),
        *("commitment in the last second", "proof in the last second", "proof in the first second"),
        *("silence in the first second", "resolved in the first second", "claimed in the first second"),
        *("money sent beyond a price", "collected later", "use slashed", "use released", "finalized", "expired"),
    }
)
#: Refusals that they must meet.
MUST_BE_REFUSED: Final = frozenset(
    {
        *("AlreadyChallenger", "ChallengeBondTooHigh", "ChallengeBondTooLow", "ChallengeTooLate", "CommitmentInvalid"),
        *("CommitmentMismatch", "CommitmentMissing", "DemandAnswered", "DemandExists", "DemandMissing"),
        *("DemandPriceTooLow", "DemandsOpen", "DisclosureMismatch", "DisputeNotOpen", "DisputeNotRefuted"),
        *("FaultNotShown", "MoveTooEarly", "MoveTooLate", "NotChallenger", "NothingToClaim", "ProofTooShort"),
        *("SignerNotAuthorized", "StatementDiffers", "TargetInvalid", "TooManyDemands", "TraceNotCommitted"),
        *("TraceRootInvalid", "ResultNotConvicted", "OperatorBarredFromRequest", "WindowOpen", "UseNotReleased"),
    }
)

#: What a hundred may miss.
RARE: Final = frozenset(
    {"takeover", "equivocation", "equivocation in a dispute", "collected later", "DemandsOpen", "TooManyDemands"}
)


def facts(rules: Rules, move: Move, moment: Moment) -> Iterator[str]:
    """What is remarkable about a move that is about to succeed."""
    state, now = rules.state, moment.time
    party = state.parties.get(move.by)
    match move.action:
        case Action.JOIN if now == state.closes_at:
            yield "joined in the last second"
        case Action.COMMIT_TRACE if now == state.opened_at + TRACE_S:
            yield "trace in the last second"
        case Action.DISCLOSE:
            yield f"part of the {'model' if is_of_model(move.target[0]) else 'trace'} shown"
            if now == state.demands[move.account, move.target].due_at:
                yield "answer in the last second"
        case Action.COMMIT_FAULT if now == state.ends_at - REVEAL_S:
            yield "commitment in the last second"
        case Action.PROVE if party is not None:
            yield "proof" if state.status is DisputeStatus.OPEN else "takeover"
            if now == party.committed_at + REVEAL_S:
                yield "proof in the last second"
            if now == party.committed_at + 60:
                yield "proof in the first second"
        case Action.CONVICT_SILENCE:
            traceless = rules.root == ZERO_HASH
            yield "silence without a trace" if traceless else "silence about a demand"
            due_at = state.opened_at + TRACE_S if traceless else state.demands[move.account, move.target].due_at
            if now == due_at + 1:
                yield "silence in the first second"
        case Action.RESOLVE:
            yield "upheld"
            if now == state.ends_at + 1:
                yield "resolved in the first second"
        case Action.CLAIM if now == state.settles_at + 1:
            yield "claimed in the first second"
        case Action.EQUIVOCATE if state.status is DisputeStatus.OPEN:
            yield "equivocation in a dispute"
        case _ if move.action in _NAMES:
            yield _NAMES[move.action]


_NAMES: Final = {
    Action.EQUIVOCATE: "equivocation",
    Action.COLLECT: "collected later",
    Action.SLASH_USE: "use slashed",
    Action.RELEASE: "use released",
    Action.FINALIZE: "finalized",
    Action.EXPIRE: "expired",
}
