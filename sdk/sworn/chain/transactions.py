"""Transactions that a `Sender` has promised to bring on chain, and where it remembers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sworn.errors import StoreError, SwornError
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
    #: A foreign transaction took the nonce, or an empty one of ours did. The same key may be submitted again. What is
    #: `cancelling` and was still wanted was refused by nodes, or too dear: the same again may be as well.
    ABANDONED = "abandoned"


#: Statuses in which a stored transaction may still change the chain by itself.
LIVE = frozenset({TransactionStatus.SIGNED, TransactionStatus.MINED})
#: Statuses of what is mined too deep to come back, short of a reorg deeper than that.
ENDED = frozenset({TransactionStatus.CONFIRMED, TransactionStatus.ABANDONED})


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
    #: A gas limit that is known to be enough: then it is tried out once instead of being searched for.
    gas: int | None = None
    #: Gas over the estimate, in per cent: what others do in between may make the call dearer.
    margin_percent: int = 25
    #: Unix seconds of the chain after which it is of no use any more: what is stuck then is cancelled, not bumped.
    deadline: int | None = None

    @property
    def kind(self) -> str:
        """The key up to its first colon."""
        return self.key.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAttempt:
    """One signed form of a transaction; a fee bump adds another with the same nonce."""

    hash: bytes
    raw: bytes
    max_fee_wei: int
    tip_wei: int
    #: Unix seconds.
    signed_at: float
    #: Whether this form is empty and to ourselves: it gives the nonce up instead of doing what is intended.
    cancels: bool = False


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
    #: Gas used times its price; None while not mined.
    cost_wei: int | None = None
    #: Type of the last error at broadcast, empty when the node took it; of a plain `TransactionRejected` its text too.
    #: Of what was given up although it was wanted, why.
    note: str = ""

    @property
    def key(self) -> str:
        return self.intent.key

    @property
    def cancelling(self) -> bool:
        """Whether its nonce is being given up; what is mined first decides."""
        return any(attempt.cancels for attempt in self.attempts)


class TransactionStore(Protocol):
    """Durable memory of one chain's transactions. Every `put` is committed when it returns."""

    def get(self, key: str) -> TransactionRecord | None: ...
    def get_many(self, keys: Sequence[str]) -> dict[str, TransactionRecord]:
        """The records of those keys that are known."""
        ...

    def put(self, record: TransactionRecord) -> None:
        """Inserts or replaces by key. Raises `StoreError` when another record of the sender has the same nonce."""
        ...

    def put_many(self, records: Sequence[TransactionRecord]) -> None:
        """All of them, or none. Raises as `put` does, and `LeadershipLost` when this process may not write any more."""
        ...

    def live(self, sender: Address) -> list[TransactionRecord]:
        """Signed or mined but not confirmed, by nonce."""
        ...

    def in_flight(self, sender: Address) -> int:
        """How many are signed and not known to be mined."""
        ...

    def ended_from(self, sender: Address, nonce: int) -> list[TransactionRecord]:
        """Confirmed and abandoned ones that have this nonce or a higher one, by nonce."""
        ...

    def next_nonce(self, sender: Address) -> int | None:
        """One more than the highest nonce stored; None when none is."""
        ...


class TransactionSender(Protocol):
    """Brings intents on chain, exactly once each."""

    @property
    def address(self) -> Address: ...
    def submit(self, intent: Intent) -> TransactionRecord:
        """One intent; its error is raised instead of returned."""
        ...

    def submit_many(self, intents: Sequence[Intent]) -> list[TransactionRecord | SwornError]:
        """Promises and sends intents, in their order, with few round trips. An item's own error is in its place:

        the decoded `ContractRevert`, `TransactionRejected` (`TransactionUnderpriced` while the base fee is over the
        cap, `TransactionTooDear` and `FundsTooLow` where less at once may pass), `SenderBusy` for what goes over the
        number in flight, `SignerError`. None of these spends a nonce.
        Raises `ChainError` and `StoreError` (`LeadershipLost`) when all of it failed; then nothing was broadcast.
        """
        ...

    def poll(self, *, wanted: Callable[[str], bool] | None = None) -> list[TransactionRecord]:
        """Advances every unfinished transaction one step and returns those that changed.

        ``wanted`` says whether the effect of a key is still wanted; without it everything that is signed is, but what
        lost its nonce to a foreign transaction is not signed anew.
        """
        ...

    def record(self, key: str) -> TransactionRecord | None: ...
    def records(self, keys: Sequence[str]) -> dict[str, TransactionRecord]:
        """What has become of those intents that were ever submitted, by key."""
        ...

    def cancel(self, key: str) -> TransactionRecord | None:
        """Gives the nonce of a transaction that nobody wants any more to an empty one to ourselves.

        The one that is mined first decides; `poll` tells. What is not signed, or mined already, stays as it is.
        """
        ...


class MemoryTransactionStore:
    """A `TransactionStore` that forgets when the process ends: for tests and for one-off commands."""

    def __init__(self) -> None:
        self._records: dict[str, TransactionRecord] = {}
        self._keys: dict[tuple[Address, int], str] = {}

    def get(self, key: str) -> TransactionRecord | None:
        return self._records.get(key)

    def get_many(self, keys: Sequence[str]) -> dict[str, TransactionRecord]:
        return {key: self._records[key] for key in keys if key in self._records}

    def put(self, record: TransactionRecord) -> None:
        self.put_many([record])

    def put_many(self, records: Sequence[TransactionRecord]) -> None:
        keys = dict(self._keys)
        for record in records:
            old = self._records.get(record.key)
            if old is not None and old.nonce is not None:
                keys.pop((old.sender, old.nonce), None)
        for record in records:
            if record.nonce is None:
                continue
            owner = keys.setdefault((record.sender, record.nonce), record.key)
            if owner != record.key:
                raise StoreError(f"nonce {record.nonce} belongs to {owner}, not to {record.key}")
        self._keys = keys
        self._records.update({record.key: record for record in records})

    def live(self, sender: Address) -> list[TransactionRecord]:
        return self._by_nonce(record for record in self._of(sender) if record.status in LIVE)

    def in_flight(self, sender: Address) -> int:
        return sum(record.status is TransactionStatus.SIGNED for record in self._of(sender))

    def ended_from(self, sender: Address, nonce: int) -> list[TransactionRecord]:
        ended = (record for record in self._of(sender) if record.status in ENDED)
        return self._by_nonce(record for record in ended if record.nonce is not None and record.nonce >= nonce)

    def next_nonce(self, sender: Address) -> int | None:
        nonces = [nonce for owner, nonce in self._keys if owner == sender]
        return max(nonces) + 1 if nonces else None

    def _of(self, sender: Address) -> list[TransactionRecord]:
        return [record for record in self._records.values() if record.sender == sender]

    @staticmethod
    def _by_nonce(records: Iterable[TransactionRecord]) -> list[TransactionRecord]:
        return sorted(records, key=lambda record: record.nonce or 0)
