"""Reads of one deployment: typed views and logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sworn import abi
from sworn.chain.deployment_files import CONTRACTS
from sworn.chain.gateway import AsyncGateway, Block, Call, Log, Topic
from sworn.client.records import OperatorAccount, account_from
from sworn.client.verification import Requested, requested_from
from sworn.codec.structs import offer_from_abi, request_state_from_abi
from sworn.errors import ChainError, RequestUnknown
from sworn.types import Address, Deployment, ModelId, Offer, Profile, RequestId, RequestState

#: Blocks per ``eth_getLogs``; halved while a node refuses.
MAX_RANGE = 5_000


class AsyncContracts:
    """The contracts of a deployment, read through a gateway; ``index`` is a folder for what is counted from events."""

    def __init__(self, *, gateway: AsyncGateway, deployment: Deployment, index: Path | None = None) -> None:
        self.gateway = gateway
        self.deployment = deployment
        self.index = index

    async def view(self, contract: str, function: str, *args: Any) -> Any:
        """What a view of a contract (by its field in `Deployment`) returns."""
        interface = abi.interface(CONTRACTS[contract])
        call = Call(to=getattr(self.deployment, contract), data=interface.encode(function, *args))
        return interface.decode(function, await self.gateway.call(call))

    async def views(self, contract: str, function: str, many: Sequence[tuple[Any, ...]]) -> list[Any]:
        """What a view returns for each of many arguments, asked together. Raises the first error."""
        interface, to = abi.interface(CONTRACTS[contract]), getattr(self.deployment, contract)
        calls = [Call(to=to, data=interface.encode(function, *args)) for args in many]
        found: list[Any] = []
        for answer in await self.gateway.calls(calls) if calls else ():
            if isinstance(answer, ChainError):
                raise answer
            found.append(interface.decode(function, answer))
        return found

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

    async def profile(self, model_id: ModelId) -> Profile:
        """The profile of a registered model; `Profile.NONE` when it is not registered."""
        return Profile(await self.view("model_registry", "profileOf", model_id))

    async def offer(self, operator: Address, model_id: ModelId) -> Offer:
        """An operator's terms for a model."""
        return offer_from_abi(await self.view("operator_registry", "offerOf", operator, model_id))

    async def signer_not_after(self, operator: Address, signer: Address) -> int:
        """Last expiry that a key may sign for an operator; 0 = never authorised."""
        return int(await self.view("operator_registry", "signerNotAfter", operator, signer))

    async def account(self, operator: Address) -> OperatorAccount:
        """An operator's money."""
        return (await self.accounts([operator]))[operator]

    async def accounts(self, operators: Sequence[Address]) -> dict[Address, OperatorAccount]:
        """The money of many operators, read together."""
        accounts = await self.views("operator_registry", "accountOf", [(operator,) for operator in operators])
        unbondings = await self.views("operator_registry", "unbondingOf", [(operator,) for operator in operators])
        triples = zip(operators, accounts, unbondings, strict=True)
        return {operator: account_from(operator, account, unbonding) for operator, account, unbonding in triples}

    async def offers(self, pairs: Sequence[tuple[Address, ModelId]]) -> list[Offer]:
        """Operators' terms for models, read together."""
        return [offer_from_abi(item) for item in await self.views("operator_registry", "offerOf", pairs)]

    async def requested(self, request_id: RequestId, *, from_block: int | None = None) -> Requested:
        """A request from its log. Raises `RequestUnknown`."""
        log = await self.newest_log("oracle", "InferenceRequested", request_id, from_block=from_block)
        if log is None:
            raise RequestUnknown(f"no request 0x{request_id.hex()} at {self.deployment.oracle}")
        return requested_from(log, self.deployment)

    async def logs(self, contract: str, event: str, *indexed: Topic, from_block: int | None = None) -> list[Log]:
        """Every log of one event, oldest first, from ``from_block`` (default: the deployment's) to the latest block.

        Filtered by the event's indexed arguments (None = any, addresses as 32-byte words). Reads in bounded ranges.
        """
        address, topics = self._filter(contract, event, indexed)
        return await self.logs_of(address, topics, from_block=from_block)

    async def logs_of(self, address: Address, topics: tuple[Topic, ...], *, from_block: int | None = None) -> list[Log]:
        """Every log of a contract with these topics, oldest first; reads in bounded ranges."""
        first, head = from_block or self.deployment.block, (await self.head()).number
        found: list[Log] = []
        for start in range(first, head + 1, MAX_RANGE):
            found += await self.logs_between((address,), topics, start, min(start + MAX_RANGE - 1, head))
        return found

    async def newest_log(self, contract: str, event: str, *indexed: Topic, from_block: int | None = None) -> Log | None:
        """The last log of one event, searched backwards so that recent ones are found at once."""
        address, topics = self._filter(contract, event, indexed)
        first, last = from_block or self.deployment.block, (await self.head()).number
        while last >= first:
            start = max(first, last - MAX_RANGE + 1)
            found = await self.logs_between((address,), topics, start, last)
            if found:
                return found[-1]
            last = start - 1
        return None

    def _filter(self, contract: str, event: str, indexed: tuple[Topic, ...]) -> tuple[Address, tuple[Topic, ...]]:
        topic = abi.interface(CONTRACTS[contract]).topic(event)
        return getattr(self.deployment, contract), (topic, *indexed)

    async def logs_between(
        self, addresses: tuple[Address, ...], topics: tuple[Topic, ...], first: int, last: int
    ) -> list[Log]:
        """Logs of a closed block range, read in smaller ones when the node refuses it."""
        try:
            return await self.gateway.logs(addresses=addresses, topics=topics, from_block=first, to_block=last)
        except ChainError:
            # Nodes limit the range or the number of logs of one answer, each in its own words: half of it may do.
            if first == last:
                raise
        middle = (first + last) // 2
        return [
            *await self.logs_between(addresses, topics, first, middle),
            *await self.logs_between(addresses, topics, middle + 1, last),
        ]
