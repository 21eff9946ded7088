"""What a transaction may offer per gas, and by how much it is raised when that was not enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sworn.chain.gateway import Fees
from sworn.errors import FundsTooLow, TransactionTooDear, TransactionUnderpriced

GWEI: Final = 10**9
ETHER: Final = 10**18
#: Nodes refuse a replacement that raises either fee by less than 10 % (geth) or 12.5 % (others).
BUMP_NUMERATOR, BUMP_DENOMINATOR = 9, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Both fees of an EIP-1559 transaction, in wei per gas."""

    max_fee_wei: int
    tip_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeePolicy:
    """What a transaction may cost, in wei, when a stuck one is bumped or given up, and how many may be under way."""

    max_fee_cap_wei: int = 500 * GWEI
    min_tip_wei: int = 0
    #: Most of the tip that the node suggests. Raising a stuck transaction goes beyond it, up to the cap of both.
    max_tip_wei: int = 50 * GWEI
    bump_after_s: float = 60.0
    #: The same for urgent transactions, and for whatever they wait behind.
    urgent_cap_wei: int = 5_000 * GWEI
    urgent_bump_after_s: float = 15.0
    #: Most that the gas limit of one transaction, urgent or not, may cost at the fee that it offers. Many nodes take
    #: nothing over one ether (geth: ``--rpc.txfeecap``).
    max_cost_wei: int = 9 * ETHER // 10
    #: Seconds after which a nonce is taken from a transaction that nodes refuse, and the same for urgent ones.
    give_up_after_s: float = 300.0
    urgent_give_up_after_s: float = 60.0
    #: Signed, not mined. Nodes keep a limited number for one sender, and drop the rest.
    max_in_flight: int = 64

    def cap_wei(self, *, urgent: bool) -> int:
        """The most that a transaction may offer per gas."""
        return max(self.urgent_cap_wei, self.max_fee_cap_wei) if urgent else self.max_fee_cap_wei

    def patience_s(self, *, urgent: bool) -> float:
        """Seconds after which a transaction that is not mined is bumped."""
        return min(self.urgent_bump_after_s, self.bump_after_s) if urgent else self.bump_after_s

    def give_up_s(self, *, urgent: bool) -> float:
        """Seconds for which a transaction that nodes refuse keeps its nonce."""
        return min(self.urgent_give_up_after_s, self.give_up_after_s) if urgent else self.give_up_after_s

    def terms(self, market: Fees, *, urgent: bool, gas: int, funds_wei: int) -> Offer:
        """What a new transaction with this gas limit offers, paid from so much.

        Raises `TransactionUnderpriced`, `TransactionTooDear`, `FundsTooLow`. An urgent one takes less room for rising
        prices before it is refused; another one waits, or goes in parts.
        """
        offer = self.opening(market, urgent=urgent)
        if offer is None:
            raise TransactionUnderpriced(f"the base fee of {market.base_fee} wei is over the cap")
        # Nodes want all that a transaction may cost in the account before they take it.
        most = min(self.max_cost_wei, funds_wei) // max(gas, 1)
        if offer.max_fee_wei <= most:
            return offer
        if urgent and most >= market.base_fee + offer.tip_wei:
            return Offer(max_fee_wei=most, tip_wei=offer.tip_wei)
        costs = f"{gas} gas may cost {gas * offer.max_fee_wei} wei at present prices"
        if funds_wei < self.max_cost_wei:
            raise FundsTooLow(f"{costs}, and the account has {max(funds_wei, 0)} wei left for it")
        raise TransactionTooDear(f"{costs}, over the {self.max_cost_wei} wei (max_cost_wei) of one transaction")

    def opening(self, market: Fees, *, urgent: bool) -> Offer | None:
        """What a new transaction offers; None while the base fee is over the cap."""
        cap = self.cap_wei(urgent=urgent)
        if market.base_fee > cap:
            return None
        max_fee = min(self.worth(market), cap)
        return Offer(max_fee_wei=max_fee, tip_wei=min(self._tip(market), max_fee))

    def replacement(
        self, last: Offer, market: Fees, *, urgent: bool, gas: int = 0, cancels: bool = False
    ) -> Offer | None:
        """What replaces an offer for so much gas at the same nonce; None when that would be over the caps.

        One step over the cap is left for a transaction that cancels: whatever was offered before can be replaced, and
        its 21,000 gas cost less than what it takes the place of.
        """
        cap = self.cap_wei(urgent=urgent)
        cap = bumped(cap) if cancels else min(cap, self.max_cost_wei // gas if gas else cap)
        # INVARIANT: both fees rise by an eighth or more, whatever the cap cuts off: else a node has to refuse it.
        least = Offer(max_fee_wei=bumped(last.max_fee_wei), tip_wei=bumped(last.tip_wei))
        if least.max_fee_wei > cap:
            return None
        max_fee = min(max(least.max_fee_wei, self.worth(market)), cap)
        return Offer(max_fee_wei=max_fee, tip_wei=min(max(least.tip_wei, self._tip(market)), max_fee))

    def worth(self, market: Fees) -> int:
        """What a transaction has to offer per gas to be mined soon."""
        # Twice the base fee survives six full blocks (1.125 ** 6 > 2).
        return 2 * market.base_fee + self._tip(market)

    def _tip(self, market: Fees) -> int:
        return max(min(market.tip, self.max_tip_wei), self.min_tip_wei)


def bumped(fee_wei: int) -> int:
    """The least that nodes take instead of a fee."""
    # One wei more at least: a zero tip does not grow by a share of itself.
    return max(-(-fee_wei * BUMP_NUMERATOR // BUMP_DENOMINATOR), fee_wei + 1)


#: For chains like mainnet.
DEFAULT_FEES: Final = FeePolicy()
