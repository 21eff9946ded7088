"""The loop of the challenger.

SIGTERM: the caller sets the stop event; the loop takes nothing new, lets runs under way end, and returns. Whatever had
not been stored by then is repeated after the next start: disputes are taken up from what the chain says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block, Gateway
from sworn.chain.heads import POLLING, Wakeup
from sworn.chain.sender import SENDER_POINTS
from sworn.chain.transactions import TransactionSender
from sworn.dispute.search import Finding
from sworn.dispute.strategy import Action
from sworn.errors import (
    ChainError,
    CodecError,
    ConfigurationError,
    RunOutOfMemory,
    RunTimedOut,
    StoreError,
    SwornError,
    TransientChainError,
)
from sworn.pools import filled_pool
from sworn.types import ModelId, ResultId
from sworn.watcher.challenger.checking import Checked, Checker
from sworn.watcher.challenger.claims import Claim, ClaimStatus
from sworn.watcher.challenger.intake import ClaimIntake
from sworn.watcher.challenger.litigation import Litigation
from sworn.watcher.challenger.reading import Look, Reader
from sworn.watcher.challenger.searching import Searches
from sworn.watcher.challenger.sharing import Shares
from sworn.watcher.challenger.store import ClaimStore
from sworn.watcher.containment import Care, Containment, Patience, Remedy
from sworn.watcher.replica import ALONE, ReplicaRole
from sworn.watcher.retention import RowRetention
from sworn.watcher.telemetry import NO_TELEMETRY, Telemetry

#: Every point at which `Challenger` and its `Sender` call their checkpoint; dying at any of them loses nothing.
CHALLENGER_KILL_POINTS: tuple[str, ...] = (
    "claims_fetched",
    "claims_stored",
    "before_check",
    "after_check",
    "verdict_stored",
    "before_search",
    "after_search",
    "before_move",
    *(f"{action.value}_{point}" for action in Action for point in SENDER_POINTS),
    "claim_settled",
)
#: Consecutive unexpected errors after which a claim that is only looked at is parked.
MAX_ATTEMPTS: Final = 8
#: Checks of one claim that break a limit of runs, after which it is parked: it would hold a worker again and again.
MAX_OVERRUNS: Final = 3
#: Claims under challenge, and others, that are looked at in one turn.
BATCH: Final = 1_000
#: Seconds of one turn in which claims are looked at that are not under challenge: those that are have clocks.
LOOKING_S: Final = 5.0
#: How soon a stop is noticed while models run.
STOP_LATENCY_S: Final = 0.2
#: What a finding was found in: the trace root, and the transactions that showed something of the trace.
_Token = tuple[bytes, tuple[bytes, ...]]


_REMEDIES: Final = (
    (StoreError, Remedy(care=Care.EVERYBODYS)),
    (TransientChainError, Remedy(care=Care.NODE)),
    (RunTimedOut, Remedy(care=Care.PARK)),
    (RunOutOfMemory, Remedy(care=Care.PARK)),
    (SwornError, Remedy(care=Care.LATER)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenger:
    """One challenger's daemon. All I/O with the chain happens in the thread that calls `run`."""

    gateway: Gateway
    intake: ClaimIntake
    reader: Reader
    litigation: Litigation
    checker: Checker
    searches: Searches
    store: ClaimStore
    #: None where claims are only observed.
    sender: TransactionSender | None
    log: FilteringBoundLogger
    #: Models that run, and traces that are searched, at the same time.
    workers: int = 1
    poll_interval_s: float = 2.0
    #: Says when there is a new block.
    wakeup: Wakeup = POLLING
    checkpoint: Callable[[str], None] = lambda point: None
    clock: Callable[[], float] = time.time
    telemetry: Telemetry = NO_TELEMETRY
    #: This process among those that share the database; one that does not lead waits.
    role: ReplicaRole = ALONE
    #: None where the database keeps everything.
    rows: RowRetention | None = None
    _checks: dict[ResultId, Future[Checked]] = field(default_factory=dict, repr=False, init=False)
    _hunts: dict[ResultId, tuple[_Token, Future[Finding]]] = field(default_factory=dict, repr=False, init=False)
    _findings: dict[ResultId, tuple[_Token, Finding]] = field(default_factory=dict, repr=False, init=False)
    #: Claims that met trouble with the node when they were last looked at.
    _troubled: set[ResultId] = field(default_factory=set, repr=False, init=False)

    containment: Containment[Claim] = field(init=False, repr=False)
    _shares: Shares = field(init=False, repr=False)
    _patience: Patience = field(init=False, repr=False)

    def __post_init__(self) -> None:
        containment = Containment(
            remedies=_REMEDIES,
            crashed="claim_crashed",
            postpone=self._postpone,
            park=self._park,
            facts=lambda claim: {"result_id": claim.result_id, "attempts": claim.attempts},
            poll_interval_s=self.poll_interval_s,
            log=self.log,
        )
        object.__setattr__(self, "containment", containment)
        object.__setattr__(self, "_shares", Shares(self.workers))
        object.__setattr__(self, "_patience", Patience(poll_interval_s=self.poll_interval_s))

    def run(self, stop: Event, *, once: bool = False) -> None:
        """Watches until ``stop`` is set; with ``once`` until nothing more can be done without waiting for the chain.

        With ``once``, raises the `ChainError`, `StoreError` or `ConfigurationError` that a running service would wait
        out.
        """
        self.log.info("challenger_started", account=self.reader.account, observes=self.sender is None)
        with filled_pool(self.workers, name="checking") as pool:
            try:
                while not stop.is_set():
                    if self._turn_or_wait(pool, stop, once=once):
                        continue
                    if once and not self._under_way():
                        break
                    self._rest(stop)
            finally:
                for run in self._under_way():
                    run.cancel()
        self.role.release()
        self.log.info("challenger_stopped")

    def turn(self, pool: ThreadPoolExecutor, stop: Event) -> bool:
        """One round over logs, transactions and claims; whether anything changed.

        Raises `ChainError`, `StoreError`, and `ConfigurationError` when the node refuses the challenger.
        """
        if not self.role.leads():
            return False
        changed = self.intake.follow()
        changed |= self._poll_transactions()
        head = self.gateway.block("latest")
        if self.rows is not None:
            self.rows.sweep(head)
        changed |= self._collect(head)
        self.checker.shelf.records.next_round()
        for claim in self.store.due(block_timestamp=head.timestamp, limit=BATCH):
            if stop.is_set():
                break
            changed |= self.containment.run(claim, partial(self._act, claim, head, pool))
        changed |= self._begin_checks(head, pool, stop)
        return changed or self.checker.shelf.records.has_more

    def _turn_or_wait(self, pool: ThreadPoolExecutor, stop: Event, *, once: bool) -> bool:
        begun, failed = time.monotonic(), True
        try:
            changed = self.turn(pool, stop)
            failed = False
            return changed
        except (ChainError, CodecError, StoreError, ConfigurationError) as error:
            if once:
                raise
            self.log.warning("turn_failed", error=type(error).__name__, reason=str(error))
            return False
        finally:
            self.telemetry.turn(time.monotonic() - begun, failed, self.role.led)

    def _poll_transactions(self) -> bool:
        changed = [] if self.sender is None else self.sender.poll()
        for record in changed:
            facts = {"status": record.status.value, "tx": record.transaction_hash, "succeeded": record.succeeded}
            self.log.info("transaction_changed", key=record.key, block=record.block_number, note=record.note, **facts)
        return bool(changed)

    def _act(self, claim: Claim, head: Block, pool: ThreadPoolExecutor) -> bool:
        look = self.reader.look(claim, head)
        changed = self.litigation.act(claim, look, self._finding(claim, look, pool))
        self._forget_settled(claim)
        return changed

    def _begin_checks(self, head: Block, pool: ThreadPoolExecutor, stop: Event) -> bool:
        """Gives free workers the claims whose windows close first."""
        changed, tried, unread, until = False, set(self._checks), set[ModelId](), time.monotonic() + LOOKING_S
        # What met trouble with the node comes last for one turn: if only this one meets it, others go on meanwhile.
        troubled = set(self._troubled)
        self._troubled.clear()
        for _ in range(BATCH):
            if stop.is_set() or len(self._under_way()) >= self.workers:
                break
            claim = self._next_claim(head, tried, troubled, unread)
            if claim is None:
                break
            tried.add(claim.result_id)
            if self.checker.shelf.records.waits(claim.request.model_id):
                unread.add(claim.request.model_id)
                continue
            changed |= self.containment.run(claim, partial(self._begin_check, claim, head, pool))
            if time.monotonic() >= until:
                return True
        return changed

    def _next_claim(
        self, head: Block, tried: set[ResultId], troubled: set[ResultId], unread: set[ModelId]
    ) -> Claim | None:
        operators, models = self._shares.sated()
        wishes = ((tried | troubled, operators, models | unread), (tried | troubled, (), unread), (tried, (), unread))
        for without, those, of in wishes:
            found = self.store.unchecked(
                block_timestamp=head.timestamp, limit=1, without=without, operators=those, models=of
            )
            if found:
                return found[0]
        return None

    def _begin_check(self, claim: Claim, head: Block, pool: ThreadPoolExecutor) -> bool:
        if self.litigation.skip(claim, self.reader.look(claim, head)):
            self._forget_settled(claim)
            return True
        published = self.checker.shelf.records.look(claim.request.model_id)
        if published is None:
            return False
        result = claim.case(self.reader.contracts.domain).result
        self.checkpoint("before_check")
        self.log.info("check_started", result_id=claim.result_id, model_id=claim.request.model_id)
        self._shares.begin(claim)
        self._checks[claim.result_id] = pool.submit(self.checker.check, claim, published, result)
        return True

    def _finding(self, claim: Claim, look: Look, pool: ThreadPoolExecutor) -> Finding | None:
        """What the search has come to in what is shown now; None while it is under way."""
        shown = self.litigation.shown(look)
        if shown is None:
            return None
        told = [event for event in look.events if event.name in ("TraceCommitted", "Disclosed")]
        token = (look.view.trace_root, tuple(event.transaction_hash for event in told))
        known = self._findings.get(claim.result_id)
        if known is not None and known[0] == token:
            return known[1]
        if claim.result_id not in self._hunts and look.may_prove:
            published = self.checker.shelf.records.look(claim.request.model_id)
            if published is not None:
                self.checkpoint("before_search")
                self._shares.begin(claim)
                hunt = pool.submit(self.searches.look, claim, published, look.view.sworn, shown)
                self._hunts[claim.result_id] = (token, hunt)
        # What was found in less of the same trace holds in more of it.
        return known[1] if known is not None and known[0][0] == token[0] else None

    def _collect(self, head: Block) -> bool:
        """Takes up the runs and searches that have ended."""
        checked = [result_id for result_id, run in self._checks.items() if run.done()]
        hunted = [result_id for result_id, (_, run) in self._hunts.items() if run.done()]
        for result_id in checked:
            run = self._checks.pop(result_id)
            self._shares.end(result_id)
            claim = self.store.claim(result_id)
            if claim is not None and claim.status is ClaimStatus.SEEN:
                self.containment.run(claim, partial(self._conclude, claim, run, head))
        for result_id in hunted:
            token, hunt = self._hunts.pop(result_id)
            self._shares.end(result_id)
            claim = self.store.claim(result_id)
            if claim is not None and not claim.status.terminal:
                self.containment.run(claim, partial(self._note, claim, token, hunt))
        return bool(checked or hunted)

    def _conclude(self, claim: Claim, run: Future[Checked], head: Block) -> bool:
        self.telemetry.claim_checked("failed" if run.exception() is not None else run.result().verdict.value)
        checked = run.result()
        self.checkpoint("after_check")
        self.litigation.conclude(claim, checked, head.number)
        self._forget_settled(claim)
        return True

    def _note(self, claim: Claim, token: _Token, hunt: Future[Finding]) -> bool:
        self._findings[claim.result_id] = (token, hunt.result())
        self.checkpoint("after_search")
        return True

    def _forget_settled(self, claim: Claim) -> None:
        stored = self.store.claim(claim.result_id)
        if stored is not None and stored.status.terminal:
            self._findings.pop(claim.result_id, None)
            self.searches.drop(claim)

    def _postpone(self, claim: Claim, error: Exception, wait_s: float | None) -> None:
        if isinstance(error, TransientChainError):
            self._troubled.add(claim.result_id)
            wait_s = self._patience.wait_s(claim.result_id)
        known = isinstance(error, SwornError)
        if known and not isinstance(error, TransientChainError):
            event = "claim_unverified" if claim.status is ClaimStatus.SEEN else "claim_troubled"
            self.log.error(event, result_id=claim.result_id, error=type(error).__name__, reason=str(error))
        reason = str(error) if isinstance(error, TransientChainError) else f"{type(error).__name__}: {error}"
        self.litigation.postpone(claim, reason, wait_s=wait_s)

    def _park(self, claim: Claim, error: Exception) -> bool:
        if claim.status is not ClaimStatus.SEEN:
            return False
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, RunTimedOut | RunOutOfMemory):
            claim = replace(claim, overruns=claim.overruns + 1)
            reason = f"given up after {claim.overruns} checks: {reason}; raise challenge.timeout_s or memory_bytes"
            if claim.overruns < MAX_OVERRUNS:
                self.store.save(claim)
                return False
        elif claim.attempts + 1 < MAX_ATTEMPTS:
            return False
        self.store.save(replace(claim, status=ClaimStatus.PARKED, reason=reason))
        self.log.error("claim_parked", result_id=claim.result_id, operator=claim.operator, reason=reason)
        return True

    def _rest(self, stop: Event) -> None:
        """Sleeps until the next poll, a finished run, or a stop."""
        # Not the wall clock, which may jump.
        wake_at = time.monotonic() + self.poll_interval_s
        while not stop.is_set() and (left_s := wake_at - time.monotonic()) > 0:
            runs = self._under_way()
            if runs and wait(runs, timeout=min(left_s, STOP_LATENCY_S), return_when=FIRST_COMPLETED).done:
                return
            if self.wakeup.wait(0.0 if runs else min(left_s, STOP_LATENCY_S)):
                return

    def _under_way(self) -> list[Future[Any]]:
        return [*self._checks.values(), *(hunt for _, hunt in self._hunts.values())]
