"""Change of the key that sends: the new one sends, and what the old ones have sent is seen through.

All of them remember their transactions in one store, by key of the intent: what the old key has under way is returned
as it stands, and not sent once more by the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sworn.chain.transactions import Intent, TransactionRecord, TransactionSender
from sworn.errors import SwornError
from sworn.types import Address


class RotatingSender:
    """A `TransactionSender` over one for each key; all share a `TransactionStore`."""

    def __init__(self, *, current: TransactionSender, retiring: Sequence[TransactionSender]) -> None:
        self._current = current
        self._by_address = {sender.address: sender for sender in (current, *retiring)}

    @property
    def address(self) -> Address:
        return self._current.address

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All keys, the sending one first."""
        return tuple(self._by_address)

    def submit(self, intent: Intent) -> TransactionRecord:
        return self._current.submit(intent)

    def submit_many(self, intents: Sequence[Intent]) -> list[TransactionRecord | SwornError]:
        return self._current.submit_many(intents)

    def poll(self, *, wanted: Callable[[str], bool] | None = None) -> list[TransactionRecord]:
        return [record for sender in self._by_address.values() for record in sender.poll(wanted=wanted)]

    def record(self, key: str) -> TransactionRecord | None:
        return self._current.record(key)

    def records(self, keys: Sequence[str]) -> dict[str, TransactionRecord]:
        return self._current.records(keys)

    def cancel(self, key: str) -> TransactionRecord | None:
        record = self._current.record(key)
        # INVARIANT: a nonce is given up by the key whose nonce it is.
        owner = None if record is None else self._by_address.get(record.sender)
        return record if owner is None else owner.cancel(key)
