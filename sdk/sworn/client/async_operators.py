"""What an operator does on chain, besides answering."""

from __future__ import annotations

from sworn.chain.gateway import Receipt
from sworn.client.async_contracts import AsyncContracts
from sworn.client.async_market import AsyncMarket
from sworn.client.async_signing import AsyncSigning
from sworn.client.identities import ProfileLike, address_of
from sworn.client.records import ModelLike, OperatorAccount
from sworn.codec.structs import offer_to_abi
from sworn.types import DEFAULT_PROFILE, Address, InputShapes, Offer

_ALL = 2**256 - 1


class AsyncOperators:
    """Stake, signers, offers and earnings of the client's account; every call waits for inclusion."""

    def __init__(self, *, contracts: AsyncContracts, signing: AsyncSigning, market: AsyncMarket) -> None:
        self._contracts = contracts
        self._signing = signing
        self._market = market

    async def register(self, *, stake_wei: int = 0, metadata_uri: str = "") -> Receipt:
        """Registers the account as an operator with this stake."""
        return await self._send("register", metadata_uri, value_wei=stake_wei)

    async def add_stake(self, stake_wei: int, *, operator: str | None = None) -> Receipt:
        """Adds stake to the account's operator or to another."""
        return await self._send("addStake", self._or_own(operator), value_wei=stake_wei)

    async def authorize_signer(self, signer: str) -> Receipt:
        """Lets a key sign the operator's results."""
        return await self._send("authorizeSigner", address_of(signer))

    async def revoke_signer(self, signer: str) -> Receipt:
        """Ends a key's authority after the longest lifetime of a result."""
        return await self._send("revokeSigner", address_of(signer))

    async def signer_not_after(self, signer: str, *, operator: str | None = None) -> int:
        """Last expiry, in unix seconds, that a key may sign; 0 = never authorised."""
        return await self._contracts.signer_not_after(self._or_own(operator), address_of(signer))

    async def set_offer(
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
        resolved = await self._market.resolve(model, profile=profile, input_shapes=input_shapes)
        return await self._send("setOffer", resolved.model_id, offer_to_abi(offer))

    async def offer(
        self,
        model: ModelLike,
        *,
        operator: str | None = None,
        profile: ProfileLike = DEFAULT_PROFILE,
        input_shapes: InputShapes | None = None,
    ) -> Offer:
        """The terms on which an operator serves a model."""
        resolved = await self._market.resolve(model, profile=profile, input_shapes=input_shapes)
        return await self._contracts.offer(self._or_own(operator), resolved.model_id)

    async def unbond(self, amount_wei: int | None = None) -> Receipt:
        """Starts to take free stake out; None = all of it."""
        return await self._send("unbond", _ALL if amount_wei is None else amount_wei)

    async def cancel_unbonding(self) -> Receipt:
        """Makes unbonding stake free again."""
        return await self._send("cancelUnbonding")

    async def withdraw_stake(self, *, to: str | None = None) -> Receipt:
        """Pays out released stake, to the account or elsewhere."""
        return await self._send("withdrawStake", self._or_own(to))

    async def withdraw_earnings(self, *, to: str | None = None) -> Receipt:
        """Pays out earned fees, to the account or elsewhere."""
        return await self._send("withdrawEarnings", self._or_own(to))

    async def account(self, operator: str | None = None) -> OperatorAccount:
        """Stake, bonds, earnings and unbonding of the account's operator or of another."""
        return await self._contracts.account(self._or_own(operator))

    def _or_own(self, address: str | None) -> Address:
        return self._signing.address if address is None else address_of(address)

    async def _send(self, function: str, *args: object, value_wei: int = 0) -> Receipt:
        return await self._signing.send("operator_registry", function, *args, value_wei=value_wei)
