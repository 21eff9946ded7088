"""One step of one job: look at the chain, decide, act. Every effect is stored before it leaves the process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Block
from sworn.chain.signer import Signer
from sworn.chain.transactions import Intent, TransactionSender, TransactionStatus
from sworn.codec.hashing import failure_digest, recover_signer, result_digest, result_of
from sworn.errors import StoreError, TraceMissing
from sworn.types import ZERO_HASH, Address, Answer, Failure, Profile, RequestState
from sworn.watcher.contracts import Contracts
from sworn.watcher.inference import RETRIED, Computed, Outcome, Unanswerable
from sworn.watcher.jobs import Action, Decision, Job, JobStatus, Oath, decide, effective_deadline
from sworn.watcher.policy import Circumstances, Guards, Refusal, ServedModel, refusal
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.payloads import PayloadStore
from sworn.watcher.traces import KeptTrace, TraceStore

#: Gas that one transaction may have on any chain (EIP-7825).
MAX_TRANSACTION_GAS = 1 << 24
#: Runs of one job before a failure that may pass is taken as final.
MAX_RUNS = 2
MAX_BACKOFF_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the chain says about a job, and what follows."""

    head: Block
    state: RequestState
    oath: Oath | None
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Everything that is done with one job, except running the model."""

    contracts: Contracts
    store: JobStore
    sender: TransactionSender
    result_signer: Signer
    operator: Address
    models: Mapping[bytes, ServedModel]
    guards: Guards
    confirmations: int
    log: FilteringBoundLogger
    clock: Callable[[], float]
    checkpoint: Callable[[str], None]
    #: Needed for models in profile bounded only.
    traces: TraceStore | None = None
    #: Where fetched inputs are kept, so that their results can be defended.
    payloads: PayloadStore | None = None

    def look(self, job: Job, head: Block) -> View:
        """Reads the request's state and decides. Raises `ChainError`."""
        state = self.contracts.state_of(job.request_id)
        oath = self.store.oath(job.request_id, self.operator)
        return View(head=head, state=state, oath=oath, decision=decide(job, state=state, oath=oath, now=head.timestamp))

    def refusal(self, job: Job, view: View) -> Refusal | None:
        """Why the job is not run, if so. Raises `ChainError`."""
        request = job.request
        fees = self.contracts.gateway.fees()
        circumstances = Circumstances(
            now=view.head.timestamp,
            deadline=effective_deadline(request, view.state),
            gas_price_wei=fees.base_fee + fees.tip,
            free_stake_wei=self.contracts.free_stake_of(self.operator),
            bond_wei=self.contracts.bond_for(request.value_at_risk_wei),
            offer=self.contracts.offer_of(self.operator, request.model_id),
            barred=self.contracts.is_barred(job.request_id, self.operator),
        )
        model = self.models.get(request.model_id)
        refused = refusal(job, model=model, guards=self.guards, operator=self.operator, circumstances=circumstances)
        if refused is None and model is not None and model.traced and not self._has_room(model):
            return Refusal(reason="there is no room for another trace", for_now=True)
        return refused

    def act(self, job: Job, view: View) -> Job:
        """Does everything but RUN, and returns the job as stored. Raises `ChainError`, `StoreError`, `SignerError`."""
        decision = view.decision
        match decision.action:
            case Action.SETTLE:
                return self.settle(job, decision.status, decision.reason) if self._is_deep(job, view) else job
            case Action.PROPOSE:
                return self._propose(self.keep(job, JobStatus.PROPOSING), view)
            case Action.FAIL:
                return self._fail(self.keep(job, JobStatus.FAILING, reason=job.reason), view)
            case Action.FINALIZE:
                return self._finalize(self.keep(job, JobStatus.FINALIZING), view)
            case _:
                return self.keep(job, decision.status, reason=decision.reason, due_at=decision.due_at)

    def conclude(self, job: Job, outcome: Outcome) -> Job:
        """Stores what a run came to: an oath, a failure, or another try."""
        if isinstance(outcome, Computed):
            self._swear(job, outcome)
            return self.keep(job, JobStatus.ANSWERED)
        return self._give_up(job, outcome)

    def forget(self, outcome: Outcome) -> None:
        """Removes what a run has left that nobody asks for any more. Raises `TraceError`."""
        if isinstance(outcome, Computed) and outcome.draft is not None and self.traces is not None:
            self.traces.discard(outcome.draft)

    def keep(self, job: Job, status: JobStatus, *, reason: str = "", due_at: int = 0) -> Job:
        """Stores an open job's status; a change of status forgets earlier trouble."""
        kept = replace(job, status=status, reason=reason, due_at=due_at)
        if status is not job.status:
            kept = replace(kept, attempts=0, retry_at=0.0)
            self._tell(kept)
        if kept != job:
            self.store.save(kept)
        return kept

    def settle(self, job: Job, status: JobStatus, reason: str = "") -> Job:
        """Ends a job."""
        head = self.contracts.gateway.block("latest").number
        settled = replace(job, status=status, reason=reason, settled_block=head)
        self.store.save(settled)
        self._tell(settled)
        self.checkpoint("job_settled")
        return settled

    def postpone(self, job: Job, reason: str, *, wait_s: float | None = None) -> Job:
        """Leaves an open job for later: for ``wait_s``, or longer with every consecutive trouble."""
        attempts = job.attempts + (wait_s is None)
        delay = min(2.0 ** min(attempts, 30), MAX_BACKOFF_S) if wait_s is None else wait_s
        postponed = replace(job, reason=reason, attempts=attempts, retry_at=self.clock() + delay)
        self.store.save(postponed)
        self.log.warning("job_postponed", request_id=job.request_id, reason=reason, attempts=attempts, wait_s=delay)
        return postponed

    def _swear(self, job: Job, computed: Computed) -> Oath:
        answer = Answer(operator=self.operator, trace_root=computed.trace_root, output=computed.output)
        domain = self.contracts.domain
        result = result_of(job.request, answer, chain_id=domain.chain_id, oracle=domain.oracle)
        oath = Oath(
            request_id=job.request_id,
            operator=self.operator,
            digest=result_digest(result, domain),
            output_root=result.output_root,
            trace_root=result.trace_root,
            output=computed.output,
        )
        if self.traces is not None and computed.draft is not None:
            # INVARIANT: the trace is durable before the digest is: what has been sworn can be defended.
            self.traces.keep(KeptTrace(request_id=job.request_id, trace_root=computed.trace_root), computed.draft)
            self.checkpoint("trace_kept")
        if self.payloads is not None and computed.fetched is not None:
            # INVARIANT: an input that somebody else could take away is ours before its result is sworn.
            self.payloads.keep(job.request.input_root, computed.fetched)
        # INVARIANT: the digest is durable before the signature exists; `swear` refuses a second, different one.
        self.store.swear(oath, one_answer_per_input=self._promises_bits(job))
        self.checkpoint("digest_journalled")
        return self._signed(oath)

    def _promises_bits(self, job: Job) -> bool:
        model = self.models.get(job.request.model_id)
        return model is not None and model.profile is Profile.EXACT

    def _has_room(self, model: ServedModel) -> bool:
        return self.traces is not None and self.traces.has_room(model.identified.trace_bytes)

    def _require_trace(self, oath: Oath) -> None:
        """Raises `TraceMissing` for a result that could not be defended."""
        if oath.trace_root == ZERO_HASH:
            return
        kept = KeptTrace(request_id=oath.request_id, trace_root=oath.trace_root)
        if self.traces is None or self.traces.find(kept) is None:
            raise TraceMissing(
                f"the trace 0x{oath.trace_root.hex()} is gone: put the file back, or let the request pass"
            )

    def _signed(self, oath: Oath) -> Oath:
        if oath.signature is not None and recover_signer(oath.digest, oath.signature) == self.result_signer.address:
            return oath
        # A signature by a key that has been replaced may count no longer; the digest stays the same.
        signed = replace(oath, signature=self.result_signer.sign_digest(oath.digest))
        self.store.store_signature(signed)
        self.checkpoint("signature_stored")
        return signed

    def _give_up(self, job: Job, outcome: Unanswerable) -> Job:
        if outcome.code in RETRIED and job.attempts + 1 < MAX_RUNS:
            return self.postpone(job, outcome.reason)
        if job.request.operator != self.operator or not self.guards.post_failures:
            return self.settle(job, JobStatus.IGNORED, f"{outcome.code.name}: {outcome.reason}")
        failing = self.keep(replace(job, failure=outcome.code), JobStatus.FAILING, reason=outcome.reason)
        self.checkpoint("failure_stored")
        return failing

    def _propose(self, job: Job, view: View) -> Job:
        sworn = _sworn(job, view)
        self._require_trace(sworn)
        oath = self._signed(sworn)
        data = self.contracts.propose_data(job.request, _answer(oath), oath.signature or b"")
        return self._submit(job, "propose", view, data)

    def _finalize(self, job: Job, view: View) -> Job:
        data = self.contracts.finalize_data(job.request, _answer(_sworn(job, view)))
        return self._submit(job, "finalize", view, data)

    def _fail(self, job: Job, view: View) -> Job:
        if job.failure is None:
            raise StoreError(f"job 0x{job.request_id.hex()} fails without a code")
        failure = Failure(request_id=job.request_id, operator=self.operator, code=job.failure)
        signature = self.result_signer.sign_digest(failure_digest(failure, self.contracts.domain))
        data = self.contracts.fail_data(job.request, self.operator, job.failure, signature)
        return self._submit(job, "fail", view, data)

    def _submit(self, job: Job, kind: str, view: View, data: bytes) -> Job:
        key = f"{kind}:{job.request_id.hex()}:{view.state.round}"
        known = self.sender.record(key)
        if known is not None and known.status is TransactionStatus.CONFIRMED and not known.succeeded:
            # The next submission starts a new transaction; each such round costs gas, so they grow rarer.
            job = self.postpone(job, f"the {kind} transaction reverted on chain")
        intent = Intent(key=key, to=self.contracts.deployment.oracle, data=data, gas_cap=MAX_TRANSACTION_GAS)
        record = self.sender.submit(intent)
        if record != known:
            tx = record.attempts[-1].hash if record.attempts else None
            facts = {"kind": kind, "tx": tx, "nonce": record.nonce, "note": record.note}
            self.log.info("transaction_submitted", request_id=job.request_id, **facts)
        return job

    def _is_deep(self, job: Job, view: View) -> bool:
        """Whether the end also shows at the block that has enough confirmations."""
        if self.confirmations == 0:
            return True
        safe = self.contracts.gateway.block(max(view.head.number - self.confirmations, job.block_number))
        state = self.contracts.state_of(job.request_id, block=safe.number)
        return decide(job, state=state, oath=view.oath, now=safe.timestamp).action is Action.SETTLE

    def _tell(self, job: Job) -> None:
        self.log.info(f"job_{job.status.value}", request_id=job.request_id, reason=job.reason)


def _answer(oath: Oath) -> Answer:
    return Answer(operator=Address(oath.operator), trace_root=oath.trace_root, output=oath.output)


def _sworn(job: Job, view: View) -> Oath:
    if view.oath is None:
        raise StoreError(f"the journal has no result for job 0x{job.request_id.hex()}")
    return view.oath
