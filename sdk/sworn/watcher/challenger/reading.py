"""What the chain says about a claim, at one block; and whether another node says the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from sworn.abi import interface
from sworn.chain.gateway import Block, Log
from sworn.dispute.queries import DisputeEvent, Queries, Query
from sworn.dispute.record import asked_by, demands_of
from sworn.dispute.strategy import View
from sworn.types import ZERO_ADDRESS, ZERO_HASH, Address, DisputeStatus, Part, RequestState
from sworn.watcher.challenger.claims import Claim
from sworn.watcher.contracts import Contracts

_Value = TypeVar("_Value")
#: What a challenger demands.
_PARTS: Final = (Part.VALUES, Part.NODES, Part.CHUNKS)
#: Bytes of a result id that a request's state holds.
_TAG_BYTES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a claim."""

    head: Block
    state: RequestState
    view: View
    #: Everything that has happened in its dispute.
    events: tuple[DisputeEvent, ...]

    @property
    def is_open(self) -> bool:
        """Whether anybody can still challenge it, join its dispute, or fight on in it."""
        dispute, now = self.view.dispute, self.head.timestamp
        if dispute.status is DisputeStatus.NONE:
            proposed = self.state.result_tag == self.view.case.result_id[:_TAG_BYTES]
            return proposed and now <= self.view.closes_at
        mine = bool(self.view.me.bond_wei)
        return mine or (dispute.status is DisputeStatus.OPEN and now <= dispute.closes_at)

    @property
    def may_prove(self) -> bool:
        """Whether a fault that is found now can still be committed to, or proven in another prover's place."""
        dispute, me = self.view.dispute, self.view.me
        takes_over = dispute.prover not in (ZERO_ADDRESS, self.view.account) and me.committed_at < dispute.committed_at
        is_open = dispute.status is DisputeStatus.OPEN
        return bool(me.bond_wei) and (is_open or (takes_over and me.commitment != ZERO_HASH))

    @property
    def bond_wei(self) -> int:
        """The bond that we have at risk in its dispute."""
        over = self.view.dispute.status in (DisputeStatus.UPHELD, DisputeStatus.NONE) or self.view.me.claimed
        return 0 if over else self.view.me.bond_wei

    @property
    def paid_wei(self) -> int:
        """What we have paid for demands in it, answered or not."""
        return self.view.me.spent_wei + self.view.me.locked_wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads claims from one node."""

    contracts: Contracts
    account: Address
    max_log_range: int

    def look(self, claim: Claim, head: Block) -> Look:
        """Everything about a claim at a block. Raises `ChainError`, `CodecError`."""
        queries, case, at = Queries(self.contracts.deployment), claim.case(self.contracts.domain), head.number
        state = self.contracts.state_of(claim.request_id, block=at)
        dispute = self._read(queries.dispute(claim.result_id), at)
        events = () if dispute.status is DisputeStatus.NONE else self._events(queries, claim, at)
        opener = 0
        if dispute.status is DisputeStatus.OPEN:
            opener = self._read(queries.challenger(claim.result_id, dispute.opener), at).bond_wei
        view = View(
            case=case,
            account=self.account,
            closes_at=dispute.closes_at or state.proposed_at + claim.request.window_s,
            dispute=dispute,
            me=self._read(queries.challenger(claim.result_id, self.account), at),
            open_demands=demands_of(events),
            asked=asked_by(events, self.account),
            max_open_demands=self._read(queries.max_open_demands(), at),
            smallest_bond_wei=self._read(queries.challenge_bond(claim.request.value_at_risk_wei), at),
            opener_bond_wei=opener,
            prices={part: self._read(queries.disclosure_price(part), at) for part in _PARTS},
            reward_wei=self._read(queries.reward(self.account), at),
        )
        return Look(head=head, state=state, view=view, events=events)

    def logs_of(self, claim: Claim, first: int, last: int) -> list[Log]:
        """The oracle's logs about a claim's request, in a range of blocks. Raises `ChainError`."""
        oracle = interface("InferenceOracle")
        names = ("InferenceRequested", "ResultProposed")
        return self.contracts.gateway.logs(
            addresses=(self.contracts.deployment.oracle,),
            topics=([oracle.topic(name) for name in names], claim.request_id),
            from_block=first,
            to_block=last,
        )

    def _events(self, queries: Queries, claim: Claim, head: int) -> tuple[DisputeEvent, ...]:
        logs: list[Log] = []
        for first in range(claim.block_number, head + 1, self.max_log_range):
            logs += self.contracts.gateway.logs(
                addresses=(self.contracts.deployment.dispute_game,),
                topics=queries.topics(result_id=claim.result_id),
                from_block=first,
                to_block=min(first + self.max_log_range - 1, head),
            )
        return tuple(map(queries.event, logs))

    def _read(self, query: Query[_Value], block: int) -> _Value:
        return query.decode(self.contracts.gateway.call(query.call, block=block))


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A second node, asked before a bond is put at risk."""

    ours: Reader
    theirs: Reader

    def disagreement(self, claim: Claim, asked_in: int) -> str | None:
        """How another node contradicts ours about a claim; None if it does not. Raises `ChainError`."""
        states = [reader.contracts.state_of(claim.request_id) for reader in (self.ours, self.theirs)]
        if states[0].result_tag != states[1].result_tag:
            return "the nodes disagree on which result is proposed"
        for block in sorted({asked_in, claim.block_number}):
            ours, theirs = (_facts(reader.logs_of(claim, block, block)) for reader in (self.ours, self.theirs))
            if ours != theirs:
                return f"the nodes disagree on the logs of block {block}"
        return None


def _facts(logs: list[Log]) -> list[tuple[bytes, ...]]:
    return [(log.block_hash, log.transaction_hash, *log.topics, log.data) for log in logs]
