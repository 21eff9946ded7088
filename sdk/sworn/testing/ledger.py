"""A gateway that writes down who sent what, so that a story or a test can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from sworn import abi
from sworn.chain.gateway import Block, BlockRef, Call, Fees, Gateway, Log, Receipt, Topic
from sworn.errors import ChainError, CodecError
from sworn.types import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One mined transaction."""

    sender: Address
    #: ``InferenceOracle.propose``; for a deployment the contract's name.
    call: str
    receipt: Receipt


class LedgerGateway:
    """A `Gateway` that passes everything on and remembers the transactions that went through it.

    ``contracts`` names the contracts whose calls are told by name, by address.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._sent: list[bytes] = []
        self._contracts: dict[Address, str] = {}

    def name(self, contracts: Mapping[Address, str]) -> None:
        """Adds contracts to those that are known by name."""
        self._contracts |= contracts

    def take(self) -> list[Entry]:
        """The transactions since the last call that are mined by now, in the order in which they were sent."""
        sent, self._sent = self._sent, []
        return [entry for raw in sent if (entry := self._entry(raw)) is not None]

    def _entry(self, raw: bytes) -> Entry | None:
        fields = TypedTransaction.from_bytes(HexBytes(raw))
        receipt = self._gateway.receipt(keccak(raw))
        if receipt is None:
            return None
        transaction = fields.as_dict()
        call = self._call(bytes(transaction["to"]), bytes(transaction["data"]), receipt)
        return Entry(sender=Address(Account.recover_transaction(raw)), call=call, receipt=receipt)

    def _call(self, to: bytes, data: bytes, receipt: Receipt) -> str:
        if not to:
            address = receipt.contract_address
            return f"new {self._contracts.get(address, 'contract')}" if address else "new contract"
        name = self._contracts.get(Address(to_checksum_address(to)))
        if name is None:
            return "transfer" if not data else "call"
        try:
            return f"{name}.{abi.interface(name).decode_call(data)[0]}"
        except CodecError:
            return name

    def chain_id(self) -> int:
        return self._gateway.chain_id()

    def block(self, ref: BlockRef) -> Block:
        return self._gateway.block(ref)

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        return self._gateway.logs(addresses=addresses, topics=topics, from_block=from_block, to_block=to_block)

    def call(self, call: Call, *, block: BlockRef = "latest") -> bytes:
        return self._gateway.call(call, block=block)

    def calls(self, calls: Sequence[Call], *, block: BlockRef = "latest") -> list[bytes | ChainError]:
        return self._gateway.calls(calls, block=block)

    def estimates(self, calls: Sequence[Call]) -> list[int | ChainError]:
        return self._gateway.estimates(calls)

    def estimate_gas(self, call: Call) -> int:
        return self._gateway.estimate_gas(call)

    def nonce(self, address: Address, *, block: BlockRef = "latest") -> int:
        return self._gateway.nonce(address, block=block)

    def balance(self, address: Address, *, block: BlockRef = "latest") -> int:
        return self._gateway.balance(address, block=block)

    def code(self, address: Address, *, block: BlockRef = "latest") -> bytes:
        return self._gateway.code(address, block=block)

    def fees(self) -> Fees:
        return self._gateway.fees()

    def send_raw(self, raw: bytes) -> bytes:
        transaction_hash = self._gateway.send_raw(raw)
        self._sent.append(raw)
        return transaction_hash

    def send_raws(self, raws: Sequence[bytes]) -> list[bytes | ChainError]:
        answers = self._gateway.send_raws(raws)
        self._sent.extend(raw for raw, answer in zip(raws, answers, strict=True) if isinstance(answer, bytes))
        return answers

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        return self._gateway.receipt(transaction_hash)

    def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        return self._gateway.receipts(hashes)

    def is_pending(self, transaction_hash: bytes) -> bool:
        return self._gateway.is_pending(transaction_hash)
