"""What a move does in the reference, once nothing speaks against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tests.games.model import DISCLOSE_S, NEVER, Asked, Party, Rules, demand_price, second_charge
from tests.games.moves import Action, Moment, Move
from tests.games.purse import DELAY_PERCENT, OPENER_PERCENT

from sworn.types import ZERO_ADDRESS, Address, DisputeStatus, Status


class Court(Rules):
    """The rules, and what moves do."""

    def apply(self, move: Move, moment: Moment) -> None:
        """Changes state and purse as a move does that `refusals` does not object to."""
        _EFFECTS[move.action](self, move, moment)

    def _do_open(self, move: Move, moment: Moment) -> None:
        state = self.state
        state.status, state.opener = DisputeStatus.OPEN, move.by
        state.opened_at, state.closes_at = moment.time, self.window_closes_at
        self._post_bond(move)
        if self.case.request:
            state.request_status = Status.DISPUTED

    def _do_join(self, move: Move, moment: Moment) -> None:
        self._post_bond(move)

    def _post_bond(self, move: Move) -> None:
        self.state.parties[move.by] = Party(bond_wei=move.value_wei)
        self.purse.held_wei += move.value_wei

    def _do_commit_trace(self, move: Move, moment: Moment) -> None:
        self.state.trace_root = move.root

    def _do_demand(self, move: Move, moment: Moment) -> None:
        party, price_wei = self.state.parties[move.by], demand_price(move.target[0], moment)
        due_at = moment.time + DISCLOSE_S
        self.state.demands[move.by, move.target] = Asked(due_at=due_at, price_wei=price_wei)
        party.locked_wei += price_wei
        party.open_demands += 1
        self.purse.held_wei += move.value_wei
        # What is sent beyond the price stays the sender's.
        if move.value_wei > price_wei:
            self.purse.credits[move.by] += move.value_wei - price_wei

    def _do_disclose(self, move: Move, moment: Moment) -> None:
        party, asked = self.state.parties[move.account], self.state.demands[move.account, move.target]
        party.open_demands -= 1
        party.locked_wei -= asked.price_wei
        party.spent_wei += asked.price_wei
        self.state.spent_wei += asked.price_wei
        self.purse.credits[self.case.result.operator] += asked.price_wei
        asked.due_at, asked.price_wei = NEVER, 0

    def _do_commit_fault(self, move: Move, moment: Moment) -> None:
        party = self.state.parties[move.by]
        party.commitment = move.commitment
        party.committed_at, party.committed_in = moment.time, moment.number

    def _do_prove(self, move: Move, moment: Moment) -> None:
        state, party = self.state, self.state.parties[move.by]
        if state.status is DisputeStatus.OPEN:
            self._refute(move.by, moment)
        else:
            # Whoever proved first did so in good faith: its gas is repaid like a demand.
            cost_wei = state.proof_cost_gwei * 10**9
            state.parties[state.prover].spent_wei += cost_wei
            state.spent_wei += cost_wei
            if state.convicted_by == state.prover:
                state.convicted_by = move.by
        state.prover, state.committed_at = move.by, party.committed_at

    def _do_convict_silence(self, move: Move, moment: Moment) -> None:
        self._refute(self.state.opener, moment)

    def _do_resolve(self, move: Move, moment: Moment) -> None:
        state, bonds_wei = self.state, self.state.bonds_wei
        state.status = DisputeStatus.UPHELD
        delay_wei = bonds_wei * DELAY_PERCENT // 100
        self.purse.credits[self.case.result.operator] += bonds_wei - delay_wei
        if self.case.request is None:
            self.purse.burn(delay_wei)
            return
        self.purse.credits[self.case.request.refund_to] += delay_wei
        state.request_status = Status.PROPOSED

    def _do_claim(self, move: Move, moment: Moment) -> None:
        party = self.state.parties[move.account]
        party.claimed = True
        self.purse.credits[move.account] += party.bond_wei + party.locked_wei + self._share(move.account, party)

    def _share(self, account: Address, party: Party) -> int:
        """Spendings are repaid from at most half of the reward, the prover's before all others.

        Of the rest a tenth is the opener's, and nine the prover's or, where silence convicted, everybody's by bonds.
        """
        state, reward_wei, share_wei = self.state, self.state.reward_wei, 0
        if state.spent_wei:
            repaid_wei = min(state.spent_wei, reward_wei // 2)
            first_wei = state.parties[state.prover].spent_wei if state.prover != ZERO_ADDRESS else 0
            left_wei = max(0, repaid_wei - first_wei)
            others_wei = state.spent_wei - first_wei
            if account == state.prover:
                share_wei = min(first_wei, repaid_wei)
            elif others_wei:
                share_wei = left_wei * party.spent_wei // others_wei
            reward_wei -= repaid_wei
        opener_wei = reward_wei * OPENER_PERCENT // 100
        reward_wei -= opener_wei
        share_wei += opener_wei if account == state.opener else 0
        if state.prover == ZERO_ADDRESS:
            return share_wei + reward_wei * party.bond_wei // state.bonds_wei
        return share_wei + (reward_wei if account == state.prover else 0)

    def _do_withdraw(self, move: Move, moment: Moment) -> None:
        self.purse.pay_out(move.account)

    def _do_equivocate(self, move: Move, moment: Moment) -> None:
        state, purse, case = self.state, self.purse, self.case
        charge_wei = purse.bond_for(case.value_at_risk_wei)
        slashed_wei = 0
        if case.request and state.request_status in (Status.PROPOSED, Status.DISPUTED):
            slashed_wei = self._undo(moment)
        if state.status is DisputeStatus.OPEN:
            # It counts like a proof made now: who had committed to one before may still take its place.
            state.status = DisputeStatus.REFUTED
            state.prover, state.committed_at = move.by, moment.time
            state.parties.setdefault(move.by, Party(bond_wei=0))
        self._reward(move.by, slashed_wei, moment)
        self._reward(move.by, purse.take_rest(case.charge, charge_wei), moment)
        if case.request is None:
            if state.convicted_by == ZERO_ADDRESS:
                state.convicted_by = move.by
            state.second_convicted = True
            # The other oath is not in dispute.
            self._pay_prover(move.by, purse.take_rest(second_charge(case), charge_wei))
            return
        state.barred = True

    def _reward(self, prover: Address, slashed_wei: int, moment: Moment) -> None:
        """While another may still take the prover's place, a reward stays in the dispute."""
        if moment.time > self.state.settles_at:
            self._pay_prover(prover, slashed_wei)
        else:
            self.state.reward_wei += self.purse.settle(slashed_wei, self.case.victim)

    def _pay_prover(self, prover: Address, slashed_wei: int) -> None:
        reward_wei = self.purse.settle(slashed_wei, self.case.victim)
        if reward_wei:
            self.purse.credits[prover] += reward_wei

    def _do_slash_use(self, move: Move, moment: Moment) -> None:
        use = self.state.uses.pop(move.account)
        slashed_wei = self.purse.take_bond((self.case.result_id, move.account))
        reward_wei = self.purse.settle(slashed_wei, use.victim)
        self.purse.credits[self.state.convicted_by] += reward_wei

    def _do_collect(self, move: Move, moment: Moment) -> None:
        slashed_wei = self.purse.take_rest(self.case.charge, self.purse.bond_for(0))
        self._pay_prover(self.state.convicted_by, slashed_wei)

    def _do_release(self, move: Move, moment: Moment) -> None:
        del self.state.uses[move.account]
        del self.purse.bonds[self.case.result_id, move.account]

    def _do_finalize(self, move: Move, moment: Moment) -> None:
        self.state.request_status = Status.FINALIZED
        del self.purse.bonds[self.case.result_id]

    def _do_expire(self, move: Move, moment: Moment) -> None:
        assert self.case.request is not None
        self.state.request_status = Status.EXPIRED
        self.purse.refunds[self.case.request.refund_to] += self.case.request.fee_wei

    def _do_propose(self, move: Move, moment: Moment) -> None:
        raise AssertionError("an answer that has been proposed is never taken again")

    def _do_unbond(self, move: Move, moment: Moment) -> None:
        self.purse.unbonding_wei = self.purse.free_wei

    def _refute(self, prover: Address, moment: Moment) -> None:
        state, purse, case = self.state, self.purse, self.case
        state.status = DisputeStatus.REFUTED
        if case.request:
            slashed_wei = self._undo(moment)
        else:
            if state.convicted_by == ZERO_ADDRESS:
                state.convicted_by = prover
            slashed_wei = purse.take_rest(case.charge, purse.bond_for(0))
        state.reward_wei = purse.settle(slashed_wei, case.victim)

    def _undo(self, moment: Moment) -> int:
        """The request is open again, for as long as the false answer stood and one window at least, or refunded: the
        slashed bond.
        """
        state, request = self.state, self.case.request
        assert request is not None
        lost_s = state.extension_s + moment.time - state.proposed_at
        state.extension_s = max(lost_s, moment.time + request.window_s - request.deadline)
        state.barred = True
        if request.operator == ZERO_ADDRESS:
            state.request_status = Status.REQUESTED
        else:
            state.request_status = Status.REFUTED
            self.purse.refunds[request.refund_to] += request.fee_wei
        slashed_wei = self.purse.take_bond(self.case.result_id)
        self.purse.paid[self.case.charge] = slashed_wei
        return slashed_wei


_EFFECTS: Final[Mapping[Action, Callable[[Court, Move, Moment], None]]] = MappingProxyType(
    {action: getattr(Court, f"_do_{action.name.lower()}") for action in Action}
)
