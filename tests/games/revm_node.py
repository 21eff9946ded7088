"""A test chain inside the process that is fast enough for thousands of games: revm, driven block by block."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pyrevm
from eth_utils.address import to_checksum_address
from tests.support.accounts import funded_accounts
from tests.support.node import BALANCE_ETHER, BLOCK_GAS_LIMIT, GENESIS_TIME, CallReverted, Message, RawLog, RawReceipt

from sworn.types import Address

ETHER = 10**18
_BASEFEE, _GASPRICE, _PUSH1, _PUSH32 = 0x48, 0x3A, 0x60, 0x7F
_READER = Address("0x00000000000000000000000000000000000Beef1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    checkpoint: Any
    number: int
    time: int
    base_fee_wei: int


class RevmNode:
    """Implements `Node`; besides, a block may hold several transactions, and anyone may send without a key."""

    name = "revm"
    chain_id = 1

    def __init__(self, *, priced: bytes = b"") -> None:
        self.evm = pyrevm.EVM()
        #: Creation code of the contract that looks at the base fee. This binding gives it to nobody: the price of the
        #: transaction takes its place, which is the same here.
        self._priced = priced
        #: The block in which the next message runs.
        self.number = 1
        self.time = GENESIS_TIME
        self.base_fee_wei = 10**9
        for account in funded_accounts():
            self.fund(account.address)
        self.fund(_READER)
        self._set_block()

    def fund(self, address: Address) -> None:
        """Makes an account rich. Not undone by `restore`."""
        self.evm.set_balance(address, BALANCE_ETHER * ETHER)

    def move_to(self, *, number: int, time: int, base_fee_wei: int) -> None:
        """Lets what follows run in that block."""
        self.number, self.time, self.base_fee_wei = number, time, base_fee_wei
        self._set_block()

    def execute(self, message: Message) -> tuple[bytes, RawReceipt]:
        """Runs a transaction in the present block: what it returns, and what became of it. Raises `CallReverted`."""
        self.evm.reset_transient_storage()
        try:
            if message.to is None:
                code = message.data
                if self._priced and code.startswith(self._priced):
                    code = _with_price_for_base_fee(self._priced) + code[len(self._priced) :]
                returned: Any = self.evm.deploy(message.sender, code, message.value_wei, message.gas)
            else:
                returned = self.evm.message_call(
                    message.sender,
                    message.to,
                    message.data,
                    message.value_wei,
                    message.gas,
                    self.base_fee_wei,
                )
        except RuntimeError as error:
            data = _revert_data(str(error))
            if data is None:
                raise
            raise CallReverted(data) from error
        result: Any = self.evm.result
        logs = tuple(map(_log, result.logs))
        return bytes(returned) if message.to else b"", RawReceipt(succeeded=True, gas_used=result.gas_used, logs=logs)

    def latest_time(self) -> int:
        return self.time

    def call(self, message: Message, *, timestamp: int) -> bytes:
        mark = self.evm.snapshot()
        self.time = timestamp
        self._set_block()
        # A contract cannot send (EIP-3607); whoever calls from one wants to read.
        sender = _READER if self.evm.get_code(message.sender) else message.sender
        try:
            return self.execute(replace(message, sender=sender))[0]
        finally:
            self.evm.revert(mark)

    def send(self, message: Message, *, timestamp: int) -> RawReceipt:
        self.number += 1
        self.time = timestamp
        self._set_block()
        return self.execute(message)[1]

    def send_raw(self, raw: bytes, *, timestamp: int) -> None:
        raise NotImplementedError("this chain takes messages, not signed transactions")

    def balance(self, address: Address) -> int:
        return int(self.evm.get_balance(address))

    def nonce(self, address: Address) -> int:
        return int(self.evm.basic(address).nonce)

    def code(self, address: Address) -> bytes:
        return bytes(self.evm.get_code(address) or b"")

    def snapshot(self) -> object:
        mark = self.evm.snapshot()
        return _Mark(checkpoint=mark, number=self.number, time=self.time, base_fee_wei=self.base_fee_wei)

    def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, _Mark)
        self.number, self.time, self.base_fee_wei = snapshot.number, snapshot.time, snapshot.base_fee_wei
        self.evm.revert(snapshot.checkpoint)
        self._set_block()

    def close(self) -> None:
        pass

    def _set_block(self) -> None:
        block = pyrevm.BlockEnv(
            number=self.number, timestamp=self.time, basefee=self.base_fee_wei, gas_limit=BLOCK_GAS_LIMIT
        )
        self.evm.set_block_env(block)


def _with_price_for_base_fee(code: bytes) -> bytes:
    """The code with GASPRICE for every BASEFEE; what is pushed is no instruction."""
    patched, place = bytearray(code), 0
    while place < len(code):
        if code[place] == _BASEFEE:
            patched[place] = _GASPRICE
        place += 1 + (code[place] - _PUSH1 + 1 if _PUSH1 <= code[place] <= _PUSH32 else 0)
    return bytes(patched)


def _revert_data(message: str) -> bytes | None:
    """What a message reverted with; None when it did not revert, but could not run at all."""
    if "Revert" not in message:
        return None
    return bytes.fromhex(message.partition("output: 0x")[2].partition(" ")[0])


def _log(log: Any) -> RawLog:
    topics, data = log.data
    return RawLog(
        address=Address(to_checksum_address(log.address)),
        topics=tuple(bytes.fromhex(topic.removeprefix("0x")) if isinstance(topic, str) else topic for topic in topics),
        data=bytes(data),
    )
