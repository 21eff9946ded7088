"""One-off transactions of a person or a script: simulated, signed here, sent, waited for.

A daemon that must survive crashes uses `sworn.chain.sender.Sender` instead.
"""

from __future__ import annotations

from eth_utils.crypto import keccak

from sworn.abi import contract_error
from sworn.chain.gateway import AsyncGateway, Call, Receipt
from sworn.chain.pacing import DEFAULT_PACING, AsyncLock, AsyncSleep, Pacing, async_sleep
from sworn.chain.signer import Signer
from sworn.chain.transaction_terms import MAX_NONCE_RETRIES, gas_limit, max_fee_per_gas, transaction_fields
from sworn.errors import (
    ContractRevert,
    NonceTooLow,
    TransactionKnown,
    TransactionReverted,
    TransientChainError,
)
from sworn.types import Address


class AsyncTransactor:
    """Sends calls with one signer; calls made at the same time get consecutive nonces."""

    def __init__(
        self,
        *,
        gateway: AsyncGateway,
        signer: Signer,
        chain_id: int,
        pacing: Pacing = DEFAULT_PACING,
        sleep: AsyncSleep = async_sleep,
    ) -> None:
        self._gateway = gateway
        self._signer = signer
        self._chain_id = chain_id
        self._pacing = pacing
        self._sleep = sleep
        self._nonces = AsyncLock()

    @property
    def address(self) -> Address:
        """Who sends."""
        return self._signer.address

    async def send(self, *, to: Address | None, data: bytes, value_wei: int = 0) -> Receipt:
        """Simulates, sends and waits for inclusion; ``to`` None deploys.

        Raises the typed `ContractRevert` before anything is sent when the call would revert, `TransactionReverted` when
        it reverts all the same, `TransactionRejected` when the node refuses it, and `TransientChainError` when it is
        not mined in time: it may still be.
        """
        call = Call(to=to, data=data, sender=self.address, value=value_wei)
        gas = gas_limit(await self._gateway.estimate_gas(call))
        # SAFETY: two calls at once would read the same nonce, and the later one would replace the earlier.
        async with self._nonces:
            transaction_hash = await self._broadcast(call, gas=gas)
        receipt = await self._mined(transaction_hash)
        if not receipt.succeeded:
            raise await self._reverted(call, receipt, gas=gas)
        return receipt

    async def _broadcast(self, call: Call, *, gas: int) -> bytes:
        for attempt in range(MAX_NONCE_RETRIES + 1):
            raw = await self._signed(call, gas=gas)
            try:
                return await self._send_raw(raw)
            except NonceTooLow:
                # The node took nothing under this nonce, so signing again under another cannot double the call.
                if attempt == MAX_NONCE_RETRIES:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _signed(self, call: Call, *, gas: int) -> bytes:
        fees = await self._gateway.fees()
        return self._signer.sign_transaction(
            transaction_fields(
                call,
                chain_id=self._chain_id,
                nonce=await self._gateway.nonce(self.address, block="pending"),
                gas=gas,
                max_fee_wei=max_fee_per_gas(fees),
                tip_wei=fees.tip,
            )
        )

    async def _send_raw(self, raw: bytes) -> bytes:
        transaction_hash = keccak(raw)
        deadline = self._pacing.clock() + self._pacing.transaction_timeout_s
        tried = False
        while True:
            try:
                return await self._gateway.send_raw(raw)
            except TransactionKnown:
                return transaction_hash
            except NonceTooLow:
                # After a lost answer this may be our own transaction, mined.
                if tried and await self._gateway.is_pending(transaction_hash):
                    return transaction_hash
                raise
            except TransientChainError:
                # Whether the node has it is unknown; the same bytes again can do no harm.
                if self._pacing.clock() >= deadline:
                    raise
                tried = True
                await self._sleep(self._pacing.poll_s)

    async def _mined(self, transaction_hash: bytes) -> Receipt:
        deadline = self._pacing.clock() + self._pacing.transaction_timeout_s
        while True:
            try:
                receipt = await self._gateway.receipt(transaction_hash)
            except TransientChainError:
                if self._pacing.clock() >= deadline:
                    raise
                receipt = None
            if receipt is not None:
                return receipt
            if self._pacing.clock() >= deadline:
                waited = self._pacing.transaction_timeout_s
                raise TransientChainError(f"transaction 0x{transaction_hash.hex()} is not mined after {waited:g} s")
            await self._sleep(self._pacing.poll_s)

    async def _reverted(self, call: Call, receipt: Receipt, *, gas: int) -> TransactionReverted:
        reason = f"used {receipt.gas_used} of {gas} gas"
        try:
            await self._gateway.call(call, block=receipt.block_number)
        except ContractRevert as error:
            reason = str(contract_error(error.data) if error.data else error)
        except TransientChainError:
            reason = "the node no longer has that state"
        return TransactionReverted(f"transaction 0x{receipt.transaction_hash.hex()} reverted: {reason}")
