"""Whose money is where, in the reference: stake, bonds, credits, what the court holds, and what is burnt."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from sworn.types import ZERO_ADDRESS, Address

PROVER_PERCENT = 30
VICTIM_PERCENT = 50
OPENER_PERCENT = 10
DELAY_PERCENT = 30


@dataclass(slots=True, kw_only=True)
class Purse:
    """One operator's stake, and the court's money."""

    operator: Address
    min_bond_wei: int
    stake_wei: int
    unbonding_wei: int = 0
    #: Bonds behind results and their uses.
    bonds: dict[object, int] = field(default_factory=dict)
    #: What each charge has been paid so far.
    paid: dict[object, int] = field(default_factory=lambda: defaultdict(int))
    credits: dict[Address, int] = field(default_factory=lambda: defaultdict(int))
    #: Refunds that the oracle owes.
    refunds: dict[Address, int] = field(default_factory=lambda: defaultdict(int))
    held_wei: int = 0
    burnt_wei: int = 0
    slashed_wei: int = 0

    @property
    def locked_wei(self) -> int:
        """Stake that cannot be locked again: open bonds, and what is unbonding."""
        return sum(self.bonds.values()) + self.unbonding_wei

    @property
    def free_wei(self) -> int:
        """Stake behind nothing."""
        return self.stake_wei - self.locked_wei

    def bond_for(self, value_at_risk_wei: int) -> int:
        """Twice what is at risk, so that half of it makes the victim whole; at least the smallest bond."""
        return max(2 * value_at_risk_wei, self.min_bond_wei)

    def take_bond(self, key: object) -> int:
        """Slashes the bond that stands behind something: the amount."""
        amount_wei = self.bonds.pop(key)
        self.stake_wei -= amount_wei
        self._receive(amount_wei)
        return amount_wei

    def take_rest(self, charge: object, charge_wei: int) -> int:
        """Slashes what a charge has not been paid yet, as far as free and then unbonding stake reach: the amount."""
        missing_wei = max(0, charge_wei - self.paid[charge])
        from_free_wei = min(missing_wei, self.free_wei)
        from_unbonding_wei = min(missing_wei - from_free_wei, self.unbonding_wei)
        taken_wei = from_free_wei + from_unbonding_wei
        self.unbonding_wei -= from_unbonding_wei
        self.stake_wei -= taken_wei
        self.paid[charge] += taken_wei
        self._receive(taken_wei)
        return taken_wei

    def settle(self, slashed_wei: int, victim: Address) -> int:
        """Compensates, burns: what is left for those who convicted."""
        reward_wei = slashed_wei * PROVER_PERCENT // 100
        compensation_wei = slashed_wei * VICTIM_PERCENT // 100 if victim != ZERO_ADDRESS else 0
        if compensation_wei:
            self.credits[victim] += compensation_wei
        self.burn(slashed_wei - reward_wei - compensation_wei)
        return reward_wei

    def burn(self, amount_wei: int) -> None:
        """Sends what the court holds where nobody gets it."""
        self.held_wei -= amount_wei
        self.burnt_wei += amount_wei

    def pay_out(self, account: Address) -> int:
        """An account takes its credit: the amount."""
        amount_wei = self.credits.pop(account)
        self.held_wei -= amount_wei
        return amount_wei

    def _receive(self, amount_wei: int) -> None:
        self.held_wei += amount_wei
        self.slashed_wei += amount_wei
