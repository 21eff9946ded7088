"""What the rest of sworn needs from a chain: plain JSON-RPC facts, no contracts, no keys.

`Gateway` is the blocking form, `AsyncGateway` the same methods as coroutines. Implementations translate every vendor
exception into `sworn.errors` (`TransientChainError`, `ContractRevert` with raw ``data``, `TransactionRejected` …).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sworn.errors import ChainError
from sworn.types import Address

#: A block number or one of the standard tags.
BlockRef = int | Literal["latest", "safe", "finalized", "pending", "earliest"]
#: One topic position: None = anything, bytes = exactly this, a sequence = any of these.
Topic = bytes | Sequence[bytes] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block header; ``timestamp`` in unix seconds, ``base_fee`` in wei."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One event as emitted, undecoded."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The outcome of a mined transaction; ``succeeded`` is False when it reverted."""

    transaction_hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    effective_gas_price: int
    contract_address: Address | None
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A message call: what `call`, `estimate_gas` and an unsigned transaction have in common. ``to`` None = create."""

    to: Address | None
    data: bytes
    sender: Address | None = None
    value: int = 0
    gas: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """EIP-1559 market: base fee of the latest block and the tip the node suggests, in wei per gas."""

    base_fee: int
    tip: int


class Gateway(Protocol):
    """Blocking access to one chain."""

    def chain_id(self) -> int: ...
    def block(self, ref: BlockRef) -> Block:
        """The header of a block. Raises `TransientChainError` when the node does not have it (yet)."""
        ...

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        """Events in a closed block range, in chain order (``eth_getLogs``; never filters)."""
        ...

    def call(self, call: Call, *, block: BlockRef = "latest") -> bytes:
        """Return data of a simulated call. Raises `ContractRevert` with the raw revert ``data``."""
        ...

    def calls(self, calls: Sequence[Call], *, block: BlockRef = "latest") -> list[bytes | ChainError]:
        """Many calls at once, on one state each. An item's own failure stands in the place of its result.

        Raises `ChainError` when the node answers none of them, as every method for many does.
        """
        ...

    def estimate_gas(self, call: Call) -> int: ...
    def estimates(self, calls: Sequence[Call]) -> list[int | ChainError]:
        """Many estimates at once, each on the state of now. An item's own failure stands in the place of its result."""
        ...

    def nonce(self, address: Address, *, block: BlockRef = "latest") -> int: ...
    def balance(self, address: Address, *, block: BlockRef = "latest") -> int: ...
    def code(self, address: Address, *, block: BlockRef = "latest") -> bytes: ...
    def fees(self) -> Fees: ...
    def send_raw(self, raw: bytes) -> bytes:
        """Broadcast a signed transaction, once, and return its hash. Raises `TransactionRejected` subclasses."""
        ...

    def send_raws(self, raws: Sequence[bytes]) -> list[bytes | ChainError]:
        """Broadcasts many in their order. A refusal, or silence of the node, stands in the place of a hash."""
        ...

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """The receipt, or None while the transaction is not mined."""
        ...

    def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        """Many receipts at once. Raises `ChainError` when one of them cannot be had."""
        ...

    def is_pending(self, transaction_hash: bytes) -> bool:
        """Whether the node knows the transaction, mined or not."""
        ...


class AsyncGateway(Protocol):
    """The same methods as coroutines."""

    async def chain_id(self) -> int: ...
    async def block(self, ref: BlockRef) -> Block: ...
    async def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]: ...
    async def call(self, call: Call, *, block: BlockRef = "latest") -> bytes: ...
    async def calls(self, calls: Sequence[Call], *, block: BlockRef = "latest") -> list[bytes | ChainError]: ...
    async def estimate_gas(self, call: Call) -> int: ...
    async def estimates(self, calls: Sequence[Call]) -> list[int | ChainError]: ...
    async def nonce(self, address: Address, *, block: BlockRef = "latest") -> int: ...
    async def balance(self, address: Address, *, block: BlockRef = "latest") -> int: ...
    async def code(self, address: Address, *, block: BlockRef = "latest") -> bytes: ...
    async def fees(self) -> Fees: ...
    async def send_raw(self, raw: bytes) -> bytes: ...
    async def send_raws(self, raws: Sequence[bytes]) -> list[bytes | ChainError]: ...
    async def receipt(self, transaction_hash: bytes) -> Receipt | None: ...
    async def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]: ...
    async def is_pending(self, transaction_hash: bytes) -> bool: ...
