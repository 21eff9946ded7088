"""The narrow place through which every transaction of one key goes: signed, stored, then broadcast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from eth_utils.crypto import keccak

from sworn.chain.gateway import Gateway
from sworn.chain.sender_fees import Offer
from sworn.chain.signer import Signer
from sworn.chain.telemetry import ChainTelemetry
from sworn.chain.transactions import Intent, SignedAttempt, TransactionRecord, TransactionStore
from sworn.errors import ChainError, StoreError, TransactionKnown
from sworn.types import Address

#: What an empty transaction to an account without code uses.
PLAIN_TRANSFER_GAS = 21_000


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
        self, records: Sequence[TransactionRecord], *, noted: Callable[[TransactionRecord], str] = lambda record: ""
    ) -> list[TransactionRecord]:
        """Hands the newest stored form of each record to the node, and notes what it refused.

        ``noted`` says what stays noted of one that the node took.
        """
        if not records:
            return []
        told: list[TransactionRecord] = []
        for record, answer in zip(records, self._answers(records), strict=True):
            taken = isinstance(answer, bytes | TransactionKnown)
            # Whether "nonce too low" means ours was mined or a foreign one was is looked up by the next turn.
            told.append(replace(record, note=noted(record) if taken else type(answer).__name__))
        self.keep([after for before, after in zip(records, told, strict=True) if after.note != before.note])
        for record in told:
            if not record.note:
                self.reached(record, "broadcast")
        return told

    def reached(self, record: TransactionRecord, point: str) -> None:
        """Tells that a record has come to a point between two steps."""
        self.checkpoint(f"{record.intent.kind}_{point}")

    def _answers(self, records: Sequence[TransactionRecord]) -> list[bytes | ChainError]:
        raws = [record.attempts[-1].raw for record in records]
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


def last_offer(record: TransactionRecord) -> Offer:
    """What the newest form of a record offers."""
    last = record.attempts[-1]
    return Offer(max_fee_wei=last.max_fee_wei, tip_wei=last.tip_wei)
