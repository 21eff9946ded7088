# Generated from client/async_signing.py by scripts/generate_sync.py; do not edit.
"""Writes to one deployment, with the client's account."""

from __future__ import annotations

from typing import Any, Final

from sworn import abi
from sworn.chain.deployment_files import CONTRACTS
from sworn.chain.gateway import Call, Gateway, Receipt
from sworn.chain.pacing import Pacing, Sleep
from sworn.chain.signer import SecretSource, Signer
from sworn.chain.transactor import Transactor
from sworn.errors import ConfigurationError
from sworn.types import Address, Deployment

_READ_ONLY: Final = "this client is read-only: connect with an account to send transactions"


class Signing:
    """Sends calls to the contracts, if there is an account to send them with."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        deployment: Deployment,
        signer: Signer | None,
        pacing: Pacing,
        sleep: Sleep,
    ) -> None:
        self._deployment = deployment
        self._signer = signer
        self._transactor = (
            None
            if signer is None
            else Transactor(gateway=gateway, signer=signer, chain_id=deployment.chain_id, pacing=pacing, sleep=sleep)
        )

    @property
    def address(self) -> Address:
        """Who sends. Raises `ConfigurationError` when the client is read-only."""
        return self._required().address

    def send(self, contract: str, function: str, *args: Any, value_wei: int = 0) -> Receipt:
        """Calls a contract (by its field in `Deployment`) and waits for inclusion.

        Raises `ConfigurationError` when the client is read-only, and what `Transactor.send` raises.
        """
        data = abi.interface(CONTRACTS[contract]).encode(function, *args)
        return self._required().send(to=getattr(self._deployment, contract), data=data, value_wei=value_wei)

    def perform(self, call: Call) -> Receipt:
        """Sends a call and waits for inclusion. Raises as `send` does."""
        required = self._required()
        if call.to is None:
            raise ConfigurationError("a call has a contract to go to")
        return required.send(to=call.to, data=call.data, value_wei=call.value)

    def secret(self, purpose: str) -> bytes:
        """32 bytes that only the account's key can make, the same each time. Raises `ConfigurationError`."""
        if self._signer is None:
            raise ConfigurationError(_READ_ONLY)
        if not isinstance(self._signer, SecretSource):
            raise ConfigurationError("this signer's signatures differ each time: pass salt=, and keep it")
        where = f"{purpose} {self._deployment.chain_id} {self._deployment.dispute_game}"
        return self._signer.secret(where.encode())

    def _required(self) -> Transactor:
        if self._transactor is None:
            raise ConfigurationError(_READ_ONLY)
        return self._transactor
