"""A dispute's facts into one report: where it stands, what has happened, who must move until when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sworn.client.dispute_records import (
    ChallengerRecord,
    Deadline,
    DemandRecord,
    DisputeReport,
    Happening,
    Party,
)
from sworn.dispute.case import MATURITY_S, Case, Clocks
from sworn.dispute.queries import DisputeEvent
from sworn.referee.proof import FaultKind
from sworn.types import ZERO_ADDRESS, ZERO_HASH, Dispute, DisputeStatus, Part, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeFacts:
    """Everything that a report is drawn from; times in unix seconds."""

    case: Case
    dispute: Dispute
    clocks: Clocks
    #: Timestamp of the latest block.
    now: int
    #: Last second in which an unchallenged result can be challenged; 0 when it cannot be any more.
    challengeable_until: int = 0
    challengers: tuple[ChallengerRecord, ...] = ()
    demands: tuple[DemandRecord, ...] = ()
    #: In chain order.
    events: tuple[DisputeEvent, ...] = ()
    #: Timestamps of the events' blocks by number.
    times: Mapping[int, int]


def dispute_report(facts: DisputeFacts) -> DisputeReport:
    """The report on a dispute, or on a result that nobody has challenged."""
    dispute = facts.dispute
    reason, next_step = _finding(facts)
    return DisputeReport(
        result_id=facts.case.result_id,
        request_id=None if facts.case.is_offchain else facts.case.result.request_id,
        result=facts.case.result,
        dispute=dispute,
        reason=reason,
        next_step=next_step,
        now=facts.now,
        ends_at=facts.clocks.ends_at(dispute) if dispute.status is DisputeStatus.OPEN else None,
        trace_root=_trace_root(facts),
        deadlines=tuple(_deadlines(facts)),
        challengers=facts.challengers,
        demands=facts.demands,
        timeline=tuple(_happening(event, facts.times[event.block_number]) for event in facts.events),
    )


def target_words(target: Target) -> str:
    """What a demand asks for, in words."""
    of = {
        Part.NODES: f"value {target.value}",
        Part.CHUNKS: f"value {target.value}",
        Part.WEIGHT_NODES: f"weight {target.value}",
        Part.WEIGHT_CHUNKS: f"weight {target.value}",
        Part.VALUES: "all values",
        Part.WEIGHTS: "all weights",
    }
    match target.part:
        case Part.CHUNKS | Part.WEIGHT_CHUNKS:
            return f"chunks {16 * target.index} to {16 * target.index + 15} of {of[target.part]}"
        case Part.STEPS:
            return f"step {target.index} of the program"
        case Part.INTERFACE:
            return "the program's interface"
        case _:
            return f"hashes of {of[target.part]}, node {target.index} at height {target.level}"


def _trace_root(facts: DisputeFacts) -> bytes:
    sworn = facts.case.result.trace_root
    return facts.dispute.trace_root if sworn == ZERO_HASH else sworn


def _overdue(facts: DisputeFacts) -> list[DemandRecord]:
    return [each for each in facts.demands if not each.answered and facts.now > each.due_at]


def _finding(facts: DisputeFacts) -> tuple[str, str]:
    """Where it stands, and what to do."""
    match facts.dispute.status:
        case DisputeStatus.NONE:
            return _unchallenged(facts)
        case DisputeStatus.OPEN:
            return _open(facts)
        case DisputeStatus.REFUTED:
            return _refuted(facts)
        case DisputeStatus.UPHELD:
            reason = "Nobody proved a fault in time: the result stands for good."
            return reason, "Nothing to do: the result can be finalized."


def _unchallenged(facts: DisputeFacts) -> tuple[str, str]:
    left = facts.challengeable_until - facts.now
    if left < 0:
        return "Nobody has challenged the result, and nobody can any more.", "Nothing to do."
    step = f"If it is false, challenge it within {left} s."
    return "Nobody has challenged the result.", step


def _open(facts: DisputeFacts) -> tuple[str, str]:
    clocks, dispute, now = facts.clocks, facts.dispute, facts.now
    silence = "Convict the operator for its silence: anyone may."
    if _trace_root(facts) == ZERO_HASH:
        left = clocks.trace_until(dispute) - now
        if left < 0:
            return f"The operator should have committed to its trace {-left} s ago.", silence
        return f"The operator must commit to the trace of its run within {left} s.", "Wait for the operator."
    for demand in _overdue(facts):
        what = target_words(demand.target)
        return f"The operator should have shown {what} {now - demand.due_at} s ago.", silence
    if now > clocks.ends_at(dispute):
        return "The time for proofs is over, and nobody proved a fault.", "Resolve it: anyone may."
    waiting = sum(not demand.answered for demand in facts.demands)
    if waiting:
        reason = f"The operator owes {waiting} answer{'' if waiting == 1 else 's'}."
        return reason, "Wait for the operator: what it shows earns it the price, silence convicts it."
    if any(_is_live(each, facts) for each in facts.challengers):
        return "A challenger has committed to a fault and can prove it.", "Wait for the proof, or bring it."
    left = clocks.commit_until(dispute) - now
    if left < 0:
        return "The time for commitments is over; no live one is left.", "Wait for the end, then resolve it."
    return (
        f"The challengers look for a fault; they can commit to one within {left} s.",
        "Find the fault, then prove it.",
    )


def _refuted(facts: DisputeFacts) -> tuple[str, str]:
    dispute, settles_at = facts.dispute, facts.clocks.settles_at(facts.dispute)
    if dispute.prover == ZERO_ADDRESS:
        silent = any(event.name == "SilenceConvicted" for event in facts.events)
        reason = f"The operator was convicted for {'its silence' if silent else 'a second oath'}."
    else:
        reason = f"{dispute.prover} proved the result false."
    unclaimed = [each.account for each in facts.challengers if not each.state.claimed]
    if not unclaimed:
        return reason, "Nothing to do: every share is credited."
    if facts.now <= settles_at:
        step = (
            f"An earlier commitment can take the prover's place for {settles_at - facts.now} s; then claim the shares."
        )
        return reason, step
    return reason, f"Claim the shares of {', '.join(unclaimed)}: anyone may."


def _is_live(challenger: ChallengerRecord, facts: DisputeFacts) -> bool:
    state = challenger.state
    return state.commitment != ZERO_HASH and facts.now <= state.committed_at + facts.clocks.reveal_s


def _deadlines(facts: DisputeFacts) -> Iterator[Deadline]:
    dispute, clocks = facts.dispute, facts.clocks
    if dispute.status is DisputeStatus.NONE and facts.challengeable_until >= facts.now:
        yield Deadline(who=Party.ANYONE, what="challenge the result", until=facts.challengeable_until)
    if dispute.status is DisputeStatus.OPEN:
        yield from _open_deadlines(facts)
    if dispute.status is DisputeStatus.REFUTED:
        for each in facts.challengers:
            if not each.state.claimed:
                since = clocks.settles_at(dispute) + 1 if dispute.prover != ZERO_ADDRESS else 0
                yield Deadline(who=Party.ANYONE, what=f"credit {each.account} its share", since=since)


def _open_deadlines(facts: DisputeFacts) -> Iterator[Deadline]:
    dispute, clocks, operator = facts.dispute, facts.clocks, facts.case.result.operator
    if facts.now <= dispute.closes_at:
        yield Deadline(who=Party.ANYONE, what="join with a bond", until=dispute.closes_at)
    if _trace_root(facts) == ZERO_HASH:
        until, what = clocks.trace_until(dispute), "commit to its trace"
        yield Deadline(who=Party.OPERATOR, account=operator, what=what, until=until, binding=True)
    elif facts.now <= clocks.demand_until(dispute):
        until = clocks.demand_until(dispute)
        yield Deadline(who=Party.CHALLENGER, what="demand parts of the trace", until=until)
    for demand in facts.demands:
        if not demand.answered:
            what = f"show {target_words(demand.target)}"
            yield Deadline(who=Party.OPERATOR, account=operator, what=what, until=demand.due_at, binding=True)
    if facts.now <= clocks.commit_until(dispute):
        yield Deadline(who=Party.CHALLENGER, what="commit to a fault", until=clocks.commit_until(dispute))
    for each in facts.challengers:
        if _is_live(each, facts):
            committed_at = each.state.committed_at
            yield Deadline(
                who=Party.CHALLENGER,
                account=each.account,
                what="prove the fault it has committed to",
                since=committed_at + MATURITY_S,
                until=committed_at + clocks.reveal_s,
                binding=True,
            )
    yield Deadline(who=Party.ANYONE, what="resolve it for the operator", since=clocks.ends_at(dispute) + 1)


def _happening(event: DisputeEvent, at: int) -> Happening:
    arguments = event.arguments
    who, text, amount = _words(event, arguments)
    return Happening(
        at=at,
        who=arguments[who],
        name=event.name,
        text=text,
        amount_wei=None if amount is None else arguments[amount],
        block_number=event.block_number,
        transaction_hash=event.transaction_hash,
    )


def _words(event: DisputeEvent, arguments: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """The argument that says who, the words, and the argument that says how much."""
    match event.name:
        case "DisputeOpened":
            return "challenger", "challenges the result with a bond", "bondWei"
        case "DisputeJoined":
            return "challenger", "joins with a bond", "bondWei"
        case "TraceCommitted":
            return "operator", f"commits to its trace 0x{arguments['traceRoot'].hex()[:8]}…", None
        case "Demanded":
            return "challenger", f"demands {target_words(event.target)}, and pays", "priceWei"
        case "Disclosed":
            return "challenger", f"is shown what it demanded, in {len(arguments['disclosure'])} bytes", None
        case "FaultCommitted":
            return "challenger", "commits to a fault, still hidden", None
        case "FaultProven":
            kind = FaultKind(arguments["kind"]).name.lower().replace("_", " ")
            place = f"value {arguments['value']}, element {arguments['index']}"
            return "prover", f"proves a fault: {kind} of {place}", None
        case "SilenceConvicted":
            return "caller", "convicts the operator for its silence", None
        case "DisputeResolved":
            return "operator", "is upheld and shares the bonds with the requester", "bondsWei"
        case _:
            return "account", "is credited its bond and its share", "amountWei"
