"""Puts what is due on chain: alone, or many results in one transaction.

Which transaction carries a job's move is stored with the job, before the transaction is promised: nothing that may
still be mined is ever sent a second time in another one. Where a batch does not pass its simulation it is halved until
what spoils it stands alone; what reverted on chain goes alone from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.transactions import LIVE, Intent, TransactionRecord, TransactionSender, TransactionStatus
from sworn.codec.trees import keccak
from sworn.errors import ContractRevert, SenderBusy, SwornError, TransactionRejected, TransactionUnderpriced
from sworn.types import Answer, Assurance, RequestId
from sworn.watcher import calldata
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import RECHECK_S, Job, JobStatus, Trouble, moved, postponed
from sworn.watcher.looking import Mishap, Sight, View
from sworn.watcher.store.jobs import JobStore

#: Gas that one transaction may have on any chain (EIP-7825).
MAX_TRANSACTION_GAS: Final = 1 << 24
#: Gas of a transaction, and of each proposal or finalization in it, without callback: twice what the snapshots show.
_BASE_GAS: Final = 60_000
_MOVE_GAS: Final = 60_000
#: Gas of one byte of calldata (EIP-7623), with hashing and emitting it.
_BYTE_GAS: Final = 40
#: Bytes of calldata of a move besides the output, and of all moves of a transaction: pools refuse 128 KiB of it.
_MOVE_BYTES: Final = 800
_MOST_BYTES: Final = 120_000
#: Gas that the oracle keeps beside a callback, and what the EVM keeps of it (EIP-150): `BoundedCall.gasRequired`.
_RESERVE_GAS: Final = 20_000


#: Ends of a transaction that say something about what was in it.
_OVER: Final = frozenset({TransactionStatus.CONFIRMED, TransactionStatus.ABANDONED})


class Kind(Enum):
    """What a transaction does for a job."""

    PROPOSE = "propose"
    FINALIZE = "finalize"
    FAIL = "fail"

    @property
    def status(self) -> JobStatus:
        """Of jobs that such a transaction was promised for."""
        return _STATUS[self]


_STATUS: Final = {
    Kind.PROPOSE: JobStatus.PROPOSING,
    Kind.FINALIZE: JobStatus.FINALIZING,
    Kind.FAIL: JobStatus.FAILING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How results go on chain together."""

    #: Most results in one transaction; 1 = each alone.
    max_results: int = 100
    #: How long a result waits for others; 0 = whatever is due in one turn goes together.
    max_wait_s: float = 0.0
    #: Most gas that the moves of one transaction may take together.
    max_gas: int = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What one job needs on chain."""

    job: Job
    view: View
    #: None for failures.
    answer: Answer | None
    #: Empty for finalizations.
    signature: bytes = b""
    #: Calldata of a failure, which goes alone.
    data: bytes = b""

    @property
    def gas(self) -> int:
        """At most what it takes."""
        request = self.job.request
        # The output is read as calldata, and emitted.
        size = self.size + self._output_bytes
        callbacks = 2 if request.assurance is Assurance.PROVISIONAL else 1
        callback = request.callback_gas * 64 // 63 + _RESERVE_GAS if request.callback_gas else 0
        return _MOVE_GAS + size * _BYTE_GAS + callbacks * callback

    @property
    def size(self) -> int:
        """Bytes of calldata, at most."""
        return _MOVE_BYTES + self._output_bytes

    @property
    def _output_bytes(self) -> int:
        return 0 if self.answer is None else len(self.answer.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What became of the jobs of one kind."""

    changed: bool = False
    failed: list[Mishap] = field(default_factory=list)


#: Makes moves ready: signed, their evidence at hand. What cannot be is in the second list.
Prepare = Callable[[Kind, Sequence[Sight]], tuple[list[Move], list[Mishap]]]


