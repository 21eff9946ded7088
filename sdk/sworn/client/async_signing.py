"""Writes to one deployment, with the client's account."""

from __future__ import annotations

from typing import Any

from sworn import abi
from sworn.chain.deployment_files import CONTRACTS
from sworn.chain.gateway import AsyncGateway, Receipt
from sworn.chain.pacing import AsyncSleep, Pacing
from sworn.chain.signer import Signer
from sworn.chain.transactor_async import AsyncTransactor
from sworn.errors import ConfigurationError
from sworn.types import Address, Deployment


class AsyncSigning:
    """Sends calls to the contracts, if there is an account to send them with."""

    def __init__(
        self,
        *,
        gateway: AsyncGateway,
        deployment: Deployment,
        signer: Signer | None,
        pacing: Pacing,
        sleep: AsyncSleep,
    ) -> None:
        self._deployment = deployment
        self._transactor = (
            None
            if signer is None
            else AsyncTransactor(
                gateway=gateway, signer=signer, chain_id=deployment.chain_id, pacing=pacing, sleep=sleep
            )
        )

    @property
    def address(self) -> Address:
        """Who sends. Raises `ConfigurationError` when the client is read-only."""
        return self._required().address

    async def send(self, contract: str, function: str, *args: Any, value_wei: int = 0) -> Receipt:
        """Calls a contract (by its field in `Deployment`) and waits for inclusion.

        Raises `ConfigurationError` when the client is read-only, and what `AsyncTransactor.send` raises.
        """
        data = abi.interface(CONTRACTS[contract]).encode(function, *args)
        return await self._required().send(to=getattr(self._deployment, contract), data=data, value_wei=value_wei)

    def _required(self) -> AsyncTransactor:
        if self._transactor is None:
            raise ConfigurationError("this client is read-only: connect with an account to send transactions")
        return self._transactor
