"""The transaction manager: intents become mined transactions, exactly once each, across crashes and reorgs.

Order of every transaction: intent stored → simulated → signed form stored with its nonce → broadcast → receipt stored.
A crash between any two steps repeats the later one, never the earlier: a stored signed transaction is broadcast again
as it is, so that one intent never becomes two transactions with different nonces.

One `Sender` per key, and nothing else that sends with it. A foreign transaction that takes a nonce all the same is
noticed and survived; two senders at once are not supported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from eth_utils.crypto import keccak

from sworn.abi import contract_error
from sworn.chain.gateway import Call, Gateway, Receipt
from sworn.chain.signer import Signer
from sworn.chain.transactions import (
    Intent,
    SignedAttempt,
    TransactionRecord,
    TransactionStatus,
    TransactionStore,
)
from sworn.errors import (
    ContractRevert,
    NonceTooLow,
    StoreError,
    TransactionKnown,
    TransactionRejected,
    TransactionUnderpriced,
    TransientChainError,
)
from sworn.types import Address

#: Where `Sender` calls its checkpoint, each preceded by the intent's kind: ``propose_raw_stored``.
SENDER_POINTS = ("intent_stored", "raw_stored", "broadcast", "receipt_stored")
#: Nodes refuse a replacement that raises either fee by less than 10 % (geth) or 12.5 % (others).
BUMP_NUMERATOR, BUMP_DENOMINATOR = 9, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FeePolicy:
    """What a transaction may cost per gas, in wei, and when a stuck one is bumped."""

    max_fee_cap_wei: int = 500 * 10**9
    min_tip_wei: int = 0
    bump_after_s: float = 60.0
    #: The same for urgent transactions, and for whatever they wait behind.
    urgent_cap_wei: int = 5_000 * 10**9
    urgent_bump_after_s: float = 15.0

    def cap_wei(self, *, urgent: bool) -> int:
        """The most that a transaction may offer per gas."""
        return max(self.urgent_cap_wei, self.max_fee_cap_wei) if urgent else self.max_fee_cap_wei

    def patience_s(self, *, urgent: bool) -> float:
        """Seconds after which a transaction that is not mined is bumped."""
        return min(self.urgent_bump_after_s, self.bump_after_s) if urgent else self.bump_after_s


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
        fees: FeePolicy = FeePolicy(),
        clock: Callable[[], float] = time.time,
        checkpoint: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._gateway = gateway
        self._signer = signer
        self._store = store
        self._chain_id = chain_id
        self._confirmations = confirmations
        self._fees = fees
        self._clock = clock
        self._checkpoint = checkpoint

    @property
    def address(self) -> Address:
        return self._signer.address

    def record(self, key: str) -> TransactionRecord | None:
        """What has become of an intent."""
        return self._store.get(key)

    def submit(self, intent: Intent) -> TransactionRecord:
        """Promises an intent and sends it; a key that is under way or has succeeded is returned as it stands.

        Raises the decoded `ContractRevert` when the simulation reverts and `TransactionRejected` when it needs more gas
        or higher fees than allowed: then no nonce is spent. After the signed form is stored, trouble with the node is
        noted in the record and left to `poll`.
        """
        record = self._store.get(intent.key)
        if record is not None and not _may_start(record):
            return record
        record = TransactionRecord(intent=intent, sender=self.address, status=TransactionStatus.INTENDED)
        self._store.put(record)
        self._reached(record, "intent_stored")
        try:
            gas = self._simulate(intent)
        except ContractRevert:
            self._store.put(replace(record, status=TransactionStatus.REJECTED))
            raise
        return self._start(record, gas=gas)

    def poll(self, *, wanted: Callable[[str], bool] = lambda key: False) -> list[TransactionRecord]:
        """Advances every unfinished transaction one step and returns those that changed.

        ``wanted`` says whether the effect of a key is still wanted after a foreign transaction took its nonce; if not,
        the record is abandoned and the key may be submitted again.
        """
        head = self._gateway.block("latest").number
        # SAFETY: the nonce is read before any receipt, so that "nonce consumed, but no receipt" cannot be a transaction
        # that was mined between the two reads.
        chain_nonce = self._gateway.nonce(self.address)
        changed = self._revive(chain_nonce)
        live = self._store.live(self.address)
        # An urgent transaction is mined no sooner than those before it.
        last_urgent = max((_nonce(record) for record in live if record.intent.urgent), default=-1)
        for record in live:
            urgent = _nonce(record) <= last_urgent
            advanced = self._advance(record, head=head, chain_nonce=chain_nonce, wanted=wanted, urgent=urgent)
            if advanced != record:
                changed.append(advanced)
        changed.extend(self._fill_gap(chain_nonce, urgent=last_urgent >= 0))
        return changed

    def _simulate(self, intent: Intent) -> int:
        call = Call(to=intent.to, data=intent.data, sender=self.address, value=intent.value_wei)
        try:
            self._gateway.call(call)
            estimate = self._gateway.estimate_gas(call)
        except ContractRevert as error:
            raise contract_error(error.data) from error
        if estimate > intent.gas_cap:
            raise TransactionRejected(f"{intent.key} needs {estimate} gas, allowed are {intent.gas_cap}")
        # State may shift between simulation and inclusion: a quarter more, as unused gas costs nothing.
        return min(estimate + estimate // 4, intent.gas_cap)

    def _start(self, record: TransactionRecord, *, gas: int) -> TransactionRecord:
        max_fee, tip = self._market_fees(urgent=record.intent.urgent)
        nonce = self._next_nonce()
        attempt = self._sign(record.intent, nonce=nonce, gas=gas, max_fee=max_fee, tip=tip)
        record = replace(
            record, status=TransactionStatus.SIGNED, nonce=nonce, gas=gas, attempts=(attempt,), transaction_hash=None
        )
        # INVARIANT: a signed transaction is stored before any node can see it.
        self._store.put(record)
        self._reached(record, "raw_stored")
        return self._broadcast(record)

    def _next_nonce(self) -> int:
        if not self._store.live(self.address):
            # Nothing of ours is in the pool: what is pending there is foreign or forgotten, and must not be replaced.
            own = self._store.next_nonce(self.address) or 0
            chain = self._gateway.nonce(self.address)
            return max(chain, self._gateway.nonce(self.address, block="pending")) if own <= chain else own
        return max(self._store.next_nonce(self.address) or 0, self._gateway.nonce(self.address))

    def _market_fees(self, *, urgent: bool) -> tuple[int, int]:
        market = self._gateway.fees()
        cap = self._fees.cap_wei(urgent=urgent)
        if market.base_fee > cap:
            raise TransactionUnderpriced(f"the base fee of {market.base_fee} wei is over the cap of {cap} wei")
        tip = max(market.tip, self._fees.min_tip_wei)
        # Twice the base fee survives six full blocks (1.125 ** 6 > 2).
        max_fee = min(2 * market.base_fee + tip, cap)
        return max_fee, min(tip, max_fee)

    def _sign(self, intent: Intent, *, nonce: int, gas: int, max_fee: int, tip: int) -> SignedAttempt:
        raw = self._signer.sign_transaction(
            {
                "type": 2,
                "chainId": self._chain_id,
                "nonce": nonce,
                "to": intent.to,
                "data": intent.data,
                "value": intent.value_wei,
                "gas": gas,
                "maxFeePerGas": max_fee,
                "maxPriorityFeePerGas": tip,
            }
        )
        return SignedAttempt(hash=keccak(raw), raw=raw, max_fee_wei=max_fee, tip_wei=tip, signed_at=self._clock())

    def _broadcast(self, record: TransactionRecord) -> TransactionRecord:
        note = ""
        try:
            self._gateway.send_raw(record.attempts[-1].raw)
        except TransactionKnown:
            pass
        except (TransactionRejected, TransientChainError) as error:
            # Whether "nonce too low" means ours was mined or a foreign one was is looked up by `poll`.
            note = type(error).__name__
        if note != record.note:
            record = replace(record, note=note)
            self._store.put(record)
        if not note:
            self._reached(record, "broadcast")
        return record

    def _advance(
        self, record: TransactionRecord, *, head: int, chain_nonce: int, wanted: Callable[[str], bool], urgent: bool
    ) -> TransactionRecord:
        receipt = self._receipt(record)
        if receipt is not None:
            return self._mined(record, receipt, head=head)
        if record.status is not TransactionStatus.SIGNED:
            # Mined once, gone now: a reorg took it back to the pool at best.
            record = _unmined(record)
            self._store.put(record)
        nonce = _nonce(record)
        known = any(self._gateway.is_pending(attempt.hash) for attempt in record.attempts)
        if nonce < chain_nonce:
            return record if known else self._superseded(record, head=head, wanted=wanted)
        # A transaction that waits behind another one is not helped by a higher fee.
        if nonce == chain_nonce and self._stuck(record, urgent=urgent):
            return self._bump(record, urgent=urgent)
        return record if known else self._broadcast(record)

    def _receipt(self, record: TransactionRecord) -> Receipt | None:
        for attempt in reversed(record.attempts):
            receipt = self._gateway.receipt(attempt.hash)
            if receipt is not None:
                return receipt
        return None

    def _mined(self, record: TransactionRecord, receipt: Receipt, *, head: int) -> TransactionRecord:
        deep = head - receipt.block_number >= self._confirmations
        advanced = replace(
            record,
            status=TransactionStatus.CONFIRMED if deep else TransactionStatus.MINED,
            transaction_hash=receipt.transaction_hash,
            block_number=receipt.block_number,
            succeeded=receipt.succeeded,
            note="",
        )
        if advanced != record:
            self._store.put(advanced)
            self._reached(advanced, "receipt_stored")
        return advanced

    def _superseded(self, record: TransactionRecord, *, head: int, wanted: Callable[[str], bool]) -> TransactionRecord:
        """A foreign transaction has the nonce; act once it is deep enough to keep it."""
        safe = max(head - self._confirmations, 0)
        if self._gateway.nonce(self.address, block=safe) <= _nonce(record):
            return record
        record = replace(record, status=TransactionStatus.ABANDONED, nonce=None, note=NonceTooLow.__name__)
        self._store.put(record)
        if not wanted(record.key):
            return record
        try:
            return self.submit(record.intent)
        except (ContractRevert, TransactionRejected):
            return self._store.get(record.key) or record

    def _stuck(self, record: TransactionRecord, *, urgent: bool) -> bool:
        aged = self._clock() - record.attempts[-1].signed_at >= self._fees.patience_s(urgent=urgent)
        return aged or record.note == TransactionUnderpriced.__name__

    def _bump(self, record: TransactionRecord, *, urgent: bool) -> TransactionRecord:
        last, cap = record.attempts[-1], self._fees.cap_wei(urgent=urgent)
        market = self._gateway.fees()
        max_fee = max(_bumped(last.max_fee_wei), 2 * market.base_fee + market.tip)
        tip = max(_bumped(last.tip_wei), market.tip, self._fees.min_tip_wei)
        if _bumped(last.max_fee_wei) > cap:
            return self._broadcast(record)
        max_fee = min(max_fee, cap)
        attempt = self._sign(
            record.intent, nonce=_nonce(record), gas=record.gas or 0, max_fee=max_fee, tip=min(tip, max_fee)
        )
        record = replace(record, attempts=(*record.attempts, attempt))
        self._store.put(record)
        self._reached(record, "raw_stored")
        return self._broadcast(record)

    def _revive(self, chain_nonce: int) -> list[TransactionRecord]:
        """Confirmed transactions that a reorg deeper than `confirmations` has undone are live again."""
        revived = [_unmined(record) for record in self._store.confirmed_from(self.address, chain_nonce)]
        for record in revived:
            self._store.put(record)
        return revived

    def _fill_gap(self, chain_nonce: int, *, urgent: bool) -> list[TransactionRecord]:
        """Frees transactions that wait behind a nonce which nobody uses any more, by an empty one to ourselves."""
        live = self._store.live(self.address)
        if not live or _nonce(live[0]) <= chain_nonce or not self._stuck(live[0], urgent=urgent):
            return []
        intent = Intent(key=f"fill:{self.address}:{chain_nonce}", to=self.address, data=b"", gas_cap=21_000)
        try:
            max_fee, tip = self._market_fees(urgent=urgent)
        except TransactionUnderpriced:
            # What waits behind the gap would not be mined at these fees either: no reason to fail everything else.
            return []
        attempt = self._sign(intent, nonce=chain_nonce, gas=intent.gas_cap, max_fee=max_fee, tip=tip)
        filler = TransactionRecord(
            intent=intent,
            sender=self.address,
            status=TransactionStatus.SIGNED,
            nonce=chain_nonce,
            gas=intent.gas_cap,
            attempts=(attempt,),
        )
        self._store.put(filler)
        return [self._broadcast(filler)]

    def _reached(self, record: TransactionRecord, point: str) -> None:
        self._checkpoint(f"{record.key.partition(':')[0]}_{point}")


def _may_start(record: TransactionRecord) -> bool:
    """Whether a known key may be signed anew: nothing of it can still reach the chain, and nothing has succeeded."""
    if record.status is TransactionStatus.CONFIRMED:
        return record.succeeded is False
    return record.status in (TransactionStatus.INTENDED, TransactionStatus.REJECTED, TransactionStatus.ABANDONED)


def _unmined(record: TransactionRecord) -> TransactionRecord:
    return replace(
        record, status=TransactionStatus.SIGNED, transaction_hash=None, block_number=None, succeeded=None, note=""
    )


def _nonce(record: TransactionRecord) -> int:
    if record.nonce is None:
        raise StoreError(f"the stored transaction {record.key} is signed but has no nonce")
    return record.nonce


def _bumped(fee_wei: int) -> int:
    # One wei more at least: a zero tip does not grow by a share of itself.
    return max(-(-fee_wei * BUMP_NUMERATOR // BUMP_DENOMINATOR), fee_wei + 1)
