"""One round over the transactions that are not finished: what the chain shows of them, and what is due next.

Cheap with hundreds under way: a transaction whose nonce the chain has not reached is in the pool or lost, and only the
foremost ones decide which; a mined one is looked at again when it may be deep enough, or when the nonce falls back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sworn.chain.gateway import Fees, Receipt
from sworn.chain.sender_fees import FeePolicy
from sworn.chain.sender_outbox import PLAIN_TRANSFER_GAS, Outbox, last_offer, most_cost, nonce_of
from sworn.chain.sender_watch import Watch, refusal
from sworn.chain.transactions import Intent, SignedAttempt, TransactionRecord, TransactionStatus
from sworn.errors import FundsTooLow, NonceTooLow, SignerError, TransactionTooDear, TransactionUnderpriced

#: How many of the foremost transactions are looked for in the pool.
FRONT: Final = 3
#: Most nonces that are filled, and most transactions that are bumped, in one round.
MOST_FILLS, MOST_BUMPS = 16, 128
#: Blocks on top of a foreign transaction until it is believed to keep our nonce, however few confirmations count else.
FOREIGN_DEPTH: Final = 2
#: Seconds until a transaction that was refused for its fees is raised again.
REFUSED_S: Final = 2.0
_FILL: Final = "fill"


class Turn:
    """Works on one state of the chain, read when it is made."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        fees: FeePolicy,
        confirmations: int,
        watch: Watch,
        wanted: Callable[[str], bool] | None,
    ) -> None:
        self._outbox = outbox
        self._fees = fees
        self._confirmations = confirmations
        self._watch = watch
        self._wanted = wanted
        self._head = outbox.gateway.block("latest")
        # SAFETY: the nonce is read before any receipt, so that "nonce consumed, but no receipt" cannot be a transaction
        # that was mined between the two reads.
        self._chain_nonce = outbox.gateway.nonce(outbox.address)
        self._now = outbox.clock()
        self._ended = outbox.store.ended_from(outbox.address, self._chain_nonce)
        self._before = {record.key: record for record in [*outbox.store.live(outbox.address), *self._ended]}
        self._after = dict(self._before)
        self._receipts: dict[bytes, Receipt] = {}
        self._resent: set[str] = set()
        #: Forms that are sent instead of the newest, by key.
        self._older: dict[str, SignedAttempt] = {}
        #: Wanted, but a foreign transaction has their nonce.
        self.lost: list[Intent] = []

    def run(self) -> list[TransactionRecord]:
        """Advances every unfinished transaction one step and returns those that changed."""
        self._settle()
        self._advance()
        changed = self._changed()
        self._outbox.keep(changed)
        for record in changed:
            self._tell(record)
        resent = [record for record in self._after.values() if record.key in self._resent]
        resent = sorted(resent, key=nonce_of)
        for record in self._outbox.broadcast(resent, noted=self._watch.held_note, older=self._older):
            self._after[record.key] = record
        under_way = [record for record in self._after.values() if record.status is TransactionStatus.SIGNED]
        self._watch.owed_wei = sum(most_cost(record) for record in under_way)
        return self._changed()

    def _changed(self) -> list[TransactionRecord]:
        return [record for key, record in self._after.items() if record != self._before.get(key)]

    def _set(self, record: TransactionRecord, *, send: bool = False) -> None:
        self._after[record.key] = record
        if send:
            self._resent.add(record.key)

    # What the chain shows.

    def _settle(self) -> None:
        asked = [record for record in self._before.values() if self._may_have_moved(record)]
        hashes = [attempt.hash for record in asked for attempt in record.attempts]
        if hashes:
            found = self._outbox.gateway.receipts(hashes)
            self._receipts = {receipt.transaction_hash: receipt for receipt in found if receipt is not None}
        missing = []
        for record in asked:
            receipt = next((self._receipts[item.hash] for item in record.attempts if item.hash in self._receipts), None)
            if receipt is not None:
                self._set(self._mined(record, receipt))
            elif record.status is TransactionStatus.SIGNED:
                missing.append(record)
            else:
                # Mined once, gone now: a reorg took it back to the pool at best.
                self._set(_unmined(record), send=True)
        if missing:
            self._supersede(missing)

    def _may_have_moved(self, record: TransactionRecord) -> bool:
        nonce = nonce_of(record)
        if record.status is TransactionStatus.SIGNED:
            return nonce < self._chain_nonce
        block = record.block_number or 0
        if block > self._head.number:
            # The node has not come so far, or the chain is shorter for the time being: it cannot know.
            return False
        deep = self._head.number - block >= self._confirmations
        return nonce >= self._chain_nonce or (record.status is TransactionStatus.MINED and deep)

    def _mined(self, record: TransactionRecord, receipt: Receipt) -> TransactionRecord:
        attempt = next(item for item in record.attempts if item.hash == receipt.transaction_hash)
        status = TransactionStatus.MINED
        if self._head.number - receipt.block_number >= self._confirmations:
            status = TransactionStatus.ABANDONED if attempt.cancels else TransactionStatus.CONFIRMED
        return replace(
            record,
            status=status,
            transaction_hash=receipt.transaction_hash,
            block_number=receipt.block_number,
            succeeded=receipt.succeeded and not attempt.cancels,
            cost_wei=receipt.gas_used * receipt.effective_gas_price,
            note=self._watch.reason(record.key) if attempt.cancels else "",
        )

    def _supersede(self, missing: Sequence[TransactionRecord]) -> None:
        """Gives up what lost its nonce to a foreign transaction, once that is deep enough to keep it."""
        gateway = self._outbox.gateway
        depth = max(self._confirmations, FOREIGN_DEPTH)
        taken = gateway.nonce(self._outbox.address, block=max(self._head.number - depth, 0))
        for record in missing:
            if taken <= nonce_of(record) or any(gateway.is_pending(item.hash) for item in record.attempts[::-1]):
                continue
            status = TransactionStatus.ABANDONED
            self._set(replace(record, status=status, nonce=None, note=NonceTooLow.__name__))
            if self._wanted is not None and self._wanted(record.key):
                self.lost.append(record.intent)

    # What is due next.

    def _advance(self) -> None:
        waiting = sorted(
            (
                record
                for record in self._after.values()
                if record.status is TransactionStatus.SIGNED and nonce_of(record) >= self._chain_nonce
            ),
            key=nonce_of,
        )
        self._watch.look(waiting, head=self._head.number, chain_nonce=self._chain_nonce, now=self._now)
        if not waiting:
            return
        self._resend(waiting)
        # An urgent transaction is mined no sooner than those before it.
        last_urgent = max((nonce_of(record) for record in waiting if record.intent.urgent), default=-1)
        if nonce_of(waiting[0]) > self._chain_nonce:
            self._fill_gaps(waiting[0], urgent=last_urgent >= 0)
        elif self._is_stuck(waiting[0], urgent=last_urgent >= 0):
            self._raise(waiting, last_urgent=last_urgent)

    def _resend(self, waiting: Sequence[TransactionRecord]) -> None:
        """Has broadcast again what the node did not hear, refused for a while, or lost."""
        due = self._watch.pool_is_due
        self._resent |= {record.key for record in waiting if self._watch.retries(record, now=due)}
        if not due:
            return
        known = self._outbox.gateway.is_pending
        for index, record in enumerate(waiting[:FRONT]):
            if not any(known(attempt.hash) for attempt in record.attempts[::-1]):
                if refusal(record):
                    # The newest form was never taken here: one from before may be better than none.
                    self._older[record.key] = self._watch.next_form(record)
                # A node that lost one has lost those behind it more often than not, and says so if it has not.
                again = waiting[index:]
                self._resent |= {late.key for late in again}
                for late in again:
                    self._count(late, "rebroadcast")
                return

    def _raise(self, waiting: Sequence[TransactionRecord], *, last_urgent: int) -> None:
        """Raises the fees of the foremost transaction, and of those behind it that the base fee has left behind.

        A nonce that its transaction blocks is given up instead.
        """
        market = self._outbox.gateway.fees()
        for index, record in enumerate(waiting[:MOST_BUMPS]):
            urgent = nonce_of(record) <= last_urgent
            # What merely waits behind another transaction is not helped by a higher fee.
            if index and not (
                record.attempts[-1].max_fee_wei < market.base_fee and self._is_stuck(record, urgent=urgent)
            ):
                continue
            useless = not record.cancelling and self._is_useless(record)
            if useless and len(waiting) == 1:
                # It is in nobody's way, and worth no more gas.
                continue
            spent = index or useless or record.cancelling
            hopeless = "" if spent else self._hopeless(waiting, market, last_urgent)
            if not (useless or hopeless) and self._is_beyond_price(record, market):
                continue
            cancels = useless or bool(hopeless) or record.cancelling
            if self._replace(record, market, urgent=urgent, cancels=cancels) and hopeless:
                seconds = self._fees.give_up_s(urgent=urgent)
                self._watch.give_up(record.key, seconds, now=self._now, reason=hopeless)

    def _replace(self, record: TransactionRecord, market: Fees, *, urgent: bool, cancels: bool) -> bool:
        """Signs the next form of a transaction, unless a cap holds it back; whether it did."""
        gas = 0 if cancels else record.gas or 0
        offer = self._fees.replacement(last_offer(record), market, urgent=urgent, gas=gas, cancels=cancels)
        if offer is None:
            if not refusal(record):
                self._hold_back(record)
            return False
        try:
            attempt = self._outbox.sign(record.intent, nonce=nonce_of(record), gas=gas, offer=offer, cancels=cancels)
        except SignerError as error:
            self._set(replace(record, note=type(error).__name__))
            return False
        self._watch.release(record.key)
        self._older.pop(record.key, None)
        self._set(replace(record, attempts=(*record.attempts, attempt), note=""), send=True)
        return True

    def _is_beyond_price(self, record: TransactionRecord, market: Fees) -> bool:
        """Whether the node refuses a transaction for something else than its fees, as far as can be told."""
        if refusal(record) == FundsTooLow.__name__:
            # It waits for ether, not for a higher price.
            return True
        return bool(refusal(record)) and record.attempts[-1].max_fee_wei >= self._fees.worth(market)

    def _hopeless(self, waiting: Sequence[TransactionRecord], market: Fees, last_urgent: int) -> str:
        """Why the foremost transaction is given up although it is wanted; "" while it has prospects.

        SAFETY: without this, one signed transaction that nodes refuse would keep every later one from the chain, the
        answers in disputes among them. Its key may be signed anew when the empty one in its place is settled.
        """
        record = waiting[0]
        patience_s = self._fees.give_up_s(urgent=nonce_of(record) <= last_urgent)
        if refused := self._watch.lasting_refusal(record, patience_s, now=self._now):
            # Ether may still come, and only what is urgent cannot wait for it.
            waits = refused == FundsTooLow.__name__ and nonce_of(record) >= last_urgent
            return "" if waits else record.note if refusal(record) else refused
        # Less gas in one transaction could still be paid for: what waits behind it goes first then.
        last, urgent = last_offer(record), nonce_of(record) <= last_urgent
        is_dear = self._fees.replacement(last, market, urgent=urgent, gas=record.gas or 0) is None
        is_capped = self._fees.replacement(last, market, urgent=urgent) is None
        is_overtaken = len(waiting) > 1 and is_dear and not is_capped and self._waited(record) >= patience_s
        return TransactionTooDear.__name__ if is_overtaken else ""

    def _hold_back(self, record: TransactionRecord) -> None:
        if self._watch.hold(record.key):
            self._count(record, "capped")
        self._set(replace(record, note=TransactionUnderpriced.__name__))

    def _is_useless(self, record: TransactionRecord) -> bool:
        if record.intent.kind == _FILL:
            return False
        if record.intent.deadline is not None and self._head.timestamp > record.intent.deadline:
            return True
        return self._wanted is not None and not self._wanted(record.key)

    def _is_stuck(self, record: TransactionRecord, *, urgent: bool) -> bool:
        waited = self._waited(record)
        if record.note == TransactionUnderpriced.__name__ and not self._watch.is_held(record.key):
            return waited >= REFUSED_S
        # A chain that stands still is not moved by higher fees.
        return waited >= self._fees.patience_s(urgent=urgent) and self._watch.has_seen_blocks_since(record)

    def _waited(self, record: TransactionRecord) -> float:
        """Seconds since the newest form was signed."""
        waited = self._now - record.attempts[-1].signed_at
        # A clock that went back says nothing about how long: at worst one step of fees too early.
        return waited if waited >= 0 else float("inf")

    def _fill_gaps(self, foremost: TransactionRecord, *, urgent: bool) -> None:
        """Frees what waits behind nonces which nobody uses any more, by empty transactions to ourselves."""
        owned = {record.nonce for record in self._after.values()}
        missing = [nonce for nonce in range(self._chain_nonce, nonce_of(foremost)) if nonce not in owned]
        if not missing or not self._is_stuck(foremost, urgent=urgent):
            return
        offer = self._fees.opening(self._outbox.gateway.fees(), urgent=urgent)
        if offer is None:
            # What waits behind the gap would not be mined at these fees either: no reason to fail everything else.
            return
        own = self._outbox.address
        for nonce in missing[:MOST_FILLS]:
            intent = Intent(key=f"{_FILL}:{own}:{nonce}", to=own, data=b"", gas_cap=PLAIN_TRANSFER_GAS)
            try:
                attempt = self._outbox.sign(intent, nonce=nonce, gas=intent.gas_cap, offer=offer)
            except SignerError as error:
                self._set(replace(foremost, note=type(error).__name__))
                return
            filler = TransactionRecord(
                intent=intent,
                sender=own,
                status=TransactionStatus.SIGNED,
                nonce=nonce,
                gas=intent.gas_cap,
                attempts=(attempt,),
            )
            self._set(filler, send=True)

    # What others hear of it.

    def _tell(self, record: TransactionRecord) -> None:
        before = self._before.get(record.key)
        if before is None or len(record.attempts) > len(before.attempts):
            self._outbox.reached(record, "raw_stored")
            event = "cancelled" if record.attempts[-1].cancels else "bumped"
            self._count(record, event if before is not None else "submitted")
        if before is None or record.status is before.status:
            return
        if record.block_number is None:
            self._count(record, "revived" if record.status is TransactionStatus.SIGNED else "abandoned")
            return
        self._outbox.reached(record, "receipt_stored")
        if before.status is TransactionStatus.SIGNED:
            self._count(record, "mined")
        if record.status is not TransactionStatus.MINED:
            self._tell_end(record)

    def _tell_end(self, record: TransactionRecord) -> None:
        receipt = self._receipts.get(record.transaction_hash or b"")
        if receipt is not None:
            wei = receipt.gas_used * receipt.effective_gas_price
            self._outbox.telemetry.fees_paid(record.intent.kind, wei)
        abandoned = record.status is TransactionStatus.ABANDONED
        self._count(record, "abandoned" if abandoned else "confirmed" if record.succeeded else "reverted")

    def _count(self, record: TransactionRecord, event: str) -> None:
        self._outbox.telemetry.transaction(record.intent.kind, event)


def _unmined(record: TransactionRecord) -> TransactionRecord:
    return replace(
        record,
        status=TransactionStatus.SIGNED,
        transaction_hash=None,
        block_number=None,
        succeeded=None,
        cost_wei=None,
        note="",
    )
