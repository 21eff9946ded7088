"""The transaction manager: intents become mined transactions, exactly once each, across crashes and reorgs.

Order of every transaction: intent stored → simulated → signed form stored with its nonce → broadcast → receipt stored.
A crash between any two steps repeats the later one, never the earlier: a stored signed transaction is broadcast again
as it is, so that one intent never becomes two transactions with different nonces.

One `Sender` per key, and nothing else that sends with it. A foreign transaction that takes a nonce all the same is
noticed and survived; two senders at once are not supported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from sworn.chain.gateway import Gateway
from sworn.chain.sender_fees import DEFAULT_FEES, FeePolicy
from sworn.chain.sender_outbox import Outbox, last_offer, most_cost, nonce_of
from sworn.chain.sender_simulation import gas_limits
from sworn.chain.sender_turn import Turn
from sworn.chain.sender_watch import Watch
from sworn.chain.signer import Signer
from sworn.chain.telemetry import NO_CHAIN_TELEMETRY, ChainTelemetry
from sworn.chain.transactions import Intent, TransactionRecord, TransactionStatus, TransactionStore
from sworn.errors import (
    ContractRevert,
    SenderBusy,
    SignerError,
    SwornError,
    TransactionRejected,
    TransactionUnderpriced,
)
from sworn.types import Address

__all__ = ["SENDER_POINTS", "FeePolicy", "Sender"]

#: Where `Sender` calls its checkpoint, each preceded by the intent's kind: ``propose_raw_stored``.
SENDER_POINTS = ("intent_stored", "raw_stored", "broadcast", "receipt_stored")


class Sender:
    """Implements `TransactionSender` over a `Gateway`, a `Signer` and a `TransactionStore`."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        signer: Signer,
        store: TransactionStore,
        chain_id: int,
        confirmations: int = 0,
        fees: FeePolicy = DEFAULT_FEES,
        clock: Callable[[], float] = time.time,
        checkpoint: Callable[[str], None] = lambda point: None,
        telemetry: ChainTelemetry = NO_CHAIN_TELEMETRY,
    ) -> None:
        self._outbox = Outbox(
            gateway=gateway,
            signer=signer,
            store=store,
            chain_id=chain_id,
            clock=clock,
            checkpoint=checkpoint,
            telemetry=telemetry,
        )
        self._gateway = gateway
        self._store = store
        self._confirmations = confirmations
        self._fees = fees
        self._watch = Watch()
        #: One more than the highest nonce that this process has stored: a record that starts anew forgets its own.
        self._lowest_free = 0

    @property
    def address(self) -> Address:
        return self._outbox.address

    def record(self, key: str) -> TransactionRecord | None:
        """What has become of an intent."""
        return self._store.get(key)

    def records(self, keys: Sequence[str]) -> dict[str, TransactionRecord]:
        """What has become of intents, by key."""
        return self._store.get_many(keys)

    def submit(self, intent: Intent) -> TransactionRecord:
        """Promises an intent and sends it; a key that is under way or has succeeded is returned as it stands.

        Raises what `submit_many` returns as an item: then no nonce is spent. After the signed form is stored, trouble
        with the node is noted in the record and left to `poll`.
        """
        (answer,) = self.submit_many([intent])
        if isinstance(answer, SwornError):
            raise answer
        return answer

    def submit_many(self, intents: Sequence[Intent]) -> list[TransactionRecord | SwornError]:
        """Promises intents and sends them in their order: two database transactions and a few batches for all of them.

        Items: the record, as it stands when the key is under way or has succeeded; or what kept it from being signed:
        `ContractRevert` decoded, `TransactionRejected` when it needs more gas than allowed or has more data than nodes
        take, `TransactionUnderpriced` while the base fee is over the cap, `TransactionTooDear`, `FundsTooLow`,
        `SenderBusy`, `SignerError`, the node's error.
        """
        known = self._store.get_many([intent.key for intent in intents])
        answers: dict[str, TransactionRecord | SwornError] = {
            key: record for key, record in known.items() if not _may_start(record)
        }
        starting = {intent.key: intent for intent in intents if intent.key not in answers}
        if starting:
            admitted, refused = self._admitted(list(starting.values()))
            answers |= refused
            answers |= self._start(admitted)
        return [answers[intent.key] for intent in intents]

    def poll(self, *, wanted: Callable[[str], bool] | None = None) -> list[TransactionRecord]:
        """Advances every unfinished transaction one step and returns those that changed.

        ``wanted`` says whether the effect of a key is still wanted. What is not is no longer bumped, and cancelled when
        it holds others up; what is wanted and lost its nonce to a foreign transaction is signed anew. Without it all
        that is signed is wanted, but nothing is signed anew. What nodes refuse is cancelled after a while, wanted or
        not; it may be submitted again once it is abandoned, and pauses in between grow.
        """
        turn = Turn(
            outbox=self._outbox, fees=self._fees, confirmations=self._confirmations, watch=self._watch, wanted=wanted
        )
        changed = {record.key: record for record in turn.run()}
        if turn.lost:
            self.submit_many(turn.lost)
            changed |= self._store.get_many([intent.key for intent in turn.lost])
        return list(changed.values())

    def cancel(self, key: str) -> TransactionRecord | None:
        """Gives a signed transaction's nonce to an empty one; returns the record as it then stands.

        Raises `TransactionUnderpriced` when the fee cap forbids any replacement, and `SignerError`.
        """
        record = self._store.get(key)
        if record is None or record.status is not TransactionStatus.SIGNED or record.cancelling:
            return record
        if record.sender != self.address:
            return record
        market = self._gateway.fees()
        offer = self._fees.replacement(last_offer(record), market, urgent=record.intent.urgent, cancels=True)
        if offer is None:
            raise TransactionUnderpriced(f"{key} already offers more per gas than the cap allows to replace")
        attempt = self._outbox.sign(record.intent, nonce=nonce_of(record), gas=0, offer=offer, cancels=True)
        record = replace(record, attempts=(*record.attempts, attempt), note="")
        self._outbox.keep([record])
        self._outbox.reached(record, "raw_stored")
        self._outbox.telemetry.transaction(record.intent.kind, "cancelled")
        return self._outbox.broadcast([record])[0]

    def _admitted(self, intents: Sequence[Intent]) -> tuple[list[Intent], dict[str, SwornError]]:
        """Those that there is room for; urgent ones always have it. What was just given up only goes in parts."""
        now = self._outbox.clock()
        room = self._fees.max_in_flight - self._store.in_flight(self.address)
        admitted: list[Intent] = []
        refused: dict[str, SwornError] = {}
        for intent in intents:
            if self._watch.is_resting(intent.key, now=now):
                refused[intent.key] = TransactionRejected(
                    f"{intent.key} was given up a moment ago: it goes again later"
                )
            elif room > 0 or intent.urgent:
                admitted.append(intent)
                room -= 1
            else:
                refused[intent.key] = SenderBusy(f"{self._fees.max_in_flight} transactions are under way")
        return admitted, refused

    def _start(self, intents: Sequence[Intent]) -> dict[str, TransactionRecord | SwornError]:
        promised = [
            TransactionRecord(intent=intent, sender=self.address, status=TransactionStatus.INTENDED)
            for intent in intents
        ]
        if not promised:
            return {}
        self._outbox.keep(promised)
        for record in promised:
            self._outbox.reached(record, "intent_stored")
        answers: dict[str, TransactionRecord | SwornError] = {}
        ready: list[TransactionRecord] = []
        reverted: list[TransactionRecord] = []
        limits = gas_limits(self._gateway, intents, sender=self.address)
        for record, limit in zip(promised, limits, strict=True):
            if isinstance(limit, int):
                ready.append(replace(record, gas=limit))
                continue
            answers[record.key] = limit
            if isinstance(limit, ContractRevert):
                reverted.append(replace(record, status=TransactionStatus.REJECTED))
        signed = self._signed(ready, answers)
        # INVARIANT: a signed transaction is stored before any node can see it.
        self._outbox.keep([*reverted, *signed])
        self._lowest_free = max([self._lowest_free, *(nonce_of(record) + 1 for record in signed)])
        self._watch.owed_wei += sum(most_cost(record) for record in signed)
        self._tell(reverted, signed)
        return answers | {record.key: record for record in self._outbox.broadcast(signed)}

    def _signed(
        self, ready: Sequence[TransactionRecord], answers: dict[str, TransactionRecord | SwornError]
    ) -> list[TransactionRecord]:
        """Records with consecutive nonces and a signed form; ``answers`` takes the errors of the others."""
        if not ready:
            return []
        market = self._gateway.fees()
        balance_wei = self._gateway.balance(self.address)
        left_wei = balance_wei - self._watch.owed_wei
        nonce = self._next_nonce()
        signed: list[TransactionRecord] = []
        for record in ready:
            intent, gas = record.intent, record.gas or 0
            # What is urgent does not wait for what others under way may cost: they seldom cost half of it.
            funds_wei = (balance_wei if intent.urgent else left_wei) - intent.value_wei
            try:
                offer = self._fees.terms(market, urgent=intent.urgent, gas=gas, funds_wei=funds_wei)
                attempt = self._outbox.sign(intent, nonce=nonce, gas=gas, offer=offer)
            except (SignerError, TransactionRejected) as error:
                answers[record.key] = error
                continue
            signed.append(replace(record, status=TransactionStatus.SIGNED, nonce=nonce, attempts=(attempt,)))
            left_wei -= most_cost(signed[-1])
            nonce += 1
        return signed

    def _next_nonce(self) -> int:
        own = max(self._store.next_nonce(self.address) or 0, self._lowest_free)
        chain = self._gateway.nonce(self.address)
        # Beyond our own, what is pending is foreign or forgotten, and must not be replaced.
        return own if own > chain else max(chain, self._gateway.nonce(self.address, block="pending"))

    def _tell(self, reverted: Sequence[TransactionRecord], signed: Sequence[TransactionRecord]) -> None:
        for record in reverted:
            self._outbox.telemetry.transaction(record.intent.kind, "rejected")
        for record in signed:
            self._outbox.reached(record, "raw_stored")
            self._outbox.telemetry.transaction(record.intent.kind, "submitted")


def _may_start(record: TransactionRecord) -> bool:
    """Whether a known key may be signed anew: nothing of it can still reach the chain, and nothing has succeeded."""
    if record.status is TransactionStatus.CONFIRMED:
        return record.succeeded is False
    return record.status in (TransactionStatus.INTENDED, TransactionStatus.REJECTED, TransactionStatus.ABANDONED)
