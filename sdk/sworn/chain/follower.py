"""Follows the logs of some contracts, block range by block range, and notices when the chain changes its mind.

`LogFollower` keeps nothing durable: the caller passes in the block history that it stored with the work of earlier
steps, and stores what comes back in the same database transaction as the work derived from the new logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sworn.chain.gateway import Block, Gateway, Log, Topic
from sworn.errors import ChainError
from sworn.types import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockId:
    """A block that has been followed up to."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The outcome of one step. Apply in this order: rewind, logs, history."""

    #: Everything above this block is void; None = nothing is.
    rewound_to: int | None = None
    logs: tuple[Log, ...] = ()
    #: The whole history to store, oldest first; its last entry is the cursor.
    history: tuple[BlockId, ...]
    #: Whether this step reached the newest block that has enough confirmations.
    caught_up: bool


class Follower(Protocol):
    """Reads the next logs after a history."""

    def step(self, history: Sequence[BlockId]) -> Step: ...


@dataclass(slots=True, kw_only=True)
class LogFollower:
    """A `Follower` by ``eth_getLogs``.

    ``confirmations`` 0 follows the newest block. ``history_length`` bounds the depth of a reorg that is undone
    precisely; a deeper one rewinds to ``start_block``.
    """

    gateway: Gateway
    addresses: tuple[Address, ...]
    topics: tuple[Topic, ...]
    start_block: int
    confirmations: int = 0
    max_range: int = 2_000
    history_length: int = 128
    _range: int = field(init=False)

    def __post_init__(self) -> None:
        self._range = self.max_range

    def step(self, history: Sequence[BlockId]) -> Step:
        """The next logs, or a rewind, or nothing. Raises `ChainError` when the node fails at the smallest range."""
        known = tuple(history)
        head = self.gateway.block("latest")
        if known and not self._stands(known[-1], head):
            return self._rewind(known, head)
        first = known[-1].number + 1 if known else self.start_block
        safe = head.number - self.confirmations
        if first > safe:
            return Step(history=known, caught_up=True)
        last = min(first + self._range - 1, safe)
        before = self._header(last, head)
        if known and self._header(first, head).parent_hash != known[-1].hash:
            # The chain changed between two reads; the next step sees it whole.
            return Step(history=known, caught_up=False)
        logs = self._logs(first, last)
        # SAFETY: the same header before and after means that the logs in between came from its chain.
        if logs is None or self.gateway.block(last).hash != before.hash:
            return Step(history=known, caught_up=False)
        grown = (*known, BlockId(number=last, hash=before.hash))[-self.history_length :]
        return Step(logs=tuple(logs), history=grown, caught_up=last == safe)

    def _header(self, number: int, head: Block) -> Block:
        return head if number == head.number else self.gateway.block(number)

    def _stands(self, block: BlockId, head: Block) -> bool:
        # A node that is behind knows nothing about the block: no reason to throw work away.
        return block.number > head.number or self._header(block.number, head).hash == block.hash

    def _rewind(self, known: tuple[BlockId, ...], head: Block) -> Step:
        for length in range(len(known) - 1, 0, -1):
            ancestor = known[length - 1]
            if ancestor.number <= head.number and self._header(ancestor.number, head).hash == ancestor.hash:
                return Step(rewound_to=ancestor.number, history=known[:length], caught_up=False)
        return Step(rewound_to=self.start_block - 1, history=(), caught_up=False)

    def _logs(self, first: int, last: int) -> list[Log] | None:
        """The logs of a range; None, and a smaller range next time, when the node could not serve it."""
        try:
            logs = self.gateway.logs(addresses=self.addresses, topics=self.topics, from_block=first, to_block=last)
        except ChainError:
            if self._range == 1:
                raise
            self._range = max(min(self._range, last - first + 1) // 2, 1)
            return None
        self._range = min(self._range * 2, self.max_range)
        return logs
