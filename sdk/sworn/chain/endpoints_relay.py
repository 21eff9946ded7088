"""A `Gateway` that hands every question on to another one: what endpoints and their failover have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from sworn.chain.gateway import Block, BlockRef, Call, Fees, Gateway, Log, Receipt, Topic
from sworn.errors import ChainError
from sworn.types import Address

Answer = TypeVar("Answer")


class Relay(ABC):
    """Implements `Gateway` by one method that decides who is asked, and when."""

    @abstractmethod
    def _ask(self, question: Callable[[Gateway], Answer], *, requests: int = 1) -> Answer:
        """Puts a question that costs so many requests."""

    def chain_id(self) -> int:
        return self._ask(lambda node: node.chain_id())

    def block(self, ref: BlockRef) -> Block:
        return self._ask(lambda node: node.block(ref))

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        return self._ask(
            lambda node: node.logs(addresses=addresses, topics=topics, from_block=from_block, to_block=to_block)
        )

    def call(self, call: Call, *, block: BlockRef = "latest") -> bytes:
        return self._ask(lambda node: node.call(call, block=block))

    def calls(self, calls: Sequence[Call], *, block: BlockRef = "latest") -> list[bytes | ChainError]:
        return self._ask(lambda node: node.calls(calls, block=block), requests=len(calls))

    def estimate_gas(self, call: Call) -> int:
        return self._ask(lambda node: node.estimate_gas(call))

    def estimates(self, calls: Sequence[Call]) -> list[int | ChainError]:
        return self._ask(lambda node: node.estimates(calls), requests=len(calls))

    def nonce(self, address: Address, *, block: BlockRef = "latest") -> int:
        return self._ask(lambda node: node.nonce(address, block=block))

    def balance(self, address: Address, *, block: BlockRef = "latest") -> int:
        return self._ask(lambda node: node.balance(address, block=block))

    def code(self, address: Address, *, block: BlockRef = "latest") -> bytes:
        return self._ask(lambda node: node.code(address, block=block))

    def fees(self) -> Fees:
        return self._ask(lambda node: node.fees(), requests=2)

    def send_raw(self, raw: bytes) -> bytes:
        return self._ask(lambda node: node.send_raw(raw))

    def send_raws(self, raws: Sequence[bytes]) -> list[bytes | ChainError]:
        return self._ask(lambda node: node.send_raws(raws), requests=len(raws))

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        return self._ask(lambda node: node.receipt(transaction_hash))

    def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        return self._ask(lambda node: node.receipts(hashes), requests=len(hashes))

    def is_pending(self, transaction_hash: bytes) -> bool:
        return self._ask(lambda node: node.is_pending(transaction_hash))
