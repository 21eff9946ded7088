"""One step of one defence: look at the chain, decide, act. Every effect is stored before it leaves the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block, Call
from sworn.chain.transactions import LIVE, Intent, TransactionRecord, TransactionSender, TransactionStatus
from sworn.dispute.case import Clocks
from sworn.dispute.disclosure import is_of_trace, show
from sworn.dispute.model_disclosure import show_model
from sworn.dispute.moves import Moves
from sworn.dispute.queries import Queries, Query
from sworn.errors import ChainError, ContractRevert, TraceCorrupt
from sworn.model.exhibit_file import ExhibitFile
from sworn.model.trace_file import TraceFile
from sworn.types import ZERO_HASH, Address, Disclosure, Dispute, DisputeStatus
from sworn.watcher.contracts import Contracts
from sworn.watcher.defence.decisions import Answer, Decision, Outlook, committed_root, decide
from sworn.watcher.defence.docket import Contested, Docket, sworn_statement
from sworn.watcher.defence.evidence import Evidence, Rerun, difference
from sworn.watcher.defence.records import Defence, DefenceStatus, OpenDemand
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.quarantine import Quarantine
from sworn.watcher.signing import ResultSigners
from sworn.watcher.submissions import MAX_TRANSACTION_GAS

_Value = TypeVar("_Value")

#: Data roots that a commitment may state one by one; constant of `contracts/dispute/Disputes.sol`.
MAX_INLINE_ROOTS: Final = 64
#: Disclosures on their way at a time.
MAX_IN_FLIGHT: Final = 16
#: Gas of a withdrawal, rounded up; credit that is not worth this many times its gas stays where it is.
WITHDRAW_GAS: Final = 60_000
WITHDRAW_FACTOR: Final = 3
#: The same while other disputes go on: who keeps one open for ever must not keep the money there.
EARLY_FACTOR: Final = 100
_ADVICE: Final = (
    "nothing is sent: the bond behind this result is lost if somebody proves it. Stop serving the model, keep "
    "database, traces and log, find out what changed (memory, CPU, version of sworn or onnxruntime), and restart: the "
    "run is then tried once more"
)


class Flight:
    """How many answers may still be sent in one turn: nodes hold few transactions of one account."""

    def __init__(self, room: int = MAX_IN_FLIGHT) -> None:
        self._room = room

    @property
    def is_full(self) -> bool:
        """Whether the rest has to wait."""
        return self._room <= 0

    def board(self) -> None:
        """One more is on its way."""
        self._room -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the chain says about a dispute, and what follows."""

    head: Block
    contested: Contested
    dispute: Dispute
    trace: TraceFile | None
    exhibit: ExhibitFile | None
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Everything that is done in one dispute, except running the model."""

    contracts: Contracts
    queries: Queries
    moves: Moves
    clocks: Clocks
    docket: Docket
    evidence: Evidence
    store: DefenceStore
    sender: TransactionSender
    result_signers: ResultSigners
    quarantine: Quarantine
    operator: Address
    confirmations: int
    log: FilteringBoundLogger
    checkpoint: Callable[[str], None]
    #: Disputes whose kept trace is damaged; of these, those whose model gives another trace now; and those whose loss
    #: has been told.
    _damaged: set[bytes] = field(default_factory=set, repr=False, init=False)
    _irreparable: set[bytes] = field(default_factory=set, repr=False, init=False)
    _told: set[bytes] = field(default_factory=set, repr=False, init=False)

    def states(self, defences: Sequence[Defence]) -> list[bytes | ChainError]:
        """Where disputes stand, for `look`: all of them asked for at once."""
        asked = [self.queries.dispute(defence.result_id).call for defence in defences]
        try:
            return self.contracts.gateway.calls(asked) if asked else []
        except ChainError as error:
            # The first one that is looked at meets it, and is put off.
            return [error] * len(asked)

    def look(self, defence: Defence, head: Block, state: bytes | ChainError) -> View | None:
        """Decides what to do about a dispute that stands so; None for a result that nothing is known of.

        Raises `ChainError`, `StoreError`, `TraceError`.
        """
        contested = self.docket.find(defence)
        if contested is None:
            return None
        if isinstance(state, ChainError):
            raise state
        dispute = self.queries.dispute(defence.result_id).decode(state)
        trace = self._trace(defence, contested, dispute)
        demands = self.store.demands(defence.result_id)
        exhibit = self._exhibit(contested, demands)
        outlook = Outlook(
            result=contested.result,
            dispute=dispute,
            demands=demands,
            has_trace=trace is not None,
            has_exhibit=exhibit is not None,
        )
        decision = decide(defence, outlook, clocks=self.clocks, now=head.timestamp)
        return View(head=head, contested=contested, dispute=dispute, trace=trace, exhibit=exhibit, decision=decision)

    def act(self, defence: Defence, view: View, flight: Flight) -> bool:
        """Does everything but run models; whether anything changed. Raises `ChainError`, `StoreError`, `TraceError`."""
        self._note_clock(defence, view)
        match view.decision.answer:
            case Answer.SETTLE:
                return self._settle(defence, view)
            case Answer.COMMIT:
                return self._commit(defence, view)
            case Answer.DISCLOSE | Answer.EXHIBIT:
                return self._disclose(defence, view, flight)
            case Answer.RESOLVE:
                return self._submit(f"resolve:{defence.result_id.hex()}", self.moves.resolve(view.contested.case))
            case _:
                return self._keep(defence, view.decision)

    def conclude(self, defence: Defence, contested: Contested, rerun: Rerun) -> bool:
        """Keeps the trace of a second run, unless it shows something else than was sworn."""
        dispute = self._read(self.queries.dispute(defence.result_id))
        committed = committed_root(contested.result, dispute)
        differs = difference(contested, rerun, committed if committed != ZERO_HASH else defence.trace_root or ZERO_HASH)
        if differs:
            self.evidence.discard(rerun)
            return self._give_up(defence, contested, differs)
        self.evidence.keep(contested, rerun)
        self._damaged.discard(defence.result_id)
        if committed == ZERO_HASH:
            # INVARIANT: the trace is durable, then journalled, then signed.
            self.store.swear(defence.result_id, rerun.trace_root)
            self.checkpoint("trace_journalled")
        self.log.info("trace_ready", result_id=defence.result_id, trace_root=rerun.trace_root)
        return True

    def _trace(self, defence: Defence, contested: Contested, dispute: Dispute) -> TraceFile | None:
        committed = committed_root(contested.result, dispute)
        if defence.result_id in self._damaged - self._irreparable:
            return None
        try:
            return self.evidence.find(contested, defence.trace_root if committed == ZERO_HASH else committed)
        except TraceCorrupt as error:
            self._irreparable.discard(defence.result_id)
            self._damage(defence, error)
            return None

    def _exhibit(self, contested: Contested, demands: Sequence[OpenDemand]) -> ExhibitFile | None:
        """The model, where parts of it are demanded."""
        if all(is_of_trace(demand.target.part) for demand in demands):
            return None
        try:
            return self.evidence.exhibit(contested)
        except TraceCorrupt:
            self.evidence.drop_exhibit(contested)
            return None

    def _damage(self, defence: Defence, error: TraceCorrupt) -> None:
        self._damaged.add(defence.result_id)
        self.log.critical("trace_damaged", result_id=defence.result_id, reason=str(error))

    def _give_up(self, defence: Defence, contested: Contested, differs: str) -> bool:
        """Without the run that was sworn to nothing can be shown, unless a damaged trace has what is asked for."""
        committed = contested.result.trace_root
        if defence.result_id in self._damaged and self._is_readable(contested, committed):
            self._irreparable.add(defence.result_id)
            self.log.critical("trace_irreparable", result_id=defence.result_id, reason=differs)
            return True
        return self._surrender(defence, contested, differs)

    def _is_readable(self, contested: Contested, trace_root: bytes) -> bool:
        try:
            return self.evidence.find(contested, trace_root) is not None
        except TraceCorrupt:
            return False

    def _surrender(self, defence: Defence, contested: Contested, differs: str) -> bool:
        facts = {"result_id": defence.result_id, "request_id": contested.job.request_id, "advice": _ADVICE}
        self.log.critical("result_indefensible", reason=differs, **facts)
        # Every further result of this model might cost a bond as well.
        self.quarantine.bar_model(contested.job.request.model_id, differs)
        self.store.save(replace(defence, status=DefenceStatus.INDEFENSIBLE, reason=differs))
        return True

    def _note_clock(self, defence: Defence, view: View) -> None:
        """Stores until when a trace is due, for alarms that must work without a node."""
        is_open = view.dispute.status is DisputeStatus.OPEN
        is_owed = is_open and committed_root(view.contested.result, view.dispute) == ZERO_HASH
        answer_by = self.clocks.trace_until(view.dispute) if is_owed else None
        if (defence.opened_at, defence.answer_by) != (view.dispute.opened_at, answer_by):
            self.store.save(replace(defence, opened_at=view.dispute.opened_at, answer_by=answer_by))

    def _keep(self, defence: Defence, decision: Decision) -> bool:
        stored = self.store.defence(defence.result_id) or defence
        kept = replace(stored, status=decision.status, reason=decision.reason, due_at=decision.due_at)
        if kept == stored:
            return False
        self.store.save(kept)
        if decision.reason != stored.reason:
            self.log.info("defence_waits", result_id=defence.result_id, reason=decision.reason)
        return False

    def _commit(self, defence: Defence, view: View) -> bool:
        trace, case = view.trace, view.contested.case
        if trace is None or self._is_under_way(f"commit:{defence.result_id.hex()}"):
            return False
        # The same root as was journalled when the model ran, and again for one that another process had journalled.
        self.store.swear(defence.result_id, trace.trace_root)
        statement = sworn_statement(view.contested, trace.trace_root, self.contracts)
        signature = self.result_signers.sign(statement, expiry=view.contested.result.expiry)
        self.checkpoint("trace_signed")
        if len(trace.data_roots) <= MAX_INLINE_ROOTS:
            call = self.moves.commit_trace_roots(case, trace.data_roots, signature)
        else:
            call = self.moves.commit_trace(case, trace.trace_root, signature)
        return self._submit(f"commit:{defence.result_id.hex()}", call, urgent=True)

    def _disclose(self, defence: Defence, view: View, flight: Flight) -> bool:
        changed = False
        for demand in view.decision.demands:
            if flight.is_full:
                break
            if self._is_under_way(_key(demand)):
                flight.board()
            elif self._disclose_one(defence, view, demand):
                flight.board()
                changed = True
        return changed

    def _disclose_one(self, defence: Defence, view: View, demand: OpenDemand) -> bool:
        """Whether an answer went on its way; trouble with one demand is no trouble for the next."""
        try:
            call = self.moves.disclose(view.contested.case, demand.challenger, demand.target, _shown(view, demand))
            return self._submit(_key(demand), call, urgent=True)
        except TraceCorrupt as error:
            if is_of_trace(demand.target.part):
                self._damage(defence, error)
            else:
                self.evidence.drop_exhibit(view.contested)
        except ContractRevert as error:
            # Answered by another, or undone by a reorg: the logs will tell.
            self.log.warning("disclosure_refused", demand_id=demand.demand_id, reason=str(error))
        return False

    def _settle(self, defence: Defence, view: View) -> bool:
        status = view.decision.status
        if status is DefenceStatus.REFUTED and defence.result_id not in self._told:
            self._told.add(defence.result_id)
            self.log.critical("result_refuted", result_id=defence.result_id, prover=view.dispute.prover)
        if not self._is_deep(defence, view):
            return False
        self._withdraw(defence, is_last=len(self.store.open()) == 1)
        stored = self.store.defence(defence.result_id) or defence
        self.store.save(replace(stored, status=status, answer_by=None, settled_block=view.head.number, reason=""))
        self.log.info(f"dispute_{status.value}", result_id=defence.result_id)
        self.checkpoint("dispute_settled")
        return True

    def _withdraw(self, defence: Defence, *, is_last: bool) -> None:
        """Has the operator paid what it was credited, when that is worth the gas; early only when it is much."""
        credit_wei = self._read(self.queries.reward(self.operator))
        fees = self.contracts.gateway.fees()
        factor = WITHDRAW_FACTOR if is_last else EARLY_FACTOR
        if credit_wei < max(factor * WITHDRAW_GAS * (fees.base_fee + fees.tip), 1):
            return
        try:
            self._submit(f"withdraw:{defence.result_id.hex()}", self.moves.withdraw_for(self.operator))
        except ContractRevert as error:
            self.log.warning("withdrawal_refused", operator=self.operator, reason=str(error))

    def _is_deep(self, defence: Defence, view: View) -> bool:
        """Whether the end also shows at the block that has enough confirmations."""
        if self.confirmations == 0:
            return True
        safe = max(view.head.number - self.confirmations, defence.block_number)
        query = self.queries.dispute(defence.result_id)
        there = query.decode(self.contracts.gateway.call(query.call, block=safe))
        return there.status is view.dispute.status

    def _is_under_way(self, key: str) -> bool:
        """Whether a transaction needs nothing more from us, short of its receipt or log."""
        record = self.sender.record(key)
        if record is None:
            return False
        return record.status in LIVE or _succeeded(record)

    def _submit(self, key: str, call: Call, *, urgent: bool = False) -> bool:
        """Sends a move unless it is on its way; whether anything was sent."""
        if self._is_under_way(key):
            return False
        game = self.contracts.deployment.dispute_game
        intent = Intent(key=key, to=game, data=call.data, gas_cap=MAX_TRANSACTION_GAS, urgent=urgent)
        record = self.sender.submit(intent)
        tx = record.attempts[-1].hash if record.attempts else None
        self.log.info("transaction_submitted", key=key, tx=tx, nonce=record.nonce, note=record.note)
        if record.note:
            self.log.critical("answer_not_taken", key=key, note=record.note, sender=self.sender.address)
        return True

    def _read(self, query: Query[_Value]) -> _Value:
        return query.decode(self.contracts.gateway.call(query.call))


def _shown(view: View, demand: OpenDemand) -> Disclosure | bytes:
    """What answers a demand. Raises `TraceCorrupt`."""
    if not is_of_trace(demand.target.part):
        assert view.exhibit is not None, "INVARIANT: no part of a model is shown before it is written down"  # noqa: S101
        return show_model(view.exhibit, demand.target)
    assert view.trace is not None, "INVARIANT: no part of a trace is shown without the trace"  # noqa: S101
    return show(view.trace, demand.target)


def _key(demand: OpenDemand) -> str:
    return f"disclose:{demand.demand_id.hex()}"


def _succeeded(record: TransactionRecord) -> bool:
    return record.status is TransactionStatus.CONFIRMED and record.succeeded is True
