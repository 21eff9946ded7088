"""One endpoint of several: a node behind a `Gateway`, what is known of its health, its head and its limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final

from sworn.chain.endpoints_health import Breaker, Latency, Pace, Rests
from sworn.chain.endpoints_relay import Answer, Relay
from sworn.chain.follower import in_order
from sworn.chain.gateway import Block, Gateway, Log, Topic
from sworn.chain.log_window import LogWindow
from sworn.chain.pacing import Sleep
from sworn.chain.telemetry import NO_CHAIN_TELEMETRY, ChainTelemetry
from sworn.errors import (
    BlockUnavailable,
    ChainError,
    ChainIdMismatch,
    ConfigurationError,
    ContractRevert,
    LogRangeRefused,
    RateLimited,
    SwornError,
    TransactionRejected,
    TransactionReverted,
    TransientChainError,
)
from sworn.types import Address

#: Errors that are about the question: every node would say the same.
ABOUT_THE_QUESTION: Final = (ContractRevert, TransactionRejected, TransactionReverted)
#: Range of the first log query, where nothing else is said.
DEFAULT_LOG_RANGE: Final = 10_000
#: Logs of one answer that is put together from several.
MOST_LOGS: Final = 100_000
#: Blocks by which a head may grow between two looks without having to show the block below it.
_PLAIN_GROWTH: Final = 64


class NoticeKind(Enum):
    """What an operator may want to know about endpoints."""

    #: It fails, asked for rest, or said what cannot be; others are asked meanwhile.
    LEFT_ALONE = "left_alone"
    #: It answers again.
    BACK = "back"
    #: Another endpoint is asked from now on.
    SWITCHED = "switched"
    #: Endpoints contradict each other and there is no majority: nothing is acted on.
    DISAGREEMENT = "disagreement"
    #: It said what the majority of the others contradicts.
    CONTRADICTED = "contradicted"
    #: Its newest block is far from that of the others.
    ASTRAY = "astray"
    #: Its newest block is older than one that it, or another, has shown before.
    WENT_BACK = "went_back"
    #: No new block for much longer than usual.
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something about an endpoint that an operator may want to know."""

    kind: NoticeKind
    #: The endpoint's name; a masked host.
    endpoint: str
    reason: str


_ONCE_IN_A_WHILE: Final = (
    NoticeKind.DISAGREEMENT,
    NoticeKind.CONTRADICTED,
    NoticeKind.ASTRAY,
    NoticeKind.WENT_BACK,
    NoticeKind.SWITCHED,
)
_WHILE_S: Final = 60.0

