"""What a sender remembers between two rounds. Losing it costs a moment, never a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sworn.chain.transactions import SignedAttempt, TransactionRecord
from sworn.errors import FundsTooLow, NonceTooLow, TransactionRejected, TransactionUnderpriced

#: Seconds between two looks into the node's pool while the chain moves on.
POOL_CHECK_S: Final = 5.0
#: How often the rest of a transaction that is given up again and again doubles.
MOST_DOUBLINGS: Final = 4
#: What a node says of a transaction that it would say again a moment later.
_LASTING: Final = frozenset(kind.__name__ for kind in (FundsTooLow, NonceTooLow, TransactionRejected))
#: What a higher fee does not change.
_REFUSALS: Final = frozenset(kind.__name__ for kind in (FundsTooLow, TransactionRejected))


def refusal(record: TransactionRecord) -> str:
    """Why the node does not take the newest form of a record, unless that is a matter of price; "" when it may."""
    kind = record.note.partition(":")[0]
    return kind if kind in _REFUSALS else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    """The foremost transaction is refused, since when and since which block."""

    key: str
    kind: str
    since: float
    head: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """A transaction was given up so often, the last time at this moment."""

    count: int
    since: float
    pause_s: float
    reason: str


class Watch:
    """How the chain moved since the transactions were signed, and which of them fee caps or nodes hold back."""

    def __init__(self) -> None:
        self._head = -1
        self._chain_nonce = -1
        self._looked_at = float("-inf")
        self._seen: dict[bytes, int] = {}
        self._held: set[str] = set()
        self._refused: _Refused | None = None
        self._offered: dict[str, int] = {}
        self._rests: dict[str, _Rest] = {}
        self.pool_is_due = True
        #: What those under way may cost together.
        self.owed_wei = 0

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
        keys = {record.key for record in waiting}
        self._held &= keys
        self._offered = {key: count for key, count in self._offered.items() if key in keys}
        # What waits behind another one may be refused for that alone.
        is_next = bool(waiting) and waiting[0].nonce == chain_nonce
        self._refused = self._refusal_of(waiting[0], head=head, now=now) if is_next else None

    def has_seen_blocks_since(self, record: TransactionRecord) -> bool:
        """Whether a block has come since the record's newest form was first waited for."""
        return self._head > self._seen.get(record.attempts[-1].hash, self._head)

    def retries(self, record: TransactionRecord, *, now: bool) -> bool:
        """Whether what the node said last of a record calls for sending it again; ``now`` a look at the pool is due."""
        if record.note in ("", TransactionUnderpriced.__name__):
            return False
        return now or record.note.partition(":")[0] not in _LASTING

    def lasting_refusal(self, record: TransactionRecord, seconds: float, *, now: float) -> str:
        """Why the node has refused the foremost transaction for so long, with a block meanwhile; "" when it has not."""
        found = self._refused
        if found is None or found.key != record.key or now - found.since < seconds or self._head <= found.head:
            return ""
        return found.kind

    def give_up(self, key: str, seconds: float, *, now: float, reason: str) -> None:
        """Notes that a transaction was given up: it rests for a multiple of so long, each time longer."""
        self._rests = {old: rest for old, rest in self._rests.items() if 0 <= now - rest.since <= 4 * rest.pause_s}
        count = self._rests[key].count + 1 if key in self._rests else 1
        pause_s = seconds * 2 ** min(count, MOST_DOUBLINGS)
        self._rests[key] = _Rest(count=count, since=now, pause_s=pause_s, reason=reason)

    def reason(self, key: str) -> str:
        """Why a transaction was given up, if it was and that is remembered."""
        rest = self._rests.get(key)
        return "" if rest is None else rest.reason

    def is_resting(self, key: str, *, now: float) -> bool:
        """Whether what was given up is not tried again yet: each round costs an empty transaction."""
        rest = self._rests.get(key)
        return rest is not None and 0 <= now - rest.since < rest.pause_s

    def next_form(self, record: TransactionRecord) -> SignedAttempt:
        """The form of a refused record to offer now: each older one in turn, then the newest again."""
        forms = [attempt for attempt in record.attempts if attempt.cancels == record.attempts[-1].cancels]
        count = self._offered[record.key] = self._offered.get(record.key, 0) + 1
        return forms[-1 - count % len(forms)]

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

    def _refusal_of(self, record: TransactionRecord, *, head: int, now: float) -> _Refused | None:
        known = self._refused if self._refused is not None and self._refused.key == record.key else None
        kind = refusal(record)
        if not kind:
            # A node that did not answer has not changed its mind.
            return None if record.note in ("", TransactionUnderpriced.__name__) else known
        if known is not None and known.kind == kind and known.since <= now:
            return known
        return _Refused(key=record.key, kind=kind, since=now, head=head)
