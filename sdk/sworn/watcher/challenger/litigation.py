"""One step of one claim: look at the chain, decide, act. Every effect is stored before it leaves the process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from structlog.typing import FilteringBoundLogger

from sworn.chain.transactions import Intent, TransactionSender, TransactionStatus
from sworn.codec.trees import keccak
from sworn.dispute.case import Clocks
from sworn.dispute.moves import Moves
from sworn.dispute.record import shown_in
from sworn.dispute.search import FaultFound, Finding, Wanted
from sworn.dispute.shown_trace import ShownTrace
from sworn.dispute.strategy import Action, Done, Knowledge, Move, Step, View, next_move
from sworn.errors import StoreError
from sworn.types import ZERO_HASH
from sworn.watcher.challenger.checking import Checked, Verdict
from sworn.watcher.challenger.claims import Claim, ClaimStatus, Scrutiny
from sworn.watcher.challenger.reading import Look, Reader, Witness
from sworn.watcher.challenger.store import ClaimStore

#: Gas that one transaction may have on any chain (EIP-7825).
MAX_TRANSACTION_GAS = 1 << 24
MAX_BACKOFF_S = 60.0
#: Moves that put a bond at risk.
_ENTERING = (Action.OPEN, Action.JOIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Litigation:
    """Everything that is done with one claim, except running models and searching traces."""

    reader: Reader
    witness: Witness | None
    store: ClaimStore
    #: None where claims are only observed.
    sender: TransactionSender | None
    moves: Moves
    clocks: Clocks
    scrutiny: Scrutiny
    #: 32 bytes; the sample and the salts are derived from it.
    secret: bytes
    log: FilteringBoundLogger
    clock: Callable[[], float]
    checkpoint: Callable[[str], None]

    def skip(self, claim: Claim, look: Look) -> bool:
        """Whether a claim that was just seen is not checked; stores why."""
        if not look.is_open:
            self.settle(claim, ClaimStatus.UNCHECKED, "its window closed before it was checked", look)
            return True
        # Whoever has posted a bond goes through with it.
        reason = None if look.view.me.bond_wei else self.scrutiny.skips(claim, self.secret)
        if reason is not None:
            self.settle(claim, ClaimStatus.SKIPPED, reason, look)
        return reason is not None

    def conclude(self, claim: Claim, checked: Checked, head: int) -> None:
        """Stores a verdict."""
        if checked.verdict is Verdict.HONEST:
            self._end(claim, ClaimStatus.HONEST, checked.reason, head)
        elif checked.verdict is Verdict.UNDECIDED:
            # INVARIANT: no bond is put at risk over what may be an honest run of another machine.
            facts = {"operator": claim.operator, "reason": checked.reason}
            self.log.error("result_undecided", result_id=claim.result_id, **facts)
            self._end(claim, ClaimStatus.SKIPPED, f"undecided: {checked.reason}", head)
        elif self.sender is None:
            self.log.error("result_false", result_id=claim.result_id, operator=claim.operator, reason=checked.reason)
            self._end(claim, ClaimStatus.OBSERVED, checked.reason, head)
        else:
            self.log.error("result_false", result_id=claim.result_id, operator=claim.operator, reason=checked.reason)
            false = replace(claim, status=ClaimStatus.FALSE, reason=checked.reason, attempts=0, retry_at=0.0)
            self.store.save(false)
        self.checkpoint("verdict_stored")

    def shown(self, look: Look) -> ShownTrace | None:
        """What the chain shows of the trace; None while the operator has not committed to one."""
        if look.view.trace_root == ZERO_HASH:
            return None
        shown = shown_in(look.events, look.view.trace_root)
        for reason in shown.refused:
            self.log.error("disclosure_refused", result_id=look.view.case.result_id, reason=reason)
        return shown

    def act(self, claim: Claim, look: Look, finding: Finding | None) -> bool:
        """Makes the next moves; whether anything changed. Raises `ChainError`, `StoreError`, `SignerError`."""
        self._tell(claim, finding)
        risk_wei = self.scrutiny.risk_wei(look.bond_wei, look.paid_wei) if look.bond_wei else 0
        view, changed = look.view, self._expose(claim, risk_wei)
        step = self._decide(view, look, finding)
        while isinstance(step, Move) and step.action is Action.DEMAND and step.target is not None:
            changed |= self._submit(claim, view, step)
            # Demands do not build on each other's blocks.
            view = view.demanding(step.target, due_at=look.head.timestamp + self.clocks.disclose_s)
            step = self._decide(view, look, finding)
        if isinstance(step, Done):
            self.settle(claim, ClaimStatus.SETTLED, step.reason, look)
            return True
        if not isinstance(step, Move):
            return changed
        under_way = self.sender is not None and self.sender.record(step.key(claim.result_id)) is not None
        if step.action in _ENTERING and not under_way and not self._may_enter(claim, look, step):
            return True
        return self._submit(claim, view, step) or changed

    def settle(self, claim: Claim, status: ClaimStatus, reason: str, look: Look) -> None:
        """Ends a claim."""
        self._end(claim, status, reason, look.head.number)

    def postpone(self, claim: Claim, reason: str, *, wait_s: float | None = None) -> None:
        """Leaves an open claim for later: for ``wait_s``, or longer with every consecutive trouble."""
        stored = self.store.claim(claim.result_id) or claim
        attempts = stored.attempts + (wait_s is None)
        delay = min(2.0 ** min(attempts, 30), MAX_BACKOFF_S) if wait_s is None else wait_s
        self.store.save(replace(stored, reason=reason, attempts=attempts, retry_at=self.clock() + delay))
        self.log.warning("claim_postponed", result_id=claim.result_id, reason=reason, attempts=attempts, wait_s=delay)

    def _decide(self, view: View, look: Look, finding: Finding | None) -> Step:
        knowledge = Knowledge(
            is_false=True, finding=finding, secret=self.secret, budget_wei=self.scrutiny.max_demands_wei
        )
        return next_move(view, knowledge, self.clocks, now=look.head.timestamp, head=look.head.number)

    def _may_enter(self, claim: Claim, look: Look, move: Move) -> bool:
        """Whether a bond may be put at risk; stores why not."""
        contracts = self.reader.contracts
        fees = contracts.gateway.fees()
        bond_wei = contracts.bond_for(claim.request.value_at_risk_wei)
        reason = self.scrutiny.loss(bond_wei=bond_wei, gas_price_wei=fees.base_fee + fees.tip)
        # INVARIANT: all that may be demanded counts on entering, so that no dispute is left without what it needs.
        risk_wei = self.scrutiny.risk_wei(move.value_wei)
        others = self.store.exposure_wei(without=claim.result_id)
        if others + risk_wei > self.scrutiny.max_exposure_wei:
            reason = f"{others} wei are at risk in other disputes, {risk_wei} would be in this: raise max_exposure_wei"
        asked = self.store.asked(claim.request_id)
        if reason is None and self.witness is not None and asked is not None:
            reason = self.witness.disagreement(claim, asked.block_number)
        if reason is not None:
            self.log.error("challenge_refused", result_id=claim.result_id, reason=reason)
            self.postpone(claim, reason)
            return False
        # INVARIANT: what may be lost counts before it is sent, so that no crash lets two disputes share one allowance.
        self._expose(claim, risk_wei)
        return True

    def _expose(self, claim: Claim, amount_wei: int) -> bool:
        stored = self.store.claim(claim.result_id)
        if stored is None or stored.exposure_wei >= amount_wei:
            return False
        self.store.save(replace(stored, exposure_wei=amount_wei))
        return True

    def _submit(self, claim: Claim, view: View, move: Move) -> bool:
        if self.sender is None:
            raise StoreError("a claim under challenge is in a database that is only observed with")
        call = move.call(view.case, view.account, self.moves)
        if call.to is None:
            raise StoreError("a move has no contract")
        key = move.key(claim.result_id)
        known = self.sender.record(key)
        if known is not None and known.status is TransactionStatus.CONFIRMED and known.succeeded:
            # Its effect has not reached the view, or was another's: a withdrawal for one dispute pays for all.
            if move.action is Action.WITHDRAW:
                self._end(claim, ClaimStatus.SETTLED, "paid out", known.block_number or 0)
                return True
            return False
        if known is None:
            self.checkpoint("before_move")
        intent = Intent(
            key=key, to=call.to, data=call.data, value_wei=call.value, gas_cap=MAX_TRANSACTION_GAS, urgent=True
        )
        record = self.sender.submit(intent)
        if record == known:
            return False
        tx = record.attempts[-1].hash if record.attempts else None
        facts = {"move": move.action.value, "tx": tx, "nonce": record.nonce, "value_wei": call.value}
        self.log.info("move_submitted", result_id=claim.result_id, **facts)
        return True

    def _tell(self, claim: Claim, finding: Finding | None) -> None:
        if isinstance(finding, FaultFound):
            place = f"{finding.kind.name.lower()}: element {finding.index} of value {finding.value}"
            facts = {"place": place, "proof_bytes": len(finding.proof), "proof": keccak(finding.proof)}
            self.log.debug("fault_found", result_id=claim.result_id, **facts)
        elif isinstance(finding, Wanted):
            self.log.debug("parts_wanted", result_id=claim.result_id, count=len(finding.targets))

    def _end(self, claim: Claim, status: ClaimStatus, reason: str, head: int) -> None:
        ended = replace(claim, status=status, reason=reason, exposure_wei=0, settled_block=head)
        self.store.save(ended)
        self.log.info(f"claim_{status.value}", result_id=claim.result_id, reason=reason)
        self.checkpoint("claim_settled")
