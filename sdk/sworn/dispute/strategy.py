"""What a challenger does next: from what the chain says and what it knows, and nothing else.

No move depends on whether an earlier transaction of one's own went through: a move whose effect is not on chain yet
comes out again, under the same name, until it is.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import Final

from sworn.chain.gateway import Call
from sworn.codec.dispute_structs import fault_commitment
from sworn.dispute.case import MATURITY_BLOCKS, MATURITY_S, Case, Clocks
from sworn.dispute.moves import Moves
from sworn.dispute.search import FaultFound, Finding, NoFault, Wanted
from sworn.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    ChallengerState,
    Dispute,
    DisputeStatus,
    Part,
    Result,
    ResultId,
    Target,
)

#: What bonds and demands are paid with, lest the base fee rise until they are mined. A bond comes back with a verdict,
#: what is paid beyond a demand's price at once.
_MARGIN: Final = (5, 4)
#: Seconds after which the chain is looked at again where no clock says when.
_RECHECK_S: Final = 12
_SALT: Final = b"sworn fault salt"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDemand:
    """A demand that waits for its answer."""

    challenger: Address
    target: Target
    #: Last second in which the operator may answer.
    due_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the chain says about one dispute at one block."""

    case: Case
    #: The challenger who looks.
    account: Address
    #: Last second in which the result can be challenged.
    closes_at: int
    dispute: Dispute
    me: ChallengerState
    #: Everybody's.
    open_demands: tuple[OpenDemand, ...] = ()
    #: What this account has demanded so far, answered or not.
    asked: frozenset[Target] = frozenset()
    max_open_demands: int
    smallest_bond_wei: int
    #: What the opener has posted, and whoever joins must.
    opener_bond_wei: int = 0
    #: What a demand costs.
    prices: Mapping[Part, int]
    #: What this account can withdraw.
    reward_wei: int = 0

    @property
    def trace_root(self) -> bytes:
        """Of the trace that the operator stands for; zero while there is none."""
        root = self.case.result.trace_root
        return root if root != ZERO_HASH else self.dispute.trace_root

    @property
    def sworn(self) -> Result:
        """The result, with the trace root that its operator has committed to."""
        return replace(self.case.result, trace_root=self.trace_root)

    def demanding(self, target: Target, *, due_at: int) -> View:
        """The view once a demand for a target is on chain: what follows needs not wait for its block."""
        price = self.prices[target.part]
        me = replace(self.me, locked_wei=self.me.locked_wei + price, open_demands=self.me.open_demands + 1)
        waiting = OpenDemand(challenger=self.account, target=target, due_at=due_at)
        return replace(self, me=me, open_demands=(*self.open_demands, waiting), asked=self.asked | {target})


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What a challenger knows."""

    #: Whether the result deserves a challenge.
    is_false: bool
    #: What the search has come to; None before anything of a trace could be searched.
    finding: Finding | None = None
    #: 32 bytes that nobody else knows, the same after every restart: salts are derived from them.
    secret: bytes
    #: What may be paid for demands in all.
    budget_wei: int


class Action(Enum):
    """A move of a challenger."""

    #: Challenges the result.
    OPEN = "open_dispute"
    #: Joins the challengers.
    JOIN = "join_dispute"
    #: Pays to see a part of the trace.
    DEMAND = "demand"
    #: Commits to a fault.
    COMMIT_FAULT = "commit_fault"
    #: Proves it.
    PROVE_FAULT = "prove_fault"
    #: Convicts an operator that has not answered in time.
    CONVICT_SILENCE = "convict_silence"
    #: Ends a dispute that nobody has won.
    RESOLVE = "end_dispute"
    #: Has bond and share credited.
    CLAIM = "claim_share"
    #: Has what is credited paid out.
    WITHDRAW = "withdraw_share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One transaction."""

    action: Action
    value_wei: int = 0
    #: What is demanded, or has not been shown.
    target: Target | None = None
    #: Whose demand has not been answered.
    challenger: Address = ZERO_ADDRESS
    commitment: bytes = b""
    proof: bytes = b""
    salt: bytes = b""
    #: Tells moves apart that would else have one name: how often a commitment has been made before.
    since: int = 0

    def key(self, result_id: ResultId) -> str:
        """The name of the intent: the same for the same move, whenever it comes out."""
        parts = [self.action.value, result_id.hex()]
        if self.target is not None:
            target = self.target
            parts.append(f"{int(target.part)}.{target.value}.{target.level}.{target.index}")
        if self.action is Action.COMMIT_FAULT:
            parts.append(self.commitment.hex()[:16])
        if self.since:
            parts.append(str(self.since))
        return ":".join(parts)

    def call(self, case: Case, account: Address, moves: Moves) -> Call:
        """The call that makes the move."""
        target = self.target or Target(part=Part.VALUES)
        match self.action:
            case Action.OPEN:
                return moves.challenge(case, bond_wei=self.value_wei)
            case Action.JOIN:
                return moves.join(case.result_id, bond_wei=self.value_wei)
            case Action.DEMAND:
                return moves.demand(case, target, price_wei=self.value_wei)
            case Action.COMMIT_FAULT:
                return moves.commit_fault(case.result_id, self.commitment)
            case Action.PROVE_FAULT:
                return moves.prove_fault(case, self.proof, self.salt)
            case Action.CONVICT_SILENCE:
                return moves.convict_silence(case, challenger=self.challenger, target=target)
            case Action.RESOLVE:
                return moves.resolve(case)
            case Action.CLAIM:
                return moves.claim(case.result_id, account)
            case Action.WITHDRAW:
                return moves.withdraw_for(account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do before the chain changes or its clock says ``until`` (unix seconds)."""

    until: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Nothing to do any more."""

    reason: str


Step = Move | Wait | Done


def salt_of(secret: bytes, result_id: ResultId, account: Address, fault: FaultFound) -> bytes:
    """What hides a fault: 32 bytes that nobody guesses without the secret, the same whenever they are asked for."""
    place = bytes([fault.kind]) + fault.value.to_bytes(4) + fault.index.to_bytes(8)
    return hmac.new(secret, _SALT + result_id + bytes.fromhex(account[2:]) + place, sha256).digest()


def next_move(view: View, knowledge: Knowledge, clocks: Clocks, *, now: int, head: int) -> Step:
    """The next move; ``now`` and ``head`` are timestamp and number of the block of the view."""
    match view.dispute.status:
        case DisputeStatus.NONE:
            return _open(view, knowledge, now)
        case DisputeStatus.OPEN if not view.me.bond_wei:
            return _join(view, knowledge, now)
        case DisputeStatus.OPEN:
            return _play(view, knowledge, clocks, now=now, head=head)
        case DisputeStatus.REFUTED if view.me.bond_wei:
            return _collect(view, knowledge, clocks, now=now, head=head)
        case _:
            return _withdraw(view)


def _open(view: View, knowledge: Knowledge, now: int) -> Step:
    if not knowledge.is_false:
        return Done(reason="the result is not known to be false")
    if now > view.closes_at:
        return Done(reason="the window for challenges has closed")
    return Move(action=Action.OPEN, value_wei=_with_margin(view.smallest_bond_wei))


def _join(view: View, knowledge: Knowledge, now: int) -> Step:
    # A friend of the operator may have opened first: it cannot stop anybody from proving.
    if not knowledge.is_false:
        return Done(reason="others challenge a result that is not known to be false")
    if now > view.dispute.closes_at:
        return Done(reason="the window for challengers has closed")
    return Move(action=Action.JOIN, value_wei=view.opener_bond_wei)


def _play(view: View, knowledge: Knowledge, clocks: Clocks, *, now: int, head: int) -> Step:
    proving: Step | None = None
    if isinstance(knowledge.finding, FaultFound):
        proving = _prove(view, knowledge.finding, knowledge.secret, clocks, now=now, head=head)
        if isinstance(proving, Move):
            return proving
    silent = _silence(view, clocks, now)
    if isinstance(silent, Move):
        return silent
    if now > clocks.ends_at(view.dispute) and view.trace_root != ZERO_HASH and not view.open_demands:
        return Move(action=Action.RESOLVE)
    if isinstance(knowledge.finding, Wanted):
        asking = _demand(view, knowledge, knowledge.finding, clocks, now)
        if asking is not None:
            return asking
    waits = [step for step in (proving, silent) if isinstance(step, Wait)]
    if waits:
        return min(waits, key=lambda wait: wait.until)
    reason = knowledge.finding.reason if isinstance(knowledge.finding, NoFault) else "nothing more can be demanded"
    return Wait(until=clocks.ends_at(view.dispute) + 1, reason=reason)


def _prove(view: View, fault: FaultFound, secret: bytes, clocks: Clocks, *, now: int, head: int) -> Move | Wait | None:
    """Commits, waits, proves; None where it is too late for that."""
    result_id, me = view.case.result_id, view.me
    salt = salt_of(secret, result_id, view.account, fault)
    commitment = fault_commitment(
        result_id, view.account, kind=fault.kind, value=fault.value, index=fault.index, salt=salt
    )
    if me.commitment == commitment and now <= me.committed_at + clocks.reveal_s:
        if now >= me.committed_at + MATURITY_S and head >= me.committed_in_block + MATURITY_BLOCKS:
            return Move(action=Action.PROVE_FAULT, proof=fault.proof, salt=salt, since=me.committed_at)
        ripe_at = max(me.committed_at + MATURITY_S, now + 1)
        return Wait(until=ripe_at, reason="the commitment has to ripen")
    if view.dispute.status is not DisputeStatus.OPEN or now > clocks.commit_until(view.dispute):
        return None
    return Move(action=Action.COMMIT_FAULT, commitment=commitment, since=me.committed_at)


def _silence(view: View, clocks: Clocks, now: int) -> Move | Wait | None:
    if view.trace_root == ZERO_HASH:
        until = clocks.trace_until(view.dispute)
        if now > until:
            return Move(action=Action.CONVICT_SILENCE)
        return Wait(until=until + 1, reason="the operator has not committed to a trace")
    if not view.open_demands:
        return None
    first = min(view.open_demands, key=lambda demand: demand.due_at)
    if now > first.due_at:
        return Move(action=Action.CONVICT_SILENCE, challenger=first.challenger, target=first.target)
    return Wait(until=first.due_at + 1, reason="the operator has not answered a demand")


def _demand(view: View, knowledge: Knowledge, wanted: Wanted, clocks: Clocks, now: int) -> Step | None:
    """The next demand, if there is one to make now."""
    # What another has demanded is shown to everybody.
    waiting = {demand.target for demand in view.open_demands}
    missing = [target for target in wanted.targets if target not in waiting]
    if any(target in view.asked for target in missing):
        return Wait(until=now + _RECHECK_S, reason="the node has not told what was shown yet")
    if not missing or view.me.open_demands >= view.max_open_demands or now > clocks.demand_until(view.dispute):
        return None
    price = view.prices[missing[0].part]
    if view.me.spent_wei + view.me.locked_wei + price > knowledge.budget_wei:
        return None
    return Move(action=Action.DEMAND, target=missing[0], value_wei=_with_margin(price))


def _collect(view: View, knowledge: Knowledge, clocks: Clocks, *, now: int, head: int) -> Step:
    dispute, me = view.dispute, view.me
    if me.claimed:
        return _withdraw(view)
    if isinstance(knowledge.finding, FaultFound) and dispute.prover not in (ZERO_ADDRESS, view.account):
        # Who committed earlier still takes the prover's place.
        earlier = me.commitment != ZERO_HASH and me.committed_at < dispute.committed_at
        proving = _prove(view, knowledge.finding, knowledge.secret, clocks, now=now, head=head) if earlier else None
        if proving is not None:
            return proving
    settles_at = clocks.settles_at(dispute)
    if now <= settles_at:
        return Wait(until=settles_at + 1, reason="an earlier commitment may still be proven")
    return Move(action=Action.CLAIM)


def _withdraw(view: View) -> Step:
    if view.reward_wei and view.me.bond_wei:
        return Move(action=Action.WITHDRAW)
    return Done(reason=f"the dispute is {view.dispute.status.name.lower()}")


def _with_margin(amount_wei: int) -> int:
    numerator, denominator = _MARGIN
    return amount_wei * numerator // denominator
