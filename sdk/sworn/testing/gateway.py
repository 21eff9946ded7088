"""A chain in memory behind the `Gateway` Protocol: blocks, a pool, nonces, receipts, logs and reorgs, but no EVM.

What calls return and what transactions emit is scripted by functions, so that a test can bring about what a real node
does only on a bad day: lost transactions, foreign nonces, refused fees, vanishing blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from sworn.chain.gateway import Block, BlockRef, Call, Fees, Log, Receipt, Topic
from sworn.errors import (
    BlockUnavailable,
    ChainError,
    ContractRevert,
    LogRangeRefused,
    NonceTooLow,
    TransactionKnown,
    TransactionUnderpriced,
    TransientChainError,
)
from sworn.types import Address

#: Seconds between two blocks.
BLOCK_TIME_S = 12
GENESIS_TIMESTAMP = 1_700_000_000
GAS_USED = 100_000

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTransaction:
    """A signed transaction as the node sees it."""

    hash: bytes
    raw: bytes
    sender: Address
    nonce: int
    to: Address
    data: bytes
    max_fee_wei: int
    tip_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """An event that something emits."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBlock:
    """A block with its content."""

    header: Block
    transactions: tuple[PoolTransaction, ...] = ()
    failed: frozenset[bytes] = frozenset()
    logs: tuple[Log, ...] = ()