Notify = Callable[[Notice], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The newest block of an endpoint, as it last said."""

    head: Block
    #: Monotonic seconds at which it was first said.
    since: float
    #: The one that it said before; None = this is the first.
    before: Block | None


class Endpoint(Relay):
    """A node. Everything that is asked of it is counted, paced and timed; nothing is asked again."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        name: str,
        chain_id: int | None = None,
        max_log_range: int = DEFAULT_LOG_RANGE,
        requests_per_second: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = time.sleep,
        random: Random | None = None,
        rests: Rests | None = None,
        telemetry: ChainTelemetry = NO_CHAIN_TELEMETRY,
        notify: Notify = lambda notice: None,
    ) -> None:
        #: A masked host: it is logged and counted.
        self.name = name
        self.breaker = Breaker(clock=clock, random=random or Random(), rests=rests or Rests())  # noqa: S311
        self.latency = Latency()
        self.window = LogWindow(max_log_range)
        self.telemetry = telemetry
        self.notify = notify
        self.sighting: Sighting | None = None
        self._gateway = gateway
        self._chain_id = chain_id
        self._identified = chain_id is None
        self._clock = clock
        self._pace = Pace(requests_per_second, clock=clock, sleep=sleep)
        self._alone = False
        self._told: dict[NoticeKind, float] = {}

    def __repr__(self) -> str:
        return f"Endpoint({self.name})"

    def sight(self) -> Sighting:
        """Asks for the newest block. Raises `ChainError`, for one that leaps ahead and has nothing below it, too."""
        head = self._ask(lambda node: node.block("latest"))
        known = self.sighting
        if known is not None and head.number > known.head.number + _PLAIN_GROWTH:
            self._require_parent(head)
        if known is None or known.head.hash != head.hash:
            known = Sighting(head=head, since=self._clock(), before=None if known is None else known.head)
            self.sighting = known
        return known

    def tell(self, kind: NoticeKind, reason: str) -> None:
        """Lets the operator know; the same kind of thing, which may happen at every turn, once in a while."""
        now = self._clock()
        if kind not in _ONCE_IN_A_WHILE or now - self._told.get(kind, -_WHILE_S) >= _WHILE_S:
            self._told[kind] = now
            self.notify(Notice(kind=kind, endpoint=self.name, reason=reason))

    def ban(self, reason: str) -> None:
        """Leaves it alone for a while: it said what cannot be."""
        self.breaker.ban(reason)
        self.telemetry.rpc(self.name, "wrong", 0.0)
        self._left_alone()

    def identify(self) -> None:
        """Asks which chain it serves, unless that is known. Raises `ChainIdMismatch`, and bars it, if another one."""
        if self._identified:
            return
        served = self._counted(lambda node: node.chain_id(), requests=1)
        if served != self._chain_id:
            self.ban(f"it serves chain {served}")
            raise ChainIdMismatch(f"{self.name} serves chain {served}, not {self._chain_id}")
        self._identified = True

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        """Events in a closed block range, asked for in as large ranges as the node is known to serve."""
        found: list[Log] = []
        first = from_block
        while first <= to_block:
            last = min(first + self.window.size - 1, to_block)
            part = self._range(addresses, topics, first, last)
            if part is None:
                continue
            found += part
            first = last + 1
            if len(found) > MOST_LOGS and first <= to_block:
                # All of them are held in memory at once: whoever asks is to ask for less.
                raise LogRangeRefused(f"blocks {from_block} to {last} alone have {len(found)} logs")
        return in_order(found)

    def _require_parent(self, head: Block) -> None:
        """Raises `TransientChainError`, and bans it, if its newest block stands on nothing."""
        try:
            stands = self._ask(lambda node: node.block(head.number - 1)).hash == head.parent_hash
        except BlockUnavailable:
            stands = False
        if not stands:
            reason = f"its newest block {head.number} stands on no block that it has"
            self.ban(reason)
            raise TransientChainError(f"{self.name}: {reason}")

    def _range(self, addresses: Sequence[Address], topics: Sequence[Topic], first: int, last: int) -> list[Log] | None:
        span = last - first + 1
        try:
            part = self._ask(
                lambda node: node.logs(addresses=addresses, topics=topics, from_block=first, to_block=last)
            )
        except LogRangeRefused:
            if span == 1:
                raise
            self.window.refused(span)
            return None
        except ChainError:
            # A node that chokes on a range often just stays silent: the next one is smaller.
            if span > 1:
                self.window.refused(span)
            raise
        self.window.served(span, len(part))
        return part

    def _ask(self, question: Callable[[Gateway], Answer], *, requests: int = 1) -> Answer:
        if self.breaker.barred:
            raise TransientChainError(f"{self.name} is not asked for now: {self.breaker.reason}")
        self.identify()
        return self._counted(question, requests=requests)

    def _counted(self, question: Callable[[Gateway], Answer], *, requests: int) -> Answer:
        self._pace.take(requests)
        begun = self._clock()
        try:
            answer = question(self._gateway)
        except ABOUT_THE_QUESTION:
            self._answered(begun)
            raise
        except SwornError as error:
            self._failed(error, begun)
            raise
        self._answered(begun)
        return answer

    def _answered(self, begun: float) -> None:
        seconds = self._clock() - begun
        self.latency.sample(seconds)
        self.breaker.succeeded()
        self.telemetry.rpc(self.name, "ok", seconds)
        if self._alone and not self.breaker.resting:
            self._alone = False
            self.tell(NoticeKind.BACK, "it answers again")

    def _failed(self, error: SwornError, begun: float) -> None:
        outcome = "error"
        if isinstance(error, RateLimited):
            self.breaker.limited(error.retry_after_s)
            outcome = "limited"
        elif isinstance(error, BlockUnavailable):
            # It is behind, or was asked for what it cannot know: no failure of its own.
            outcome = "unavailable"
        elif isinstance(error, TransientChainError | ConfigurationError):
            if self.breaker.failed(str(error)):
                # Behind the same URL there may be another node when it comes back.
                self._identified = self._chain_id is None
            outcome = "unavailable"
        self.telemetry.rpc(self.name, outcome, self._clock() - begun)
        if self.breaker.resting:
            self._left_alone()

    def _left_alone(self) -> None:
        if not self._alone:
            self._alone = True
            self.tell(NoticeKind.LEFT_ALONE, self.breaker.reason)
