"""Transactions that a `Sender` has promised to bring on chain, and where it remembers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sworn.errors import StoreError
from sworn.types import Address


class TransactionStatus(Enum):
    """How far a transaction has come."""

    #: Promised, nothing signed yet: no nonce is spent.
    INTENDED = "intended"
    #: Signed and stored; perhaps broadcast, not known to be mined.
    SIGNED = "signed"
    #: Mined, not yet deep enough to be safe from a reorg.
    MINED = "mined"
    #: Mined and deep enough. Ends here, whether it succeeded or reverted.
    CONFIRMED = "confirmed"
    #: The simulation reverted: nothing was signed. The same key may be submitted again.
    REJECTED = "rejected"
    #: A foreign transaction took the nonce and the effect is no longer wanted. The same key may be submitted again.
    ABANDONED = "abandoned"


#: Statuses in which a stored transaction may still change the chain by itself.
LIVE = frozenset({TransactionStatus.SIGNED, TransactionStatus.MINED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is wanted: one call, named by a key that is the same after every restart."""

    #: ``<kind>:<subject>…``, for example ``propose:<request id>:<round>``.
    key: str
    to: Address
    data: bytes
    value_wei: int = 0
    #: Most gas that the transaction may be given.
    gas_cap: int
    #: Whether being late costs more than gas does: then other limits of fees hold, for what it waits behind as well.
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAttempt:
    """One signed form of a transaction; a fee bump adds another with the same nonce."""

    hash: bytes
    raw: bytes
    max_fee_wei: int
    tip_wei: int
    #: Unix seconds.
    signed_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionRecord:
    """An intent and all that has become of it."""

    intent: Intent
    sender: Address
    status: TransactionStatus
    nonce: int | None = None
    gas: int | None = None
    attempts: tuple[SignedAttempt, ...] = ()
    #: The mined attempt's hash, its block, and whether it succeeded; None while not mined.
    transaction_hash: bytes | None = None
    block_number: int | None = None
    succeeded: bool | None = None
    #: Type of the last error at broadcast, empty when the node took it.
    note: str = ""

    @property
    def key(self) -> str:
        return self.intent.key


class TransactionStore(Protocol):
    """Durable memory of one chain's transactions. Every `put` is committed when it returns."""

    def get(self, key: str) -> TransactionRecord | None: ...
    def put(self, record: TransactionRecord) -> None:
        """Inserts or replaces by key. Raises `StoreError` when another record of the sender has the same nonce."""
        ...

    def live(self, sender: Address) -> list[TransactionRecord]:
        """Signed or mined but not confirmed, by nonce."""
        ...

    def confirmed_from(self, sender: Address, nonce: int) -> list[TransactionRecord]:
        """Confirmed ones with this nonce or a higher one, by nonce."""
        ...

    def next_nonce(self, sender: Address) -> int | None:
        """One more than the highest nonce stored; None when none is."""
        ...


class TransactionSender(Protocol):
    """Brings intents on chain, exactly once each."""

    @property
    def address(self) -> Address: ...
    def submit(self, intent: Intent) -> TransactionRecord: ...
    def poll(self, *, wanted: Callable[[str], bool] = ...) -> list[TransactionRecord]: ...
    def record(self, key: str) -> TransactionRecord | None: ...


class MemoryTransactionStore:
    """A `TransactionStore` that forgets when the process ends: for tests and for one-off commands."""

    def __init__(self) -> None:
        self._records: dict[str, TransactionRecord] = {}

    def get(self, key: str) -> TransactionRecord | None:
        return self._records.get(key)

    def put(self, record: TransactionRecord) -> None:
        for other in self._of(record.sender):
            if record.nonce is not None and other.nonce == record.nonce and other.key != record.key:
                raise StoreError(f"nonce {record.nonce} belongs to {other.key}, not to {record.key}")
        self._records[record.key] = record

    def live(self, sender: Address) -> list[TransactionRecord]:
        return self._by_nonce(record for record in self._of(sender) if record.status in LIVE)

    def confirmed_from(self, sender: Address, nonce: int) -> list[TransactionRecord]:
        confirmed = (record for record in self._of(sender) if record.status is TransactionStatus.CONFIRMED)
        return self._by_nonce(record for record in confirmed if record.nonce is not None and record.nonce >= nonce)

    def next_nonce(self, sender: Address) -> int | None:
        nonces = [record.nonce for record in self._of(sender) if record.nonce is not None]
        return max(nonces) + 1 if nonces else None

    def _of(self, sender: Address) -> list[TransactionRecord]:
        return [record for record in self._records.values() if record.sender == sender]

    @staticmethod
    def _by_nonce(records: Iterable[TransactionRecord]) -> list[TransactionRecord]:
        return sorted(records, key=lambda record: record.nonce or 0)
