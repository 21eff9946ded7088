"""One face for all test chains: contracts by name, records as arguments, decoded events, time by the second."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import rlp
from eth_account import Account as KeyAccount
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak
from tests.support.accounts import Account
from tests.support.artifacts import decode_revert, interface
from tests.support.node import TRANSACTION_GAS, CallReverted, Message, Node, RawLog

from sworn.abi import Interface
from sworn.codec import structs
from sworn.errors import CodecError
from sworn.types import Address, Answer, Failure, Model, Offer, Request, Result


class UnexplainedFailure(Exception):
    """A transaction failed although the same call had just succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A result and the signature under it; twin of the struct in `contracts/types/Result.sol`."""

    result: Result
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A decoded event and the contract that emitted it."""

    contract: Address
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionReceipt:
    """What a successful transaction did. ``returned`` is the value that the same call had just returned."""

    gas_used: int
    calldata: bytes
    timestamp: int
    events: tuple[Event, ...]
    returned: Any


class Chain:
    """A test chain. The next transaction or call runs at ``now``; each transaction moves ``now`` on by one second."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.now = node.latest_time() + 1
        self._interfaces: dict[Address, Interface] = {}

    def travel(self, *, to: int) -> None:
        """Lets the next transaction run at that unix time. There is no way back but `restore`."""
        if to < self.now:
            raise ValueError(f"{to} lies before {self.now}")
        self.now = to

    def deploy(self, name: str, *arguments: Any, by: Account, value_wei: int = 0) -> Contract:
        """Creates a contract. Raises `Reverted`."""
        address = self.next_address(by)
        kind = interface(name)
        data = kind.constructor(*(to_abi(argument) for argument in arguments))
        self._interfaces[address] = kind
        self.transact(Message(sender=by.address, to=None, data=data, value_wei=value_wei))
        return Contract(self, kind, address)

    def next_address(self, deployer: Account, *, skip: int = 0) -> Address:
        """Address of the contract that an account creates with its next transaction, or ``skip`` ones later."""
        nonce = self.node.nonce(deployer.address) + skip
        preimage = rlp.encode([to_canonical_address(deployer.address), nonce])
        return Address(to_checksum_address(keccak(preimage)[12:]))

    def balance(self, of: Account | Contract | Address) -> int:
        """Wei of an account."""
        return self.node.balance(to_abi(of))

    def delegate(self, account: Account, *, to: Contract, by: Account) -> None:
        """Gives an account a contract's code (EIP-7702)."""
        chain_id = self.node.chain_id
        authorization = KeyAccount.sign_authorization(
            {"chainId": chain_id, "address": to.address, "nonce": self.node.nonce(account.address)}, account.key
        )
        transaction = {
            "chainId": chain_id,
            "nonce": self.node.nonce(by.address),
            "gas": 200_000,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 0,
            "to": account.address,
            "authorizationList": [authorization],
        }
        raw = KeyAccount.sign_transaction(transaction, by.key).raw_transaction
        self.node.send_raw(bytes(raw), timestamp=self.now)
        self.now += 1

    def call(self, message: Message) -> bytes:
        """What a transaction would return now. Raises `Reverted`."""
        try:
            return self.node.call(message, timestamp=self.now)
        except CallReverted as error:
            raise decode_revert(error.data) from error

    def snapshot(self) -> tuple[object, int]:
        """Marks the present state."""
        return self.node.snapshot(), self.now

    def restore(self, mark: tuple[object, int]) -> None:
        """Goes back to a mark, which is used up."""
        snapshot, self.now = mark
        self.node.restore(snapshot)

    def transact(self, message: Message) -> TransactionReceipt:
        """Mines a transaction. Raises `Reverted`, and then nothing has been mined."""
        # Calls first: only a call says why it reverts.
        returned = self.call(message)
        raw = self.node.send(message, timestamp=self.now)
        if not raw.succeeded:
            raise UnexplainedFailure(message)
        events = tuple(event for log in raw.logs if (event := self._decode(log)))
        receipt = TransactionReceipt(
            gas_used=raw.gas_used, calldata=message.data, timestamp=self.now, events=events, returned=returned
        )
        self.now += 1
        return receipt

    def _decode(self, log: RawLog) -> Event | None:
        with suppress(KeyError, CodecError):
            decoded = self._interfaces[log.address].decode_log(log.topics, log.data)
            return Event(contract=log.address, name=decoded.name, arguments=decoded.arguments)
        return None


class Contract:
    """A deployed contract. Arguments may be records of `sworn.types`, accounts and contracts."""

    def __init__(self, chain: Chain, kind: Interface, address: Address) -> None:
        self.chain = chain
        self.kind = kind
        self.address = address

    def call(
        self,
        function: str,
        *arguments: Any,
        by: Account | Contract | None = None,
        value_wei: int = 0,
        gas: int = TRANSACTION_GAS,
    ) -> Any:
        """The value that a function returns now; nothing changes. Raises `Reverted`."""
        message = self._message(function, arguments, sender=to_abi(by or self), value_wei=value_wei, gas=gas)
        return self.kind.decode(function, self.chain.call(message))

    def send(
        self, function: str, *arguments: Any, by: Account, value_wei: int = 0, gas: int = TRANSACTION_GAS
    ) -> TransactionReceipt:
        """Transacts. Raises `Reverted`, and then nothing has been mined."""
        message = self._message(function, arguments, sender=by.address, value_wei=value_wei, gas=gas)
        receipt = self.chain.transact(message)
        return replace(receipt, returned=self.kind.decode(function, receipt.returned))

    def encode(self, function: str, *arguments: Any) -> bytes:
        """Calldata, for contracts that call contracts."""
        return self.kind.encode(function, *map(to_abi, arguments))

    def _message(
        self, function: str, arguments: tuple[Any, ...], *, sender: Address, value_wei: int, gas: int
    ) -> Message:
        data = self.encode(function, *arguments)
        return Message(sender=sender, to=self.address, data=data, value_wei=value_wei, gas=gas)


def to_abi(value: Any) -> Any:
    """A value as eth-abi takes it: records as tuples, accounts and contracts as addresses, enums as numbers."""
    match value:
        case Account() | Contract():
            return value.address
        case Statement():
            return structs.result_to_abi(value.result), value.signature
        case Request():
            return structs.request_to_abi(value)
        case Answer():
            return structs.answer_to_abi(value)
        case Result():
            return structs.result_to_abi(value)
        case Failure():
            return structs.failure_to_abi(value)
        case Model():
            return structs.model_to_abi(value)
        case Offer():
            return structs.offer_to_abi(value)
        case list():
            return [to_abi(element) for element in value]
        case IntEnum():
            return int(value)
        case _:
            return value
