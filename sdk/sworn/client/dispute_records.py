"""What the client says about disputes: frozen records, the same for `Client` and `AsyncClient`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sworn.types import Address, ChallengerState, Dispute, DisputeStatus, RequestId, Result, ResultId, Target


class Party(Enum):
    """Who can move."""

    #: Whoever swore to the result.
    OPERATOR = "operator"
    #: Whoever has posted a bond.
    CHALLENGER = "challenger"
    #: Everybody.
    ANYONE = "anyone"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeRecord:
    """One dispute among many."""

    result_id: ResultId
    #: The request that the result answers; None for an off-chain result.
    request_id: RequestId | None
    operator: Address
    opener: Address
    #: The opener's bond.
    bond_wei: int
    status: DisputeStatus
    opened_at: int
    #: Last second in which others may join.
    closes_at: int
    #: When it ends at the latest.
    ends_at: int
    block_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """Something that a party may or must do, and the last second for it, in unix time."""

    who: Party
    #: Which account, where it is one.
    account: Address | None = None
    what: str
    #: Not before this second.
    since: int = 0
    #: Last second; None = without end.
    until: int | None = None
    #: Whether the party loses by letting it pass.
    binding: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One event of a dispute, in words."""

    #: Timestamp of its block.
    at: int
    who: Address | None
    #: The event's name in `IDisputeGame`.
    name: str
    text: str
    amount_wei: int | None = None
    block_number: int
    transaction_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandRecord:
    """A part of the trace that a challenger has paid to see."""

    challenger: Address
    target: Target
    price_wei: int
    due_at: int
    answered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengerRecord:
    """Somebody who has posted a bond."""

    account: Address
    state: ChallengerState


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeReport:
    """Where a dispute stands, what has happened, and who must move until when."""

    result_id: ResultId
    request_id: RequestId | None
    result: Result
    #: As stored on chain; status NONE when nobody has challenged the result.
    dispute: Dispute
    #: One sentence: where it stands.
    reason: str
    #: One sentence: what to do.
    next_step: str
    #: Chain time of the report, unix seconds.
    now: int
    #: When it ends at the latest; None when it has ended, or has not begun.
    ends_at: int | None
    #: The trace that the operator stands for; zero while there is none.
    trace_root: bytes
    deadlines: tuple[Deadline, ...] = ()
    challengers: tuple[ChallengerRecord, ...] = ()
    demands: tuple[DemandRecord, ...] = ()
    timeline: tuple[Happening, ...] = ()

    @property
    def status(self) -> DisputeStatus:
        """Where it stands."""
        return self.dispute.status

    @property
    def bonds_wei(self) -> int:
        """What all challengers have posted."""
        return sum(each.state.bond_wei for each in self.challengers)


@dataclass(frozen=True, slots=True, kw_only=True)
class BondPreview:
    """What a challenge costs, and what it can bring; amounts in wei."""

    #: What `open` or `join` posts unless another amount is named.
    bond_wei: int
    #: The least and the most that is accepted at the present base fee; there is no most for those who join.
    smallest_wei: int
    largest_wei: int | None
    #: Last second for it.
    until: int
    #: What the operator loses when it is convicted.
    slash_wei: int
    #: What of that goes to who opens and proves, before what others' demands cost.
    reward_wei: int
    #: What is lost when nobody proves a fault: the whole bond.
    risk_wei: int
    #: What it costs to see nodes of the trace, and up to 16 chunks of it.
    nodes_price_wei: int
    chunks_price_wei: int
    #: Why it cannot be done now; empty when it can.
    obstacle: str = ""
