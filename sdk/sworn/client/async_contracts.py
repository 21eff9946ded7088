"""Reads of one deployment: typed views and logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sworn import abi
from sworn.chain.gateway import AsyncGateway, Block, Call, Log, Topic
from sworn.chain.deployment_files import CONTRACTS
from sworn.codec.structs import offer_from_abi, request_state_from_abi
from sworn.client.records import OperatorAccount
from sworn.client.verification import Requested, requested_from
from sworn.errors import ChainError, RequestUnknown
from sworn.types import Address, Deployment, ModelId, Offer, Profile, RequestId, RequestState

#: Blocks per ``eth_getLogs``; halved while a node refuses.
MAX_RANGE = 5_000


class AsyncContracts:
    """The five contracts of a deployment, read through a gateway."""

    def __init__(self, *, gateway: AsyncGateway, deployment: Deployment) -> None:
        self.gateway = gateway
        self.deployment = deployment

    async def view(self, contract: str, function: str, *args: Any) -> Any:
        """What a view of a contract (by its field in `Deployment`) returns."""
        interface = abi.interface(CONTRACTS[contract])
        call = Call(to=getattr(self.deployment, contract), data=interface.encode(function, *args))
        return interface.decode(function, await self.gateway.call(call))

    async def head(self) -> Block:
        """The latest block; its timestamp is the time by which the contracts decide."""
        return await self.gateway.block("latest")

    async def state(self, request_id: RequestId) -> RequestState:
        """Where a request stands."""
        return request_state_from_abi(await self.view("oracle", "stateOf", request_id))

    async def bond_for(self, value_at_risk_wei: int) -> int:
        """Wei that an operator locks."""
        return int(await self.view("oracle", "bondFor", value_at_risk_wei))

    async def is_barred(self, request_id: RequestId, operator: Address) -> bool:
        """Whether a conviction keeps an operator from a request."""
        return bool(await self.view("oracle", "isBarred", request_id, operator))

    async def credit(self, account: Address) -> int:
        """Refunds in wei that an account can withdraw from the oracle."""
        return int(await self.view("oracle", "creditOf", account))

    async def reward(self, account: Address) -> int:
        """Rewards and compensations in wei that an account can withdraw from the dispute game."""
        return int(await self.view("dispute_game", "rewardOf", account))

    async def is_registered(self, model_id: ModelId) -> bool:
        """Whether a model is registered."""
        return int(await self.view("model_registry", "profileOf", model_id)) != Profile.NONE

    async def offer(self, operator: Address, model_id: ModelId) -> Offer:
        """An operator's terms for a model."""
        return offer_from_abi(await self.view("operator_registry", "offerOf", operator, model_id))

    async def signer_not_after(self, operator: Address, signer: Address) -> int:
        """Last expiry that a key may sign for an operator; 0 = never authorised."""
        return int(await self.view("operator_registry", "signerNotAfter", operator, signer))

    async def account(self, operator: Address) -> OperatorAccount:
        """An operator's money."""
        registered, stake, locked, earned = await self.view("operator_registry", "accountOf", operator)
        unbonding, release_at, not_after = await self.view("operator_registry", "unbondingOf", operator)
        return OperatorAccount(
            operator=operator,
            registered=registered,
            stake_wei=stake,
            locked_wei=locked,
            free_wei=stake - locked,
            earned_wei=earned,
            unbonding_wei=unbonding,
            release_at=release_at if unbonding else 0,
            not_after=not_after or None,
        )

    async def requested(self, request_id: RequestId, *, from_block: int | None = None) -> Requested:
        """A request from its log. Raises `RequestUnknown`."""
        async for log in self.logs("oracle", "InferenceRequested", request_id, from_block=from_block, newest_first=True):
            return requested_from(log, self.deployment)
        raise RequestUnknown(f"no request 0x{request_id.hex()} at {self.deployment.oracle}")

    async def logs(
        self, contract: str, event: str, *indexed: Topic, from_block: int | None = None, newest_first: bool = False
    ) -> AsyncIterator[Log]:
        """Logs of one event, filtered by its indexed arguments (None = any, addresses as 32-byte words).

        Reads in bounded ranges from ``from_block`` (default: the deployment's) to the latest block, and no further
        than the caller iterates.
        """
        interface = abi.interface(CONTRACTS[contract])
        topics: tuple[Topic, ...] = (interface.topic(event), *indexed)
        low, high = from_block or self.deployment.block, (await self.head()).number
        span = MAX_RANGE
        while low <= high:
            first = max(low, high - span + 1) if newest_first else low
            last = high if newest_first else min(high, low + span - 1)
            try:
                found = await self._logs_between(getattr(self.deployment, contract), topics, first, last)
            except ChainError:
                if span == 1:
                    raise
                span //= 2
                continue
            low, high = (low, first - 1) if newest_first else (last + 1, high)
            for log in reversed(found) if newest_first else found:
                yield log

    async def _logs_between(self, address: Address, topics: Sequence[Topic], first: int, last: int) -> list[Log]:
        return await self.gateway.logs(addresses=[address], topics=topics, from_block=first, to_block=last)


def address_topic(address: Address) -> bytes:
    """An address as an indexed argument."""
    return bytes(12) + bytes.fromhex(address[2:])
