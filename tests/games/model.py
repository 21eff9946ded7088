"""The reference: one dispute by the rules as they are written down, without a line of the contracts.

`Rules.refusals` says with which errors a move may be turned down, whatever is looked at first; a move that none of them
fits must succeed, and `Rules.apply` says what it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from tests.games.moves import Action, Moment, Move, hidden
from tests.games.purse import Purse
from tests.games.shown_model import is_of_model
from tests.support.court import MATURITY_BLOCKS, MATURITY_S, Target
from tests.support.system import DISPUTE_PARAMETERS

from sworn.codec.trees import keccak
from sworn.types import ZERO_ADDRESS, ZERO_HASH, Address, DisputeStatus, Part, Request, Result, Status

TRACE_S: Final = DISPUTE_PARAMETERS["traceSeconds"]
DEMAND_S: Final = DISPUTE_PARAMETERS["demandSeconds"]
DISCLOSE_S: Final = DISPUTE_PARAMETERS["discloseSeconds"]
COMMIT_S: Final = DISPUTE_PARAMETERS["commitSeconds"]
REVEAL_S: Final = DISPUTE_PARAMETERS["revealSeconds"]
TAIL_S: Final = DISPUTE_PARAMETERS["tailSeconds"]
MAX_OPEN_DEMANDS: Final = 64
MAX_INLINE_ROOTS: Final = 64
MAX_OPENING_FACTOR: Final = 4
#: What the operator's answers cost at most, in gas.
ANSWER_GAS: Final = 200_000
CHUNKS_GAS: Final = 1_100_000
PROGRAM_GAS: Final = 1_600_000
_CHUNKS: Final = (Part.CHUNKS, Part.WEIGHT_CHUNKS)
_PROGRAM: Final = (Part.STEPS, Part.INTERFACE)
MAX_LEVEL: Final = 32
#: A demand that has been answered is never due.
NEVER: Final = 1 << 40


def gas_price(moment: Moment) -> int:
    """What the court reckons with: three times the base fee, or the floor."""
    return max(3 * moment.base_fee_wei, DISPUTE_PARAMETERS["floorGasPriceWei"])


def least_bond(value_at_risk_wei: int, moment: Moment) -> int:
    """1.5 times what committing to a trace costs the operator, and 1 % of the value at risk."""
    return max(ANSWER_GAS * gas_price(moment) * 3 // 2, value_at_risk_wei // 100)


def demand_price(part: Part, moment: Moment) -> int:
    """What the answer costs the operator."""
    answer_gas = CHUNKS_GAS if part in _CHUNKS else PROGRAM_GAS if part in _PROGRAM else ANSWER_GAS
    return answer_gas * gas_price(moment)


def exists(target: Target) -> bool:
    """Whether there can be such a part at all."""
    part, value, level, index = target
    if part in _PROGRAM:
        return value == level == 0 and (part is Part.STEPS or index == 0)
    if part in (Part.VALUES, Part.WEIGHTS) and value != 0:
        return False
    return level <= (0 if part in _CHUNKS else MAX_LEVEL)


@dataclass(slots=True, kw_only=True)
class Party:
    """One challenger."""

    bond_wei: int
    locked_wei: int = 0
    spent_wei: int = 0
    commitment: bytes = ZERO_HASH
    committed_at: int = 0
    committed_in: int = 0
    open_demands: int = 0
    claimed: bool = False


@dataclass(slots=True, kw_only=True)
class Asked:
    """One demand."""

    due_at: int
    price_wei: int


@dataclass(slots=True, kw_only=True)
class Use:
    """An off-chain result in somebody's transaction."""

    victim: Address
    release_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is disputed."""

    result: Result
    result_id: bytes
    #: None for an off-chain result.
    request: Request | None

    @property
    def victim(self) -> Address:
        """Who is compensated."""
        return self.request.refund_to if self.request else ZERO_ADDRESS

    @property
    def value_at_risk_wei(self) -> int:
        """What the bonds must cover."""
        return self.request.value_at_risk_wei if self.request else 0

    @property
    def charge(self) -> object:
        """What is paid for once."""
        return (self.result.request_id, self.result.operator) if self.request else self.result_id


@dataclass(slots=True, kw_only=True)
class State:
    """Where a dispute stands, and the request or the uses that it is about."""

    status: DisputeStatus = DisputeStatus.NONE
    opener: Address = ZERO_ADDRESS
    opened_at: int = 0
    closes_at: int = 0
    trace_root: bytes = ZERO_HASH
    parties: dict[Address, Party] = field(default_factory=dict)
    demands: dict[tuple[Address, Target], Asked] = field(default_factory=dict)
    spent_wei: int = 0
    prover: Address = ZERO_ADDRESS
    committed_at: int = 0
    #: What the proof cost; the chain says so, since it depends on gas.
    proof_cost_gwei: int = 0
    reward_wei: int = 0
    #: Of the request.
    request_status: Status = Status.NONE
    proposed_at: int = 0
    extension_s: int = 0
    barred: bool = False
    #: Who convicted an off-chain result.
    convicted_by: Address = ZERO_ADDRESS
    uses: dict[Address, Use] = field(default_factory=dict)
    #: Whether the operator's second oath is charged already.
    second_convicted: bool = False

    @property
    def open_demands(self) -> int:
        """Demands that wait for an answer."""
        return sum(party.open_demands for party in self.parties.values())

    @property
    def bonds_wei(self) -> int:
        """All bonds."""
        return sum(party.bond_wei for party in self.parties.values())

    @property
    def last_demand_at(self) -> int:
        """Last second in which something may be demanded."""
        return self.closes_at + TRACE_S + DEMAND_S

    @property
    def ends_at(self) -> int:
        """Last second of the dispute, whatever anybody does."""
        return self.last_demand_at + DISCLOSE_S + COMMIT_S + REVEAL_S

    @property
    def settles_at(self) -> int:
        """Last second in which an earlier commitment may take the prover's place."""
        return 0 if self.prover == ZERO_ADDRESS else self.committed_at + REVEAL_S


