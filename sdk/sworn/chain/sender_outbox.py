"""The narrow place through which every transaction of one key goes: signed, stored, then broadcast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from eth_utils.crypto import keccak

from sworn.chain.gateway import Gateway
from sworn.chain.sender_fees import Offer
from sworn.chain.signer import Signer
from sworn.chain.telemetry import ChainTelemetry
from sworn.chain.transactions import Intent, SignedAttempt, TransactionRecord, TransactionStore
from sworn.errors import ChainError, StoreError, TransactionKnown, TransactionRejected
from sworn.types import Address

#: What an empty transaction to an account without code uses.
PLAIN_TRANSFER_GAS = 21_000
#: Characters of a note; the width of its column in databases.
_NOTE_LENGTH: Final = 64
_NO_FORMS: Final[Mapping[str, SignedAttempt]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """Signs, stores and broadcasts for one key on one chain."""

    gateway: Gateway
    signer: Signer
    store: TransactionStore
    chain_id: int
    clock: Callable[[], float]
    checkpoint: Callable[[str], None]
    telemetry: ChainTelemetry

    @property
    def address(self) -> Address:
        """Whose transactions these are."""
        return self.signer.address

    def sign(self, intent: Intent, *, nonce: int, gas: int, offer: Offer, cancels: bool = False) -> SignedAttempt:
        """A signed form of an intent, or with ``cancels`` an empty one in its place. Raises `SignerError`."""
        raw = self.signer.sign_transaction(
            {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": nonce,
                "to": self.address if cancels else intent.to,
                "data": b"" if cancels else intent.data,
                "value": 0 if cancels else intent.value_wei,
                "gas": PLAIN_TRANSFER_GAS if cancels else gas,
                "maxFeePerGas": offer.max_fee_wei,
                "maxPriorityFeePerGas": offer.tip_wei,
            }
        )
        return SignedAttempt(
            hash=keccak(raw),
            raw=raw,
            max_fee_wei=offer.max_fee_wei,
            tip_wei=offer.tip_wei,
            signed_at=self.clock(),
            cancels=cancels,
        )

    def keep(self, records: Sequence[TransactionRecord]) -> None:
        """Stores records, all or none. INVARIANT: what raises here has not been broadcast, and is not."""
        if records:
            self.store.put_many(records)

    def broadcast(
        self,
        records: Sequence[TransactionRecord],
        *,
        noted: Callable[[TransactionRecord], str] = lambda record: "",
        older: Mapping[str, SignedAttempt] = _NO_FORMS,
    ) -> list[TransactionRecord]:
        """Hands the newest stored form of each record to the node, and notes what it refused.

        ``noted`` says what stays noted of one that the node took; ``older`` has stored forms that are sent instead, by
        key. What a node answers to those is not noted: the note is about the newest.
        """
        if not records:
            return []
        told: list[TransactionRecord] = []
        forms = [older.get(record.key, record.attempts[-1]) for record in records]
        for record, form, answer in zip(records, forms, self._answers(forms), strict=True):
            if form is not record.attempts[-1]:
                told.append(record)
                continue
            taken = isinstance(answer, bytes | TransactionKnown)
            # Whether "nonce too low" means ours was mined or a foreign one was is looked up by the next turn.
            told.append(replace(record, note=noted(record) if taken else _note(answer)))
        self.keep([after for before, after in zip(records, told, strict=True) if after.note != before.note])
        for record in told:
            if not record.note:
                self.reached(record, "broadcast")
        return told

    def reached(self, record: TransactionRecord, point: str) -> None:
        """Tells that a record has come to a point between two steps."""
        self.checkpoint(f"{record.intent.kind}_{point}")

    def _answers(self, forms: Sequence[SignedAttempt]) -> list[bytes | ChainError]:
        raws = [form.raw for form in forms]
        try:
            return self.gateway.send_raws(raws)
        except ChainError as error:
            # All of it is stored: what the node did not hear it hears in a later turn.
            return [error] * len(raws)


def nonce_of(record: TransactionRecord) -> int:
    """The nonce of a signed record. Raises `StoreError` when it has none."""
    if record.nonce is None:
        raise StoreError(f"the stored transaction {record.key} is signed but has no nonce")
    return record.nonce


def most_cost(record: TransactionRecord) -> int:
    """What the newest form of a record may cost, in wei."""
    last = record.attempts[-1]
    if last.cancels:
        return PLAIN_TRANSFER_GAS * last.max_fee_wei
    return (record.gas or 0) * last.max_fee_wei + record.intent.value_wei


def last_offer(record: TransactionRecord) -> Offer:
    """What the newest form of a record offers."""
    last = record.attempts[-1]
    return Offer(max_fee_wei=last.max_fee_wei, tip_wei=last.tip_wei)


def _note(answer: object) -> str:
    name = type(answer).__name__
    if type(answer) is not TransactionRejected:
        return name
    # Nothing but the node's own words says why. They are a stranger's: databases take no control characters.
    said = "".join(letter if letter.isprintable() else " " for letter in str(answer))
    return f"{name}: {said}"[:_NOTE_LENGTH].rstrip(": ")
