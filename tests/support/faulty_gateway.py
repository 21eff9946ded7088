"""A node in memory that shares its chain with others and does wrong what it is told to do wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from eth_utils.crypto import keccak

from sworn.chain.endpoints_node import Endpoint, Notice
from sworn.chain.endpoints_relay import Answer, Relay
from sworn.chain.gateway import Block, BlockRef, Gateway, Log, Topic
from sworn.errors import BlockUnavailable, LogRangeRefused, SwornError
from sworn.testing.gateway import MemoryBlock, MemoryGateway
from sworn.types import Address


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds


class FaultyGateway(Relay):
    """A `Gateway` on a shared chain; every attribute may be changed at any time."""

    def __init__(self, chain: MemoryGateway, clock: Clock | None = None) -> None:
        self.chain = chain
        self._clock = clock
        #: Raised by every method.
        self.error: SwornError | None = None
        #: Seconds that every answer takes.
        self.takes_s = 0.0
        #: Blocks by which everything is old.
        self.lag = 0
        #: The blocks that it believes in instead of the chain's.
        self.fork: list[MemoryBlock] | None = None
        #: Blocks by which a newest block is made up.
        self.ahead = 0
        #: Numbers of blocks whose hash it gets wrong.
        self.wrong: Callable[[int], bool] = lambda number: False
        #: Which logs it leaves out of ranges, and of receipts.
        self.omits: Callable[[Log], bool] = lambda log: False
        #: Longest log range; 0 = any.
        self.max_range = 0
        self.repeats_logs = False
        #: The number that it gives for "safe" and "finalized"; None = the chain's.
        self.final: int | None = None
        self.asked: Counter[str] = Counter()

    @property
    def head(self) -> int:
        """Its newest block."""
        blocks = self.chain.blocks if self.fork is None else self.fork
        return max(len(blocks) - 1 - self.lag, 0)

    def _ask(self, question: Callable[[Gateway], Answer], *, requests: int = 1) -> Answer:
        self._suffer("other")
        return question(self.chain)

    def block(self, ref: BlockRef) -> Block:
        self._suffer("block")
        blocks = self.chain.blocks if self.fork is None else self.fork
        if ref in ("safe", "finalized") and self.final is not None:
            ref = self.final
        number = ref if isinstance(ref, int) else self.head
        if not 0 <= number <= self.head:
            raise BlockUnavailable(f"no block {ref}")
        header = blocks[number].header
        if ref == "latest" and self.ahead:
            made_up = keccak(header.hash)
            return replace(header, number=header.number + self.ahead, hash=made_up, parent_hash=made_up)
        return replace(header, hash=keccak(header.hash)) if self.wrong(number) else header

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        self._suffer("logs")
        if self.max_range and to_block - from_block >= self.max_range:
            raise LogRangeRefused("too many blocks")
        blocks = self.chain.blocks if self.fork is None else self.fork
        found = [log for block in blocks[from_block : min(to_block, self.head) + 1] for log in block.logs]
        kept = [log for log in found if not self.omits(log) and log.address in addresses]
        return [*kept, *kept] if self.repeats_logs else kept

    def _suffer(self, method: str) -> None:
        self.asked[method] += 1
        if self._clock is not None:
            self._clock.sleep(self.takes_s)
        if self.error is not None:
            raise self.error


def endpoint_over(
    node: Gateway, name: str, clock: Clock, notices: list[Notice] | None = None, **terms: object
) -> Endpoint:
    """An endpoint whose time is the test's."""
    heard = [] if notices is None else notices
    return Endpoint(node, name=name, clock=clock, sleep=clock.sleep, notify=heard.append, **terms)  # type: ignore[arg-type]
