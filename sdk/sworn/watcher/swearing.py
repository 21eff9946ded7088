"""From outputs to oaths: traces kept, digests journalled, signatures stored, for many runs at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sworn.codec.hashing import result_digest
from sworn.codec.statements import failure_statement, result_statement
from sworn.codec.trees import payload_root
from sworn.errors import StoreError, TraceError, TraceMissing
from sworn.types import ZERO_HASH, Address, Answer, Failure, Profile, Result
from sworn.watcher.containment import attempted
from sworn.watcher.contracts import Contracts
from sworn.watcher.inference import Computed
from sworn.watcher.jobs import Job, Oath
from sworn.watcher.looking import Mishap, Sight, View
from sworn.watcher.policy import ServedModel
from sworn.watcher.signing import ResultSigners
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.payloads import PayloadStore
from sworn.watcher.submissions import Kind, Move
from sworn.watcher.traces import KeptTrace, TraceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Swearing:
    """Makes results an operator's word."""

    contracts: Contracts
    store: JobStore
    signers: ResultSigners
    operator: Address
    models: Mapping[bytes, ServedModel]
    checkpoint: Callable[[str], None]
    #: Needed for models in profile bounded only.
    traces: TraceStore | None = None
    #: Where fetched inputs are kept, so that their results can be defended.
    payloads: PayloadStore | None = None

    def swear(self, runs: Sequence[tuple[Job, Computed]]) -> tuple[list[tuple[Job, Oath]], list[Mishap]]:
        """Journals what runs have computed; the oaths, and what must not be sworn. Raises `StoreError`.

        The digests are durable when this returns; nothing is signed yet.
        """
        pairs: list[tuple[Job, Oath]] = []
        refused: list[Mishap] = []
        for job, computed in runs:
            oath = self._oath(job, computed)
            try:
                self._keep(job, oath, computed)
            except TraceError as error:
                refused.append((job, error))
            else:
                pairs.append((job, oath))
        bound = frozenset(job.request_id for job, _ in pairs if self._promises_bits(job))
        # INVARIANT: the digest is durable before the signature exists; a second, different one is refused.
        conflicts = self.store.swear_many([oath for _, oath in pairs], bound=bound)
        if pairs:
            self.checkpoint("digest_journalled")
        sworn: list[tuple[Job, Oath]] = []
        for (job, oath), conflict in zip(pairs, conflicts, strict=True):
            if conflict is None:
                sworn.append((job, oath))
            else:
                refused.append((job, conflict))
        return sworn, refused

    def signed(self, job: Job, oath: Oath) -> Oath:
        """The oath under a signature that counts. Raises `SignerError`, and `StoreError` for a damaged journal."""
        expiry = job.request.deadline
        if oath.signature is not None and self.signers.accepts(oath.digest, oath.signature, expiry=expiry):
            return oath
        statement = result_statement(_result(job, oath), self.contracts.domain)
        # INVARIANT: what is signed is what was journalled.
        if statement.digest != oath.digest:
            raise StoreError(f"the journalled digest of request 0x{job.request_id.hex()} is not that of its output")
        # A signature by a key that has been replaced may count no longer; the digest stays the same.
        return replace(oath, signature=self.signers.sign(statement, expiry=expiry))

    def prepare(self, kind: Kind, sights: Sequence[Sight]) -> tuple[list[Move], list[Mishap]]:
        """Makes jobs ready to go on chain; signatures are stored. Raises `StoreError`."""
        moves: list[Move] = []
        failed: list[Mishap] = []
        signed: list[Oath] = []
        for job, view in sights:
            ready = attempted(partial(self._ready, kind, job, view))
            if isinstance(ready, Exception):
                failed.append((job, ready))
                continue
            move, oath = ready
            moves.append(move)
            signed += [oath] if oath is not None and oath != view.oath else []
        if signed:
            self.store.store_signatures(signed)
            self.checkpoint("signature_stored")
        return moves, failed

    def _ready(self, kind: Kind, job: Job, view: View) -> tuple[Move, Oath | None]:
        if kind is Kind.FAIL:
            return Move(job=job, view=view, answer=None, data=self.failure_data(job)), None
        if view.oath is None:
            raise StoreError(f"the journal has no result for job 0x{job.request_id.hex()}")
        oath = view.oath
        if kind is Kind.PROPOSE:
            self.require_trace(oath)
            oath = self.signed(job, oath)
        answer = Answer(operator=Address(oath.operator), trace_root=oath.trace_root, output=oath.output)
        return Move(job=job, view=view, answer=answer, signature=oath.signature or b""), oath

    def failure_data(self, job: Job) -> bytes:
        """Calldata of a job's signed failure. Raises `SignerError`, and `StoreError` for a job without a code."""
        if job.failure is None:
            raise StoreError(f"job 0x{job.request_id.hex()} fails without a code")
        failure = Failure(request_id=job.request_id, operator=self.operator, code=job.failure)
        statement = failure_statement(failure, self.contracts.domain)
        signature = self.signers.sign(statement, expiry=job.request.deadline)
        return self.contracts.fail_data(job.request, self.operator, job.failure, signature)

    def require_trace(self, oath: Oath) -> None:
        """Raises `TraceMissing` for a result that could not be defended."""
        if oath.trace_root == ZERO_HASH:
            return
        kept = KeptTrace(request_id=oath.request_id, trace_root=oath.trace_root)
        if self.traces is None or self.traces.find(kept) is None:
            raise TraceMissing(
                f"the trace 0x{oath.trace_root.hex()} is gone: put the file back, or let the request pass"
            )

    def discard(self, computed: Computed) -> None:
        """Removes what a run has left that nobody asks for any more. Raises `TraceError`."""
        if computed.draft is not None and self.traces is not None:
            self.traces.discard(computed.draft)

    def _oath(self, job: Job, computed: Computed) -> Oath:
        unsigned = Oath(
            request_id=job.request_id,
            operator=self.operator,
            digest=b"",
            output_root=payload_root(computed.output),
            trace_root=computed.trace_root,
            output=computed.output,
        )
        return replace(unsigned, digest=result_digest(_result(job, unsigned), self.contracts.domain))

    def _keep(self, job: Job, oath: Oath, computed: Computed) -> None:
        if self.traces is not None and computed.draft is not None:
            # INVARIANT: the trace is durable before the digest is: what has been sworn can be defended.
            self.traces.keep(KeptTrace(request_id=job.request_id, trace_root=oath.trace_root), computed.draft)
            self.checkpoint("trace_kept")
        if self.payloads is not None and computed.fetched is not None:
            # INVARIANT: an input that somebody else could take away is ours before its result is sworn.
            self.payloads.keep(job.request.input_root, computed.fetched)

    def _promises_bits(self, job: Job) -> bool:
        model = self.models.get(job.request.model_id)
        return model is not None and model.profile is Profile.EXACT


def _result(job: Job, oath: Oath) -> Result:
    """What an oath says, all of it."""
    return Result(
        request_id=job.request_id,
        model_id=job.request.model_id,
        input_root=job.request.input_root,
        output_root=oath.output_root,
        trace_root=oath.trace_root,
        operator=Address(oath.operator),
        expiry=job.request.deadline,
    )