class Rules:
    """One dispute. ``state`` and ``purse`` are what a reorganisation takes back."""

    def __init__(self, case: Case, state: State, purse: Purse) -> None:
        self.case = case
        self.state = state
        self.purse = purse

    @property
    def root(self) -> bytes:
        """The trace root that the operator stands for, if any."""
        return self.case.result.trace_root if self.case.result.trace_root != ZERO_HASH else self.state.trace_root

    @property
    def statement(self) -> bytes:
        """What a proof must contradict; nothing without a trace."""
        if self.root == ZERO_HASH:
            return ZERO_HASH
        result = self.case.result
        return keccak(b"\x0b" + result.model_id + result.input_root + result.output_root + self.root)

    @property
    def window_closes_at(self) -> int:
        """Last second in which the result may be challenged."""
        if self.case.request is None:
            return self.case.result.expiry + TAIL_S
        return self.state.proposed_at + self.case.request.window_s

    def refusals(self, move: Move, moment: Moment) -> set[str]:
        """Every error that fits the move."""
        found = _CHECKS[move.action](self, move, moment)
        return {name for name, applies in found.items() if applies} | self._flaws(move)

    def takes_over(self, party: Party) -> bool:
        """Whether a proof would take the prover's place."""
        state = self.state
        convicted = state.status is DisputeStatus.REFUTED and state.prover != ZERO_ADDRESS
        return convicted and party.committed_at < state.committed_at

    def shares(self, account: Address) -> bool:
        """Whether an account has a part in the dispute: by its bond, or by what it has shown without one."""
        party = self.state.parties.get(account)
        return party is not None and (party.bond_wei != 0 or account == self.state.prover)

    def _flaws(self, move: Move) -> set[str]:
        if move.action is Action.PROVE and move.statement != self.statement:
            return {"StatementDiffers", *move.flaws} - {"FaultNotShown"}
        of_model = is_of_model(move.target[0])
        if move.action is Action.DISCLOSE and move.root != (self.case.result.model_id if of_model else self.root):
            return {"DisclosureMismatch", *move.flaws}
        return set(move.flaws)

    def _closed(self) -> dict[str, bool]:
        return {"DisputeNotOpen": self.state.status is not DisputeStatus.OPEN}

    def _open(self, move: Move, moment: Moment) -> dict[str, bool]:
        least_wei = least_bond(self.case.value_at_risk_wei, moment)
        late = moment.time > self.window_closes_at
        found = {
            "ChallengeBondTooLow": move.value_wei < least_wei,
            "ChallengeBondTooHigh": move.value_wei > MAX_OPENING_FACTOR * least_wei,
        }
        if self.case.request is None:
            return found | {
                "ChallengeTooLate": late,
                "DisputeExists": self.state.status is not DisputeStatus.NONE,
                "AlreadyConvicted": self.state.convicted_by != ZERO_ADDRESS,
            }
        return found | {"WindowClosed": late, "StatusUnexpected": self.state.request_status is not Status.PROPOSED}

    def _join(self, move: Move, moment: Moment) -> dict[str, bool]:
        state = self.state
        opener = state.parties.get(state.opener)
        return self._closed() | {
            "ChallengeTooLate": moment.time > state.closes_at,
            "AlreadyChallenger": move.by in state.parties,
            "ChallengeBondTooLow": opener is not None and move.value_wei < opener.bond_wei,
        }

    def _commit_trace(self, move: Move, moment: Moment) -> dict[str, bool]:
        return self._closed() | {
            "TraceRootInvalid": self.root != ZERO_HASH or move.root == ZERO_HASH,
            "MoveTooLate": moment.time > self.state.opened_at + TRACE_S,
            "TraceRootsInvalid": len(move.roots) > MAX_INLINE_ROOTS,
        }

    def _demand(self, move: Move, moment: Moment) -> dict[str, bool]:
        state, part = self.state, move.target[0]
        party = state.parties.get(move.by)
        return self._closed() | {
            "NotChallenger": party is None,
            "TraceNotCommitted": self.root == ZERO_HASH,
            "MoveTooLate": moment.time > state.last_demand_at,
            "TargetInvalid": not exists(move.target),
            "TooManyDemands": party is not None and party.open_demands >= MAX_OPEN_DEMANDS,
            "DemandPriceTooLow": move.value_wei < demand_price(part, moment),
            "DemandExists": (move.by, move.target) in state.demands,
        }

    def _disclose(self, move: Move, moment: Moment) -> dict[str, bool]:
        asked = self.state.demands.get((move.account, move.target))
        return self._closed() | {
            "DemandMissing": asked is None,
            "DemandAnswered": asked is not None and asked.due_at == NEVER,
            "MoveTooLate": asked is not None and moment.time > asked.due_at,
        }

    def _commit_fault(self, move: Move, moment: Moment) -> dict[str, bool]:
        return self._closed() | {
            "NotChallenger": move.by not in self.state.parties,
            "MoveTooLate": moment.time > self.state.ends_at - REVEAL_S,
            "CommitmentInvalid": move.commitment == ZERO_HASH,
        }

    def _prove(self, move: Move, moment: Moment) -> dict[str, bool]:
        state = self.state
        party = state.parties.get(move.by)
        if party is None or party.commitment == ZERO_HASH:
            return {"CommitmentMissing": True}
        first = state.status is DisputeStatus.OPEN
        ripe = moment.time >= party.committed_at + MATURITY_S and moment.number >= party.committed_in + MATURITY_BLOCKS
        return {
            "MoveTooEarly": not ripe,
            "MoveTooLate": moment.time > party.committed_at + REVEAL_S,
            "DisputeNotOpen": not first and not self.takes_over(party),
            "CommitmentMismatch": party.commitment != hidden(self.case.result_id, move.by, move.where, move.salt),
            "StatementMismatch": first and move.other_request and self.case.request is not None,
        }

    def _convict_silence(self, move: Move, moment: Moment) -> dict[str, bool]:
        asked = self.state.demands.get((move.account, move.target))
        due_at = self.state.opened_at + TRACE_S if self.root == ZERO_HASH else asked.due_at if asked else 0
        return self._closed() | {
            "DemandMissing": self.root != ZERO_HASH and asked is None,
            "MoveTooEarly": moment.time <= due_at,
            "StatementMismatch": move.other_request and self.case.request is not None,
        }

    def _resolve(self, move: Move, moment: Moment) -> dict[str, bool]:
        return self._closed() | {
            "MoveTooEarly": moment.time <= self.state.ends_at,
            "TraceNotCommitted": self.root == ZERO_HASH,
            "DemandsOpen": self.state.open_demands != 0,
            "StatusUnexpected": move.other_request and self.case.request is not None,
        }

    def _claim(self, move: Move, moment: Moment) -> dict[str, bool]:
        party = self.state.parties.get(move.account)
        return {
            "DisputeNotRefuted": self.state.status is not DisputeStatus.REFUTED,
            "MoveTooEarly": moment.time <= self.state.settles_at,
            "NothingToClaim": party is None or party.claimed or not self.shares(move.account),
        }

    def _withdraw(self, move: Move, moment: Moment) -> dict[str, bool]:
        return {"RewardMissing": not self.purse.credits.get(move.account)}

    def _equivocate(self, move: Move, moment: Moment) -> dict[str, bool]:
        state, charge_wei = self.state, self.purse.bond_for(self.case.value_at_risk_wei)
        told = state.barred if self.case.request else state.convicted_by != ZERO_ADDRESS and state.second_convicted
        charges = (self.case.charge,) if self.case.request else (self.case.charge, second_charge(self.case))
        due = any(self.purse.paid[charge] < charge_wei for charge in charges)
        stands = state.request_status in (Status.PROPOSED, Status.DISPUTED)
        collectable = due and self.purse.free_wei + self.purse.unbonding_wei > 0
        return {"AlreadyConvicted": told and not stands and not collectable}

    def _slash_use(self, move: Move, moment: Moment) -> dict[str, bool]:
        state = self.state
        return {
            "ResultNotConvicted": state.convicted_by == ZERO_ADDRESS,
            "MoveTooEarly": state.status is DisputeStatus.REFUTED and moment.time <= state.settles_at,
            "UseMissing": move.account not in state.uses,
        }

    def _collect(self, move: Move, moment: Moment) -> dict[str, bool]:
        state, purse = self.state, self.purse
        due = purse.paid[self.case.charge] < purse.bond_for(0) and purse.free_wei + purse.unbonding_wei > 0
        return {
            "ResultNotConvicted": state.convicted_by == ZERO_ADDRESS,
            "MoveTooEarly": state.status is DisputeStatus.REFUTED and moment.time <= state.settles_at,
            "AlreadyConvicted": not due,
        }

    def _release(self, move: Move, moment: Moment) -> dict[str, bool]:
        use = self.state.uses.get(move.account)
        return {
            "UseMissing": use is None,
            "UseNotReleased": use is not None and moment.time <= use.release_at,
            "ResultConvicted": self.state.convicted_by != ZERO_ADDRESS,
            "ResultUnderDispute": self.state.status is DisputeStatus.OPEN,
        }

    def _finalize(self, move: Move, moment: Moment) -> dict[str, bool]:
        return {
            "StatusUnexpected": self.state.request_status is not Status.PROPOSED,
            "WindowOpen": moment.time <= self.window_closes_at,
        }

    def _expire(self, move: Move, moment: Moment) -> dict[str, bool]:
        assert self.case.request is not None
        return {
            "StatusUnexpected": self.state.request_status is not Status.REQUESTED,
            "DeadlineNotPassed": moment.time <= self.case.request.deadline + self.state.extension_s,
        }

    def _propose(self, move: Move, moment: Moment) -> dict[str, bool]:
        assert self.case.request is not None
        return {
            "StatusUnexpected": self.state.request_status is not Status.REQUESTED,
            "DeadlinePassed": moment.time > self.case.request.deadline + self.state.extension_s,
            "OperatorBarredFromRequest": self.state.barred,
        }

    def _unbond(self, move: Move, moment: Moment) -> dict[str, bool]:
        return {
            "UnbondingPending": self.purse.unbonding_wei != 0,
            "AmountInvalid": self.purse.free_wei == 0,
        }


def second_charge(case: Case) -> object:
    """What the operator's other oath about an off-chain input costs it."""
    return case.result_id, "the other oath"


_CHECKS: Final[Mapping[Action, Callable[[Rules, Move, Moment], dict[str, bool]]]] = MappingProxyType(
    {action: getattr(Rules, f"_{action.name.lower()}") for action in Action}
)
