"""What the harness needs from a test chain; implemented over eth-tester and over anvil."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sworn.types import Address

#: Timestamp of the first block, the same everywhere, so that runs and gas are reproducible.
GENESIS_TIME = 1_800_000_000
#: Room for blocks that hold several of the largest transactions.
BLOCK_GAS_LIMIT = 100_000_000
#: Gas limit of a transaction unless it names one; below the cap of EIP-7825 (2^24).
TRANSACTION_GAS = 16_000_000
#: What every funded account starts with: more than an operator's packed amounts hold (2^80 wei).
BALANCE_ETHER = 2_000_000


class CallReverted(Exception):
    """A call reverted; ``data`` is what it returned."""

    def __init__(self, data: bytes) -> None:
        super().__init__(f"reverted with 0x{data.hex()}" if data else "reverted without data")
        self.data = data


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A call or a transaction; no ``to`` creates a contract."""

    sender: Address
    to: Address | None
    data: bytes
    value_wei: int = 0
    gas: int = TRANSACTION_GAS


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLog:
    """An event as the chain stores it."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReceipt:
    """What became of a transaction; ``gas_used`` is that of the whole transaction."""

    succeeded: bool
    gas_used: int
    logs: tuple[RawLog, ...]


class Node(Protocol):
    """A test chain that mines every transaction at once, in a block of its own, at the time it is told."""

    name: str
    chain_id: int

    def latest_time(self) -> int:
        """Timestamp of the last block."""
        ...

    def call(self, message: Message, *, timestamp: int) -> bytes:
        """What the message would return in a block of that time. Raises `CallReverted`."""
        ...

    def send(self, message: Message, *, timestamp: int) -> RawReceipt:
        """Mines the message in a block of that time; it may fail."""
        ...

    def send_raw(self, raw: bytes, *, timestamp: int) -> None:
        """Mines a signed transaction of any type in a block of that time."""
        ...

    def balance(self, address: Address) -> int:
        """Wei of an account."""
        ...

    def nonce(self, address: Address) -> int:
        """Transactions sent by an account, or contracts made by a contract."""
        ...

    def code(self, address: Address) -> bytes:
        """Runtime code of an account."""
        ...

    def snapshot(self) -> object:
        """Marks the present state."""
        ...

    def restore(self, snapshot: object) -> None:
        """Goes back to a mark, which is used up."""
        ...

    def close(self) -> None:
        """Ends the chain."""
        ...
