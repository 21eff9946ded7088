"""A test chain inside the process: eth-tester's backend, py-evm."""

from __future__ import annotations

from typing import Any

from eth.vm.spoof import SpoofTransaction
from eth_keys.datatypes import PrivateKey
from eth_tester import EthereumTester, PyEVMBackend
from eth_utils.address import to_canonical_address, to_checksum_address
from tests.support.accounts import MNEMONIC, funded_accounts
from tests.support.node import BALANCE_ETHER, BLOCK_GAS_LIMIT, GENESIS_TIME, CallReverted, Message, RawLog, RawReceipt

from sworn.types import Address


class EthTesterNode:
    """Implements `Node`. Drives py-evm directly: eth-tester itself would lose revert data and choose its own time."""

    name = "eth-tester"

    def __init__(self) -> None:
        parameters = {"gas_limit": BLOCK_GAS_LIMIT, "timestamp": GENESIS_TIME}
        self.tester = EthereumTester(
            PyEVMBackend.from_mnemonic(
                MNEMONIC,
                num_accounts=10,
                genesis_state_overrides={"balance": BALANCE_ETHER * 10**18},
                hd_path="m/44'/60'/0'/0",
                genesis_parameters=PyEVMBackend.generate_genesis_params(overrides=parameters),
            )
        )
        self.chain_id = int(self._chain.chain_id)
        self._keys = {account.address: PrivateKey(account.key) for account in funded_accounts()}

    def latest_time(self) -> int:
        return int(self._chain.get_canonical_block_header_by_number(self._chain.header.block_number - 1).timestamp)

    def call(self, message: Message, *, timestamp: int) -> bytes:
        self._set_time(timestamp)
        sender = to_canonical_address(message.sender)
        state = self._chain.get_vm(at_header=self._chain.header).state
        before = state.snapshot()
        unsigned = self._unsigned(message, nonce=state.get_nonce(sender))
        # A call may come from anyone, also from who cannot pay.
        state.set_balance(sender, state.get_balance(sender) + unsigned.gas * unsigned.gas_price + unsigned.value)
        computation = state.apply_transaction(SpoofTransaction(unsigned, from_=sender))
        state.revert(before)
        if computation.is_error:
            raise CallReverted(bytes(computation.output))
        return bytes(computation.output)

    def send(self, message: Message, *, timestamp: int) -> RawReceipt:
        self._set_time(timestamp)
        unsigned = self._unsigned(message, nonce=self.nonce(message.sender))
        signed = unsigned.as_signed_transaction(self._keys[message.sender], chain_id=self.chain_id)
        _, receipt, computation = self._chain.apply_transaction(signed)
        self.tester.backend.mine_blocks()
        return RawReceipt(
            succeeded=computation.is_success, gas_used=receipt.gas_used, logs=tuple(map(_log, receipt.logs))
        )

    def send_raw(self, raw: bytes, *, timestamp: int) -> None:
        self._set_time(timestamp)
        self.tester.backend.send_raw_transaction(raw)
        self.tester.backend.mine_blocks()

    def balance(self, address: Address) -> int:
        return int(self._state.get_balance(to_canonical_address(address)))

    def nonce(self, address: Address) -> int:
        return int(self._state.get_nonce(to_canonical_address(address)))

    def code(self, address: Address) -> bytes:
        return bytes(self._state.get_code(to_canonical_address(address)))

    def snapshot(self) -> object:
        return self.tester.backend.take_snapshot()

    def restore(self, snapshot: object) -> None:
        self.tester.backend.revert_to_snapshot(snapshot)

    def close(self) -> None:
        pass

    @property
    def _chain(self) -> Any:
        return self.tester.backend.chain

    @property
    def _state(self) -> Any:
        return self._chain.get_vm(at_header=self._chain.header).state

    def _set_time(self, timestamp: int) -> None:
        self._chain.header = self._chain.header.copy(timestamp=timestamp)

    def _unsigned(self, message: Message, *, nonce: int) -> Any:
        return self._chain.create_unsigned_transaction(
            nonce=nonce,
            gas_price=self._chain.header.base_fee_per_gas,
            gas=message.gas,
            to=to_canonical_address(message.to) if message.to else b"",
            value=message.value_wei,
            data=message.data,
        )


def _log(log: Any) -> RawLog:
    topics = tuple(topic.to_bytes(32) for topic in log.topics)
    return RawLog(address=Address(to_checksum_address(log.address)), topics=topics, data=bytes(log.data))
