"""Follows the logs of some contracts, block range by block range, and notices when the chain changes its mind.

`LogFollower` keeps nothing durable: the caller passes in the block history that it stored with the work of earlier
steps, and stores what comes back in the same database transaction as the work derived from the new logs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import attrgetter, lt
from typing import Final, Protocol

from sworn.chain.gateway import Block, Gateway, Log, Topic
from sworn.chain.history import BlockId, thinned
from sworn.chain.log_window import LogWindow
from sworn.errors import ChainError, LogRangeRefused, TransientChainError
from sworn.types import Address

__all__ = ["BlockId", "Finality", "Follower", "LogFollower", "Step", "in_order"]

#: Depth above which the block hash of every log is compared with its header. Deeper, where ranges hold a million logs,
#: only the ends of a range are: a chain that changes there changes its end as well.
VERIFIED_DEPTH: Final = 64
#: Blocks of the first step: how crowded a chain is shows only once some of it has been read.
_FIRST_RANGE: Final = 64
#: Steps in a row in which the node changed its mind, after which it is left alone for a while.
_MAX_FRUITLESS: Final = 3
_PLACE: Final = attrgetter("block_number", "log_index")


class Finality(Enum):
    """When a block counts as settled enough to be followed."""

    #: So many blocks lie above it.
    CONFIRMATIONS = "confirmations"
    #: The chain calls it safe: it would take a third of the stake to undo it.
    SAFE = "safe"
    #: The chain calls it finalized.
    FINALIZED = "finalized"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The outcome of one step. Apply in this order: rewind, logs, history."""

    #: Everything above this block is void; None = nothing is.
    rewound_to: int | None = None
    logs: tuple[Log, ...] = ()
    #: The whole history to store, oldest first; its last entry is the cursor.
    history: tuple[BlockId, ...]
    #: Whether this step reached the newest block that is settled enough.
    caught_up: bool
    #: Followed blocks that a rewind voids; 0 = there was none.
    reorg_depth: int = 0


class Follower(Protocol):
    """Reads the next logs after a history."""

    def step(self, history: Sequence[BlockId]) -> Step: ...


