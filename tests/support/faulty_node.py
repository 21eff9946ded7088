"""A node on its worst days, behind the `Gateway` Protocol: late, forgetful, behind its head, and not always there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from sworn.chain.gateway import Block, BlockRef, Call, Fees, Log, Receipt, Topic
from sworn.errors import ChainError, TransactionUnderpriced, TransientChainError
from sworn.testing.gateway import MemoryGateway
from sworn.types import Address


@dataclass(slots=True, kw_only=True)
class FaultyNode:
    """Stands before a chain; every answer may fail, come late, or come from a node that is some blocks behind."""

    chain: MemoryGateway = field(default_factory=MemoryGateway)
    random: Random
    #: Share of the requests that fail.
    outage_share: float = 0.0
    #: Share of the broadcasts that the node takes without saying so.
    silence_share: float = 0.0
    #: Blocks that the node which answers may be behind.
    most_lag: int = 0
    #: Blocks that it is behind in any case.
    lag: int = 0
    #: Called with each raw transaction before the node sees it.
    on_raw: Callable[[bytes], None] = lambda raw: None
    #: What the node has against a raw transaction besides what the chain has.
    objection: Callable[[bytes], ChainError | None] = lambda raw: None
    #: What was refused as a replacement of what, by hash of the raw transactions' nonces' owner in the pool.
    refused: list[tuple[bytes, bytes]] = field(default_factory=list)
    #: Items asked for, by method.
    asked: Counter[str] = field(default_factory=Counter)

    def chain_id(self) -> int:
        return self.chain.chain_id()

    def block(self, ref: BlockRef) -> Block:
        self._count("block")
        return self.chain.block(self._height() if ref == "latest" else ref)

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        self._count("logs")
        return self.chain.logs(addresses=addresses, topics=topics, from_block=from_block, to_block=to_block)

    def call(self, call: Call, *, block: BlockRef = "latest") -> bytes:
        self._count("call")
        return self.chain.call(call, block=block)

    def calls(self, calls: Sequence[Call], *, block: BlockRef = "latest") -> list[bytes | ChainError]:
        self._count("calls", len(calls))
        return self.chain.calls(calls, block=block)

    def estimate_gas(self, call: Call) -> int:
        self._count("estimate_gas")
        return self.chain.estimate_gas(call)

    def estimates(self, calls: Sequence[Call]) -> list[int | ChainError]:
        self._count("estimates", len(calls))
        return self.chain.estimates(calls)

    def nonce(self, address: Address, *, block: BlockRef = "latest") -> int:
        self._count("nonce")
        height = self._height()
        if isinstance(block, int) and block > height:
            raise TransientChainError("header not found")
        return self.chain.nonce(address, block=height if block == "latest" else block)

    def balance(self, address: Address, *, block: BlockRef = "latest") -> int:
        self._count("balance")
        return self.chain.balance(address, block=block)

    def code(self, address: Address, *, block: BlockRef = "latest") -> bytes:
        self._count("code")
        return self.chain.code(address, block=block)

    def fees(self) -> Fees:
        self._count("fees")
        return self.chain.fees()

    def send_raw(self, raw: bytes) -> bytes:
        (answer,) = self.send_raws([raw])
        if isinstance(answer, ChainError):
            raise answer
        return answer

    def send_raws(self, raws: Sequence[bytes]) -> list[bytes | ChainError]:
        self._count("send_raws", len(raws))
        silent = TransientChainError("request timed out")
        answers = [self._taken(raw) for raw in raws]
        return [silent if self.random.random() < self.silence_share else answer for answer in answers]

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        return self.receipts([transaction_hash])[0]

    def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        self._count("receipts", len(hashes))
        height = self._height()
        found = self.chain.receipts(hashes)
        return [item if item is not None and item.block_number <= height else None for item in found]

    def is_pending(self, transaction_hash: bytes) -> bool:
        self._count("is_pending")
        found = self.chain.receipt(transaction_hash)
        # A node that is behind has not heard of the transaction either, as bad luck would have it.
        return transaction_hash in self.chain.pool if found is None else found.block_number <= self._height()

    def forget(self, share: float) -> None:
        """Drops that share of the pool."""
        pool = self.chain.pool
        self.chain.pool = {key: item for key, item in pool.items() if self.random.random() >= share}

    def calm(self) -> None:
        """Ends the faults."""
        self.outage_share = self.silence_share = 0.0
        self.lag = self.most_lag = 0
        self.chain.base_fee_wei = 10**9
        self.chain.balance_wei = 10**24
        self.objection = lambda raw: None

    def _taken(self, raw: bytes) -> bytes | ChainError:
        self.on_raw(raw)
        before = dict(self.chain.pool)
        try:
            if objection := self.objection(raw):
                return objection
            return self.chain.send_raw(raw)
        except ChainError as error:
            if isinstance(error, TransactionUnderpriced) and "replacement" in str(error):
                self.refused += [(raw, item.raw) for item in before.values()]
            return error

    def _height(self) -> int:
        return max(len(self.chain.blocks) - 1 - self.lag - self.random.randint(0, self.most_lag), 0)

    def _count(self, method: str, items: int = 1) -> None:
        self.asked[method] += items
        if self.random.random() < self.outage_share:
            raise TransientChainError(f"{method}: nothing came back")
