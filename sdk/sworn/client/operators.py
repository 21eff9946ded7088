# Generated from client/async_operators.py by scripts/generate_sync.py; do not edit.
"""What an operator does on chain, besides answering."""

from __future__ import annotations

from sworn.chain.gateway import Receipt
from sworn.client.contracts import Contracts
from sworn.client.identities import ProfileLike, address_of
from sworn.client.market import Market
from sworn.client.records import ModelLike, OperatorAccount
from sworn.client.signing import Signing
from sworn.codec.structs import offer_to_abi
from sworn.types import DEFAULT_PROFILE, Address, InputShapes, Offer

_ALL = 2**256 - 1


class Operators:
    """Stake, signers, offers and earnings of the client's account; every call waits for inclusion."""

    def __init__(self, *, contracts: Contracts, signing: Signing, market: Market) -> None:
        self._contracts = contracts
        self._signing = signing
        self._market = market

    def register(self, *, stake_wei: int = 0, metadata_uri: str = "") -> Receipt:
        """Registers the account as an operator with this stake."""
        return self._send("register", metadata_uri, value_wei=stake_wei)

    def add_stake(self, stake_wei: int, *, operator: str | None = None) -> Receipt:
        """Adds stake to the account's operator or to another."""
        return self._send("addStake", self._or_own(operator), value_wei=stake_wei)

    def authorize_signer(self, signer: str) -> Receipt:
        """Lets a key sign the operator's results."""
        return self._send("authorizeSigner", address_of(signer))

    def revoke_signer(self, signer: str) -> Receipt:
        """Ends a key's authority after the longest lifetime of a result."""
        return self._send("revokeSigner", address_of(signer))

    def signer_not_after(self, signer: str, *, operator: str | None = None) -> int:
        """Last expiry, in unix seconds, that a key may sign; 0 = never authorised."""
        return self._contracts.signer_not_after(self._or_own(operator), address_of(signer))

    def set_offer(
        self,
        model: ModelLike,
        *,
        price_wei: int,
        max_value_at_risk_wei: int,
        max_window_s: int,
        max_callback_gas: int,
        active: bool = True,
        profile: ProfileLike = DEFAULT_PROFILE,
        input_shapes: InputShapes | None = None,
    ) -> Receipt:
        """Posts or replaces the terms on which the operator serves a model; ``active`` False withdraws them."""
        offer = Offer(
            active=active,
            price_wei=price_wei,
            max_value_at_risk_wei=max_value_at_risk_wei,
            max_window_s=max_window_s,
            max_callback_gas=max_callback_gas,
        )
        resolved = self._market.resolve(model, profile=profile, input_shapes=input_shapes)
        return self._send("setOffer", resolved.model_id, offer_to_abi(offer))

    def offer(
        self,
        model: ModelLike,
        *,
        operator: str | None = None,
        profile: ProfileLike = DEFAULT_PROFILE,
        input_shapes: InputShapes | None = None,
    ) -> Offer:
        """The terms on which an operator serves a model."""
        resolved = self._market.resolve(model, profile=profile, input_shapes=input_shapes)
        return self._contracts.offer(self._or_own(operator), resolved.model_id)

    def unbond(self, amount_wei: int | None = None) -> Receipt:
        """Starts to take free stake out; None = all of it."""
        return self._send("unbond", _ALL if amount_wei is None else amount_wei)

    def cancel_unbonding(self) -> Receipt:
        """Makes unbonding stake free again."""
        return self._send("cancelUnbonding")

    def withdraw_stake(self, *, to: str | None = None) -> Receipt:
        """Pays out released stake, to the account or elsewhere."""
        return self._send("withdrawStake", self._or_own(to))

    def withdraw_earnings(self, *, to: str | None = None) -> Receipt:
        """Pays out earned fees, to the account or elsewhere."""
        return self._send("withdrawEarnings", self._or_own(to))

    def account(self, operator: str | None = None) -> OperatorAccount:
        """Stake, bonds, earnings and unbonding of the account's operator or of another."""
        return self._contracts.account(self._or_own(operator))

    def _or_own(self, address: str | None) -> Address:
        return self._signing.address if address is None else address_of(address)

    def _send(self, function: str, *args: object, value_wei: int = 0) -> Receipt:
        return self._signing.send("operator_registry", function, *args, value_wei=value_wei)
