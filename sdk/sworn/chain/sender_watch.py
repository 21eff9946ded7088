"""What a sender remembers between two rounds. Losing it costs a moment, never a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sworn.chain.transactions import TransactionRecord
from sworn.errors import FundsTooLow, NonceTooLow, TransactionRejected, TransactionUnderpriced

#: Seconds between two looks into the node's pool while the chain moves on.
POOL_CHECK_S: Final = 5.0
#: What a node says of a transaction that it would say again a moment later.
_LASTING: Final = frozenset(kind.__name__ for kind in (FundsTooLow, NonceTooLow, TransactionRejected))


class Watch:
    """How the chain moved since the transactions were signed, and which of them the fee cap holds back."""

    def __init__(self) -> None:
        self._head = -1
        self._chain_nonce = -1
        self._looked_at = float("-inf")
        self._seen: dict[bytes, int] = {}
        self._held: set[str] = set()
        self.pool_is_due = True

    def look(self, waiting: Sequence[TransactionRecord], *, head: int, chain_nonce: int, now: float) -> None:
        """Takes in one round's view of the chain."""
        # A block without the foremost one is a first sign that the node has lost it.
        passed_over = head > self._head and chain_nonce == self._chain_nonce
        self.pool_is_due = passed_over or not 0 <= now - self._looked_at < POOL_CHECK_S
        if self.pool_is_due:
            self._looked_at = now
        self._head, self._chain_nonce = head, chain_nonce
        newest = [record.attempts[-1].hash for record in waiting]
        self._seen = {item: self._seen.get(item, head) for item in newest}
        self._held &= {record.key for record in waiting}

    def has_seen_blocks_since(self, record: TransactionRecord) -> bool:
        """Whether a block has come since the record's newest form was first waited for."""
        return self._head > self._seen.get(record.attempts[-1].hash, self._head)

    def retries(self, record: TransactionRecord, *, now: bool) -> bool:
        """Whether what the node said last of a record calls for sending it again; ``now`` a look at the pool is due."""
        if record.note in ("", TransactionUnderpriced.__name__):
            return False
        return now or record.note not in _LASTING

    def hold(self, key: str) -> bool:
        """Notes that the fee cap holds a record back; whether that is new."""
        new = key not in self._held
        self._held.add(key)
        return new

    def release(self, key: str) -> None:
        """Notes that a record's fees could be raised."""
        self._held.discard(key)

    def is_held(self, key: str) -> bool:
        """Whether the fee cap holds a record back."""
        return key in self._held

    def held_note(self, record: TransactionRecord) -> str:
        """What stays noted of a record that the node has taken."""
        return TransactionUnderpriced.__name__ if record.key in self._held else ""