class Submissions:
    """Promises, groups and sends the moves of jobs. Only for who leads."""

    def __init__(
        self,
        *,
        contracts: Contracts,
        store: JobStore,
        sender: TransactionSender,
        prepare: Prepare,
        batching: Batching,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
    ) -> None:
        self._contracts = contracts
        self._store = store
        self._sender = sender
        self._prepare = prepare
        self._batching = batching
        self._log = log
        self._clock = clock
        #: Since when moves wait for company.
        self._since: dict[Kind, dict[RequestId, float]] = {}

    def wanted(self, key: str) -> bool:
        """Whether the effect of a transaction of any service here is still wanted. Raises `StoreError`."""
        kind = _KINDS.get(key.partition(":")[0])
        return kind is None or self._store.carries(key, (kind.status,))

    def carry(self, kind: Kind, sights: Sequence[Sight]) -> Carried:
        """Sees to it that every job's move is on its way. Raises `ChainError`, `StoreError`."""
        if not sights:
            return Carried()
        sights, resting = self._free(kind, sights)
        sights, held = self._held(kind, sights)
        moves, failed = self._prepare(kind, sights)
        rest = resting + held
        self._save(rest)
        changed = bool(rest)
        for group in self._submitted(kind, self._groups(kind, moves)):
            changed |= group.changed
            failed += group.failed
        return Carried(changed=changed, failed=failed)

    def _free(self, kind: Kind, sights: Sequence[Sight]) -> tuple[list[Sight], list[Job]]:
        """Jobs that nothing carries now, and those whose progress changed while something does."""
        keys = {job.request_id: _carrier(kind, job, view) for job, view in sights}
        records = self._sender.records(sorted(set(keys.values())))
        free: list[Sight] = []
        resting: list[Job] = []
        for job, view in sights:
            record = records.get(keys[job.request_id])
            alone = keys[job.request_id] == _key(kind, job, view)
            if record is not None and self._is_under_way(record, view, alone):
                # What is mined and not in view will be at the next block; what waits tells when it moves.
                wait_s = RECHECK_S if record.status is TransactionStatus.SIGNED else 1
                rested = moved(job, kind.status, reason=job.reason, due_at=view.head.timestamp + wait_s)
                resting += [rested] if rested != job else []
            else:
                free.append((self._returned(kind, job, record), view))
        return free, resting

    def _is_under_way(self, record: TransactionRecord, view: View, alone: bool) -> bool:
        if record.status in LIVE:
            return True
        if record.status is not TransactionStatus.CONFIRMED or record.succeeded is not True:
            return False
        # What stands confirmed alone is only not seen yet; what a batch in view has passed over needs another one.
        return alone or record.block_number is None or record.block_number > view.head.number

    def _returned(self, kind: Kind, job: Job, record: TransactionRecord | None) -> Job:
        """The job, with what its transaction has taught about it."""
        if record is None or record.status not in _OVER:
            return job
        if record.status is TransactionStatus.CONFIRMED and record.succeeded is not False:
            # Passed over by its batch. Alone from now on: the same jobs together would have the same key, and nothing
            # that is known to have happened is sent again.
            return replace(job, reverts=max(job.reverts, 1))
        if record.status is TransactionStatus.ABANDONED and not record.cancelling:
            return job
        # The next submission starts a new transaction; each such round costs gas, so they grow rarer. It goes alone:
        # nodes may have refused its batch for good, and would again.
        was_cancelled = record.status is TransactionStatus.ABANDONED
        self._log.warning(
            "transaction_cancelled" if was_cancelled else "transaction_reverted",
            request_id=job.request_id,
            key=record.key,
            note=record.note,
        )
        reason = f"the {kind.value} transaction {'was cancelled' if was_cancelled else 'reverted on chain'}"
        return postponed(job, reason, Trouble.REVERT, now=self._clock())

    def _held(self, kind: Kind, sights: list[Sight]) -> tuple[list[Sight], list[Job]]:
        """Those that go now, and the jobs that wait for more to go with them."""
        batching, now = self._batching, self._clock()
        if batching.max_wait_s <= 0 or batching.max_results == 1 or kind is Kind.FAIL:
            return sights, []
        before = self._since.get(kind, {})
        since = {job.request_id: before.get(job.request_id, now) for job, _ in sights}
        waited = now - min(since.values(), default=now) >= batching.max_wait_s
        if not since or waited or len(since) >= batching.max_results or self._presses(kind, sights):
            self._since[kind] = {}
            return sights, []
        self._since[kind] = since
        kept = [moved(job, view.decision.status, reason=view.decision.reason) for job, view in sights]
        return [], [new for new, (old, _) in zip(kept, sights, strict=True) if new != old]

    def _presses(self, kind: Kind, sights: Sequence[Sight]) -> bool:
        """Whether some deadline is too near for waiting."""
        if kind is not Kind.PROPOSE:
            return False
        soon = 2 * self._batching.max_wait_s
        return any(_deadline(job, view) - view.head.timestamp <= soon for job, view in sights)

    def _groups(self, kind: Kind, moves: Iterable[Move]) -> list[list[Move]]:
        groups: list[list[Move]] = []
        open_group: list[Move] = []
        gas = size = 0
        for move in moves:
            if kind is Kind.FAIL or move.job.reverts or self._batching.max_results == 1:
                groups.append([move])
                continue
            is_full = gas + move.gas > self._batching.max_gas or size + move.size > _MOST_BYTES
            if open_group and (is_full or len(open_group) >= self._batching.max_results):
                groups.append(open_group)
                open_group, gas, size = [], 0, 0
            open_group.append(move)
            gas += move.gas
            size += move.size
        return groups + ([open_group] if open_group else [])

    def _submitted(self, kind: Kind, groups: list[list[Move]]) -> Iterator[Carried]:
        while groups:
            keys = [_group_key(kind, group) for group in groups]
            known = self._sender.records(keys)
            jobs = [
                replace(
                    moved(move.job, kind.status, reason=move.job.reason, due_at=move.view.head.timestamp + RECHECK_S),
                    carrier=key,
                )
                for key, group in zip(keys, groups, strict=True)
                for move in group
            ]
            # INVARIANT: what carries a job is stored before anything of it can reach a node.
            self._save(jobs)
            intents = [self._intent(kind, key, group) for key, group in zip(keys, groups, strict=True)]
            try:
                answers = self._sender.submit_many(intents)
            except SwornError:
                self._save([replace(job, due_at=0) for job in jobs])
                raise
            # Whatever is not on its way is looked at again at once, not when the next block is there.
            sent = {key for key, answer in zip(keys, answers, strict=True) if isinstance(answer, TransactionRecord)}
            self._save([replace(job, due_at=0) for job in jobs if job.carrier not in sent])
            halves: list[list[Move]] = []
            failed: list[Mishap] = []
            for group, key, answer in zip(groups, keys, answers, strict=True):
                if isinstance(answer, TransactionRecord):
                    self._tell(kind, group, answer, known)
                elif len(group) > 1 and _is_spoilt(answer):
                    self._log.info("batch_split", key=key, results=len(group), reason=str(answer))
                    halves += [group[: len(group) // 2], group[len(group) // 2 :]]
                elif not isinstance(answer, SenderBusy):
                    # Trouble with the node, the fees or the signer says nothing about any one of them.
                    failed += [(move.job, answer) for move in group]
            # A sender that is busy with what it has changes nothing: the turn after it comes with the next block.
            yield Carried(changed=bool(sent or halves or failed), failed=failed)
            groups = halves

    def _intent(self, kind: Kind, key: str, group: Sequence[Move]) -> Intent:
        # One look with this much gas shows whether it passes; an estimate would take a dozen.
        gas = min(_BASE_GAS + sum(move.gas for move in group), MAX_TRANSACTION_GAS)
        deadline = None if kind is Kind.FINALIZE else max(_deadline(move.job, move.view) for move in group)
        return Intent(
            key=key,
            to=self._contracts.deployment.oracle,
            data=self._data(kind, group),
            gas_cap=MAX_TRANSACTION_GAS,
            gas=gas,
            deadline=deadline,
        )

    def _data(self, kind: Kind, group: Sequence[Move]) -> bytes:
        requests = [move.job.request for move in group]
        answers = [move.answer for move in group if move.answer is not None]
        signatures = [move.signature for move in group]
        if kind is Kind.FAIL:
            return group[0].data
        if kind is Kind.PROPOSE:
            if len(group) == 1:
                return calldata.propose_data(requests[0], answers[0], signatures[0])
            return calldata.propose_many_data(requests, answers, signatures)
        if len(group) == 1:
            return calldata.finalize_data(requests[0], answers[0])
        return calldata.finalize_many_data(requests, answers)

    def _save(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self._store.save_many(jobs)

    def _tell(
        self, kind: Kind, group: Sequence[Move], record: TransactionRecord, known: Mapping[str, TransactionRecord]
    ) -> None:
        if record == known.get(record.key):
            return
        tx = record.attempts[-1].hash if record.attempts else None
        facts = {"kind": kind.value, "tx": tx, "nonce": record.nonce, "note": record.note}
        subject = {"request_id": group[0].job.request_id} if len(group) == 1 else {"key": record.key}
        self._log.info("transaction_submitted", **subject, results=len(group), **facts)


#: By the first part of a transaction's key.
_KINDS: Final = {kind.value: kind for kind in Kind} | {
    "proposemany": Kind.PROPOSE,
    "finalizemany": Kind.FINALIZE,
}


def _deadline(job: Job, view: View) -> int:
    """The last moment of the chain at which the request can be answered."""
    return job.request.deadline + view.state.extension_s


def _carrier(kind: Kind, job: Job, view: View) -> str:
    """What carries the job's move, if anything does."""
    alone, name = _key(kind, job, view), job.carrier.partition(":")[0]
    return job.carrier if name == f"{kind.value}many" else alone


def _key(kind: Kind, job: Job, view: View) -> str:
    return f"{kind.value}:{job.request_id.hex()}:{view.state.round}"


def _group_key(kind: Kind, group: Sequence[Move]) -> str:
    if len(group) == 1:
        return _key(kind, group[0].job, group[0].view)
    subjects = sorted(move.job.request_id + move.view.state.round.to_bytes(1) for move in group)
    return f"{kind.value}many:{keccak(b''.join(subjects)).hex()}"


def _is_spoilt(answer: SwornError) -> bool:
    """Whether it may be one of the moves that keeps a batch from passing."""
    return isinstance(answer, (ContractRevert, TransactionRejected)) and not isinstance(answer, TransactionUnderpriced)