@dataclass(slots=True, kw_only=True)
class LogFollower:
    """A `Follower` by ``eth_getLogs``.

    ``confirmations`` 0 follows the newest block. ``history_length`` is the number of steps of which every one is
    remembered; a reorganisation deeper than that is undone further than it reaches, by a factor, not to the start.
    """

    gateway: Gateway
    addresses: tuple[Address, ...]
    topics: tuple[Topic, ...]
    start_block: int
    confirmations: int = 0
    finality: Finality = Finality.CONFIRMATIONS
    max_range: int = 2_000
    #: Logs of one step that are aimed at: what a caller holds in memory and stores in one transaction.
    max_logs: int = 20_000
    history_length: int = 64
    _window: LogWindow = field(init=False)
    _fruitless: int = field(default=0, init=False)
    _followed: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._followed = frozenset(address.lower() for address in self.addresses)
        self._window = LogWindow(self.max_range, most_logs=self.max_logs, first=_FIRST_RANGE)

    def step(self, history: Sequence[BlockId]) -> Step:
        """The next logs, or a rewind, or nothing. Raises `ChainError` when the node fails or contradicts itself."""
        known = tuple(history)
        head = self.gateway.block("latest")
        if known and not self._stands(known[-1], head):
            # SAFETY: work is not thrown away because of a newest block that the node itself does not stand by.
            if self.gateway.block(head.number).hash != head.hash:
                return self._again(known)
            return self._rewind(known, head)
        first = known[-1].number + 1 if known else self.start_block
        settled = self._settled(head)
        if first > settled:
            return Step(history=known, caught_up=True)
        last = min(first + self._window.size - 1, settled)
        before = self._header(last, head)
        if known and self._header(first, head).parent_hash != known[-1].hash:
            # The chain changed between two reads; the next step sees it whole.
            return self._again(known)
        logs = self._logs(first, last)
        # SAFETY: the same header before and after means that the logs in between came from its chain.
        if logs is None or self.gateway.block(last).hash != before.hash:
            return self._again(known)
        self._check(logs, first, before, head)
        self._fruitless = 0
        grown = thinned((*known, BlockId(number=last, hash=before.hash)), dense=self.history_length)
        return Step(logs=tuple(logs), history=grown, caught_up=last == settled)

    def _settled(self, head: Block) -> int:
        if self.finality is Finality.CONFIRMATIONS:
            return head.number - self.confirmations
        tag = self.gateway.block("safe" if self.finality is Finality.SAFE else "finalized")
        return min(tag.number, head.number)

    def _header(self, number: int, head: Block) -> Block:
        return head if number == head.number else self.gateway.block(number)

    def _stands(self, block: BlockId, head: Block) -> bool:
        # A node that is behind knows nothing about the block: no reason to throw work away.
        return block.number > head.number or self._header(block.number, head).hash == block.hash

    def _rewind(self, known: tuple[BlockId, ...], head: Block) -> Step:
        """Back to the newest block that still stands: a chain's blocks stand up to one, and none above it does."""
        standing = bisect_left(known, 1, key=lambda block: int(self._header(block.number, head).hash != block.hash))
        cut = known[standing - 1].number if standing else self.start_block - 1
        return Step(
            rewound_to=cut, history=known[:standing], caught_up=False, reorg_depth=max(known[-1].number - cut, 0)
        )

    def _again(self, known: tuple[BlockId, ...]) -> Step:
        self._fruitless += 1
        if self._fruitless > _MAX_FRUITLESS:
            self._fruitless = 0
            raise TransientChainError("the node keeps changing its mind about the newest blocks")
        return Step(history=known, caught_up=False)

    def _logs(self, first: int, last: int) -> list[Log] | None:
        """The logs of a range; None, and a smaller range next time, when it was too large for the node."""
        span = last - first + 1
        try:
            found = self.gateway.logs(addresses=self.addresses, topics=self.topics, from_block=first, to_block=last)
        except LogRangeRefused:
            if span == 1:
                raise
            self._window.refused(span)
            # Halving ends at one block: this is not a node that changes its mind.
            self._fruitless = 0
            return None
        except ChainError:
            # A node that chokes on a range often just stays silent.
            if span > 1:
                self._window.refused(span)
            raise
        self._window.served(span, len(found))
        return in_order(found)

    def _check(self, logs: Sequence[Log], first: int, last: Block, head: Block) -> None:
        """Raises `TransientChainError` unless the logs are of these blocks and contracts."""
        # A range has a handful of contracts and of blocks, and perhaps very many logs.
        blocks = sorted({(log.block_number, log.block_hash) for log in logs})
        strange = any(address.lower() not in self._followed for address in {log.address for log in logs})
        if strange or (blocks and not first <= blocks[0][0] <= blocks[-1][0] <= last.number):
            raise TransientChainError("the node answered with logs that were not asked for")
        hashes = {last.number: last.hash}
        for number, block_hash in blocks:
            known = hashes.get(number)
            if known is None and number > head.number - VERIFIED_DEPTH:
                known = self._header(number, head).hash
            if hashes.setdefault(number, known or block_hash) != block_hash:
                raise TransientChainError(f"the node's logs of block {number} are of another block")


def in_order(logs: Sequence[Log]) -> list[Log]:
    """The logs in chain order, each once. Raises `TransientChainError` when two claim to be the same one."""
    places = list(map(_PLACE, logs))
    if all(map(lt, places, places[1:])):
        return list(logs)
    ordered: list[Log] = []
    for log in sorted(logs, key=_PLACE):
        if not ordered or (log.block_number, log.log_index) != (ordered[-1].block_number, ordered[-1].log_index):
            ordered.append(log)
        elif log != ordered[-1]:
            raise TransientChainError(f"the node has two logs {log.log_index} in block {log.block_number}")
    return ordered