@dataclass(slots=True, kw_only=True)
class MemoryGateway:
    """A `Gateway` whose chain grows only by `mine`.

    ``on_call`` answers calls and may raise `ContractRevert`; ``on_transaction`` says what a mined transaction emits, or
    raises `ContractRevert` to make it fail.
    """

    identity: int = 31337
    base_fee_wei: int = 10**9
    tip_wei: int = 10**8
    #: What every account has.
    balance_wei: int = 10**24
    #: Transactions below this fee are refused as underpriced.
    floor_fee_wei: int = 0
    on_call: Callable[[Call], bytes] = lambda call: b""
    on_transaction: Callable[[PoolTransaction], Sequence[Emission]] = lambda transaction: ()
    #: Set to make every method raise it, as an unreachable node does.
    outage: TransientChainError | None = None
    #: Set to make `send_raw` raise it.
    send_error: ChainError | None = None
    #: Largest block range that `logs` serves; 0 = any.
    max_log_range: int = 0
    pool: dict[bytes, PoolTransaction] = field(default_factory=dict)
    blocks: list[MemoryBlock] = field(default_factory=list)
    #: Every raw transaction ever handed to `send_raw`.
    sent: list[bytes] = field(default_factory=list)
    _salt: int = 0

    def __post_init__(self) -> None:
        self.blocks.append(MemoryBlock(header=self._header(0, b"\x00" * 32)))

    def mine(self, count: int = 1, *, emissions: Sequence[Emission] = (), empty: bool = False) -> Block:
        """Appends blocks; the first takes ``emissions`` and, unless ``empty``, what the pool has. Returns the last."""
        for index in range(count):
            header = self._header(len(self.blocks), self.blocks[-1].header.hash)
            self.blocks.append(MemoryBlock(header=header))
            if index == 0:
                self._include(tuple(emissions), empty=empty)
        return self.blocks[-1].header

    def reorganise(self, depth: int, *, keep_transactions: bool = True) -> None:
        """Replaces the last ``depth`` blocks by empty ones; their transactions return to the pool or are lost."""
        dropped = self.blocks[-depth:]
        del self.blocks[-depth:]
        self._salt += 1
        if keep_transactions:
            self.pool.update({item.hash: item for block in dropped for item in block.transactions})
        for _ in range(depth):
            self.blocks.append(MemoryBlock(header=self._header(len(self.blocks), self.blocks[-1].header.hash)))

    def truncate(self, depth: int) -> None:
        """Removes the last ``depth`` blocks without replacement, as a snapshot revert does; transactions are lost."""
        del self.blocks[-depth:]
        self._salt += 1

    def chain_id(self) -> int:
        self._require_up()
        return self.identity

    def block(self, ref: BlockRef) -> Block:
        self._require_up()
        number = self._number(ref)
        if not 0 <= number < len(self.blocks):
            raise BlockUnavailable(f"block {ref} is not known")
        return self.blocks[number].header

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        self._require_up()
        if self.max_log_range and to_block - from_block + 1 > self.max_log_range:
            raise LogRangeRefused("block range too large")
        logs = [log for block in self.blocks[from_block : to_block + 1] for log in block.logs]
        return [log for log in logs if log.address in addresses and _matches(log.topics, topics)]

    def call(self, call: Call, *, block: BlockRef = "latest") -> bytes:
        self._require_up()
        return self.on_call(call)

    def estimate_gas(self, call: Call) -> int:
        self._require_up()
        self.on_call(call)
        return GAS_USED

    def calls(self, calls: Sequence[Call], *, block: BlockRef = "latest") -> list[bytes | ChainError]:
        self._require_up()
        return [_outcome(partial(self.call, item, block=block)) for item in calls]

    def estimates(self, calls: Sequence[Call]) -> list[int | ChainError]:
        self._require_up()
        return [_outcome(partial(self.estimate_gas, item)) for item in calls]

    def nonce(self, address: Address, *, block: BlockRef = "latest") -> int:
        self._require_up()
        upto = self.blocks[: self._number(block) + 1]
        mined = sum(item.sender == address for entry in upto for item in entry.transactions)
        if block != "pending":
            return mined
        pooled = {item.nonce for item in self.pool.values() if item.sender == address}
        while mined in pooled:
            mined += 1
        return mined

    def balance(self, address: Address, *, block: BlockRef = "latest") -> int:
        self._require_up()
        return self.balance_wei

    def code(self, address: Address, *, block: BlockRef = "latest") -> bytes:
        self._require_up()
        return b"\x00"

    def fees(self) -> Fees:
        self._require_up()
        return Fees(base_fee=self.base_fee_wei, tip=self.tip_wei)

    def send_raw(self, raw: bytes) -> bytes:
        self._require_up()
        if self.send_error is not None:
            raise self.send_error
        transaction = _parse(raw)
        self.sent.append(raw)
        if transaction.hash in self.pool or self.receipt(transaction.hash) is not None:
            raise TransactionKnown("already known")
        if transaction.nonce < self.nonce(transaction.sender):
            raise NonceTooLow(f"nonce {transaction.nonce} is used")
        for other in list(self.pool.values()):
            if (other.sender, other.nonce) == (transaction.sender, transaction.nonce):
                if not _replaces(transaction, other):
                    raise TransactionUnderpriced("replacement transaction underpriced")
                del self.pool[other.hash]
        if transaction.max_fee_wei < self.floor_fee_wei:
            raise TransactionUnderpriced("transaction underpriced")
        self.pool[transaction.hash] = transaction
        return transaction.hash

    def send_raws(self, raws: Sequence[bytes]) -> list[bytes | ChainError]:
        self._require_up()
        return [_outcome(partial(self.send_raw, raw)) for raw in raws]

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        self._require_up()
        for block in self.blocks:
            for item in block.transactions:
                if item.hash == transaction_hash:
                    return _receipt(item, block)
        return None

    def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        self._require_up()
        return [self.receipt(item) for item in hashes]

    def is_pending(self, transaction_hash: bytes) -> bool:
        return transaction_hash in self.pool or self.receipt(transaction_hash) is not None

    def _require_up(self) -> None:
        if self.outage is not None:
            raise self.outage

    def _number(self, ref: BlockRef) -> int:
        if isinstance(ref, int):
            return ref
        return 0 if ref == "earliest" else len(self.blocks) - 1

    def _header(self, number: int, parent: bytes) -> Block:
        return Block(
            number=number,
            hash=keccak(parent + number.to_bytes(8, "big") + self._salt.to_bytes(8, "big")),
            parent_hash=parent,
            timestamp=GENESIS_TIMESTAMP + BLOCK_TIME_S * number,
            base_fee=self.base_fee_wei,
        )

    def _include(self, emissions: tuple[Emission, ...], *, empty: bool) -> None:
        logs = [self._log(emission, keccak(b"foreign"), index) for index, emission in enumerate(emissions)]
        self._store(logs=tuple(logs))
        if empty:
            return
        for item in sorted(self.pool.values(), key=lambda transaction: transaction.nonce):
            if item.nonce != self.nonce(item.sender) or item.max_fee_wei < self.base_fee_wei:
                continue
            del self.pool[item.hash]
            self._execute(item)

    def _execute(self, item: PoolTransaction) -> None:
        block = self.blocks[-1]
        try:
            emitted = tuple(self.on_transaction(item))
        except ContractRevert:
            self._store(transactions=(*block.transactions, item), failed=block.failed | {item.hash})
            return
        logs = [self._log(emission, item.hash, len(block.logs) + index) for index, emission in enumerate(emitted)]
        self._store(transactions=(*block.transactions, item), logs=(*block.logs, *logs))

    def _store(
        self,
        *,
        transactions: tuple[PoolTransaction, ...] | None = None,
        failed: frozenset[bytes] | None = None,
        logs: tuple[Log, ...] | None = None,
    ) -> None:
        block = self.blocks[-1]
        self.blocks[-1] = replace(
            block,
            transactions=block.transactions if transactions is None else transactions,
            failed=block.failed if failed is None else failed,
            logs=block.logs if logs is None else logs,
        )

    def _log(self, emission: Emission, transaction_hash: bytes, index: int) -> Log:
        header = self.blocks[-1].header
        return Log(
            address=emission.address,
            topics=emission.topics,
            data=emission.data,
            block_number=header.number,
            block_hash=header.hash,
            transaction_hash=transaction_hash,
            log_index=index,
        )


