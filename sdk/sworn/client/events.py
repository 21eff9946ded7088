# Generated from client/async_events.py by scripts/generate_sync.py; do not edit.
"""The contracts' events as a stream that can be resumed and that says when a reorg takes events back.

The stream yields `Event` and `Rewound`. After a `Rewound`, every event above its block is void; those of the new chain
follow. Each item carries a cursor; a stream that starts with a cursor goes on right behind it. When the cursor's block
has been reorganised away while nobody listened, the stream starts with a `Rewound` that goes `RESUME_DEPTH` blocks
back, as it cannot know where the chains parted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from sworn import abi
from sworn.chain.deployment_files import CONTRACTS
from sworn.chain.gateway import Block, Log
from sworn.chain.pacing import Pacing, Sleep
from sworn.client.contracts import MAX_RANGE, Contracts
from sworn.client.records import Cursor, Event, Rewound
from sworn.errors import CodecError, TransientChainError
from sworn.types import RequestId

#: Blocks that a resumed stream goes back when its cursor's block is gone; no chain with finality goes deeper.
RESUME_DEPTH: Final = 128
#: Blocks whose hashes a running stream remembers.
HISTORY: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One look at the chain: either a rewind, or logs behind ``seen``, or nothing."""

    history: tuple[Cursor, ...]
    logs: tuple[Log, ...] = ()
    seen: Cursor | None = None
    rewound: Rewound | None = None
    caught_up: bool = False


class Events:
    """Reads the logs of one deployment in bounded ranges."""

    def __init__(self, *, contracts: Contracts, pacing: Pacing, sleep: Sleep) -> None:
        self._contracts = contracts
        self._pacing = pacing
        self._sleep = sleep
        self._names = {getattr(contracts.deployment, field): name for field, name in CONTRACTS.items()}

    def stream(
        self,
        *,
        from_block: int | None,
        cursor: Cursor | None,
        request_id: RequestId | None,
        names: Collection[str] | None,
        confirmations: int,
        follow: bool,
    ) -> Iterator[Event | Rewound]:
        """Events from a block or behind a cursor on; ``follow`` False ends at the latest confirmed block."""
        history: tuple[Cursor, ...] = () if cursor is None else (cursor,)
        start = self._contracts.deployment.block if from_block is None else from_block
        while True:
            try:
                step = self._step(history, start=start, confirmations=confirmations)
            except TransientChainError:
                if not follow:
                    raise
                self._sleep(self._pacing.poll_s)
                continue
            if step.rewound is not None:
                yield step.rewound
            yield from self._events(step.logs, seen=step.seen, request_id=request_id, names=names)
            if step.caught_up and not follow:
                return
            if step.history == history:
                self._sleep(self._pacing.poll_s)
            history = step.history[-HISTORY:]

    def _step(self, history: tuple[Cursor, ...], *, start: int, confirmations: int) -> _Step:
        head = self._contracts.head()
        standing = self._standing(history, head)
        if standing != history:
            ground = standing or (self._older_ground(history[0], start=start),)
            return _Step(history=ground, rewound=Rewound(block_number=ground[-1].block_number, cursor=ground[-1]))
        seen = history[-1] if history else None
        first = start if seen is None else seen.block_number + (1 if seen.log_index is None else 0)
        last = min(first + MAX_RANGE - 1, head.number - confirmations)
        if first > last:
            return _Step(history=history, caught_up=True)
        tip = self._header(last, head)
        if seen is not None and not self._follows(seen, first, head):
            # The chain changed between two reads; the next step sees it whole.
            return _Step(history=history)
        logs = self._contracts.logs_between(tuple(self._names), (), first, last)
        # SAFETY: the same header before and after means that the logs in between came from its chain.
        if (self._contracts.gateway.block(last)).hash != tip.hash:
            return _Step(history=history)
        grown = (*history, Cursor(block_number=tip.number, block_hash=tip.hash))
        return _Step(history=grown, logs=tuple(logs), seen=seen)

    def _header(self, number: int, head: Block) -> Block:
        return head if number == head.number else self._contracts.gateway.block(number)

    def _follows(self, seen: Cursor, first: int, head: Block) -> bool:
        return first == seen.block_number or (self._header(first, head)).parent_hash == seen.block_hash

    def _standing(self, history: tuple[Cursor, ...], head: Block) -> tuple[Cursor, ...]:
        """The part of the history that the chain still has."""
        for length in range(len(history), 0, -1):
            known = history[length - 1]
            if known.block_number > head.number:
                # A node that is behind knows nothing about the block: no reason to take events back.
                return history[:length]
            if (self._header(known.block_number, head)).hash == known.block_hash:
                return history[:length]
        return ()

    def _older_ground(self, lost: Cursor, *, start: int) -> Cursor:
        number = max(lost.block_number - RESUME_DEPTH, start - 1, 0)
        block = self._contracts.gateway.block(number)
        return Cursor(block_number=block.number, block_hash=block.hash)

    def _events(
        self, logs: tuple[Log, ...], *, seen: Cursor | None, request_id: RequestId | None, names: Collection[str] | None
    ) -> list[Event]:
        events = [self._event(log) for log in logs if not _covers(seen, log)]
        return [
            event
            for event in events
            if event is not None
            and (names is None or event.name in names)
            and (request_id is None or event.request_id == request_id)
        ]

    def _event(self, log: Log) -> Event | None:
        contract = self._names[log.address]
        try:
            decoded = abi.interface(contract).decode_log(log.topics, log.data)
        except CodecError:
            # An event that is not in the ABI, such as EIP712DomainChanged of a library, concerns nobody here.
            return None
        return Event(
            name=decoded.name,
            contract=contract,
            arguments=decoded.arguments,
            request_id=decoded.arguments.get("requestId"),
            block_number=log.block_number,
            transaction_hash=log.transaction_hash,
            cursor=Cursor(block_number=log.block_number, block_hash=log.block_hash, log_index=log.log_index),
        )


def _covers(seen: Cursor | None, log: Log) -> bool:
    if seen is None or log.block_number != seen.block_number:
        return False
    return seen.log_index is None or log.log_index <= seen.log_index