def _outcome(ask: Callable[[], _Answer]) -> _Answer | ChainError:
    try:
        return ask()
    except ChainError as error:
        return error


def _replaces(new: PoolTransaction, old: PoolTransaction) -> bool:
    """Geth's rule: both fees higher, and by a tenth at least."""
    higher = new.max_fee_wei > old.max_fee_wei and new.tip_wei > old.tip_wei
    return higher and new.max_fee_wei * 10 >= old.max_fee_wei * 11 and new.tip_wei * 10 >= old.tip_wei * 11


def _matches(topics: tuple[bytes, ...], wanted: Sequence[Topic]) -> bool:
    if len(topics) < len(wanted):
        return False
    for topic, allowed in zip(topics, wanted, strict=False):
        if allowed is None:
            continue
        if topic not in ((allowed,) if isinstance(allowed, bytes) else allowed):
            return False
    return True


def _parse(raw: bytes) -> PoolTransaction:
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    return PoolTransaction(
        hash=keccak(raw),
        raw=raw,
        sender=Address(Account.recover_transaction(raw)),
        nonce=int(fields["nonce"]),
        to=Address(to_checksum_address(bytes(fields["to"]))),
        data=bytes(fields["data"]),
        max_fee_wei=int(fields["maxFeePerGas"]),
        tip_wei=int(fields["maxPriorityFeePerGas"]),
    )


def _receipt(item: PoolTransaction, block: MemoryBlock) -> Receipt:
    return Receipt(
        transaction_hash=item.hash,
        block_number=block.header.number,
        block_hash=block.header.hash,
        succeeded=item.hash not in block.failed,
        gas_used=GAS_USED,
        effective_gas_price=min(item.max_fee_wei, block.header.base_fee + item.tip_wei),
        contract_address=None,
        logs=tuple(log for log in block.logs if log.transaction_hash == item.hash),
    )
