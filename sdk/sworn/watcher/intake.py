"""From logs to jobs, in step with the cursor; what was over before it was seen is passed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.follower import Follower
from sworn.chain.gateway import Block, Log
from sworn.errors import ChainError, CodecError
from sworn.types import RequestId, RequestState, Status
from sworn.watcher import calldata
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import Job
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.telemetry import NO_TELEMETRY, Telemetry

#: Name of the stream of `InferenceRequested` logs in the store.
REQUESTS = "requests"
#: Longer than any request's deadline can be extended by disputes over earlier results.
MAX_EXTENSION_S: Final = 60 * 86_400
#: How long ago a deadline must be for its request to be passed over unseen: no reorganisation turns time back so far.
LONG_AGO_S: Final = 86_400
#: Logs in one step from which on they are taken for the past, even where the step reaches the head.
MANY: Final = 1_000
#: Blocks below the head whose requests are never taken for the past: hardly any of them can be over.
YOUNG: Final = 32
#: Where a request can still come back to life.
_ALIVE: Final = frozenset({Status.NONE, Status.PROPOSED, Status.DISPUTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Follows requests and makes each one a job."""

    follower: Follower
    contracts: Contracts
    store: JobStore
    log: FilteringBoundLogger
    checkpoint: Callable[[str], None]
    #: Blocks above one whose states are taken for settled.
    confirmations: int = 0
    telemetry: Telemetry = NO_TELEMETRY

    def follow(self) -> bool:
        """One step; whether it brought the cursor forward or back. Raises `ChainError` and `StoreError`."""
        history = self.store.history(REQUESTS)
        step = self.follower.step(history)
        if step.history == history and step.rewound_to is None:
            return not step.caught_up
        self.checkpoint("logs_fetched")
        logs = self._open(step.logs, caught_up=step.caught_up)
        jobs = [job for log in logs if (job := self._job(log)) is not None]
        # INVARIANT: the cursor never passes a request that is not stored as a job, or over for good: both move in one
        # transaction.
        self.store.advance(REQUESTS, history=step.history, seen=jobs, rewound_to=step.rewound_to)
        self.checkpoint("logs_stored")
        if step.rewound_to is not None:
            self.log.warning("chain_reorganised", block=step.rewound_to, depth=step.reorg_depth)
            self.telemetry.reorg(step.reorg_depth)
        if len(logs) < len(step.logs):
            block = step.history[-1].number if step.history else None
            self.log.info("requests_passed_over", count=len(step.logs) - len(logs), block=block)
        for job in jobs:
            self.log.info("request_seen", request_id=job.request_id, block=job.block_number, tx=job.transaction_hash)
        return True

    def _open(self, logs: Sequence[Log], *, caught_up: bool) -> list[Log]:
        """Those logs whose requests may still be answered by somebody."""
        if not logs:
            return []
        head = self.contracts.gateway.block("latest")
        now = head.timestamp
        dated = [(log, calldata.deadline_in(log.data) + _slack_s(log)) for log in logs]
        rest = [(log, until) for log, until in dated if until + LONG_AGO_S >= now]
        # Behind the head most are over: one look at all of them instead of a job each.
        behind = not caught_up or len(logs) > MANY
        young = head.number - YOUNG
        asked = [log for log, _ in rest if (behind and log.block_number <= young) or _deadline(log) + LONG_AGO_S < now]
        over = self._over(asked, head)
        return [log for log, _ in rest if log.topics[1] not in over]

    def _over(self, logs: Sequence[Log], head: Block) -> frozenset[bytes]:
        """Ids of requests that had ended, for everybody and for good, when the last settled block was made."""
        if not logs:
            return frozenset()
        number = max(head.number - self.confirmations, 0)
        safe = head if number == head.number else self.contracts.gateway.block(number)
        states = self.contracts.states_of([RequestId(log.topics[1]) for log in logs], block=safe.number)
        return frozenset(
            log.topics[1] for log, state in zip(logs, states, strict=True) if _is_over(log, state, safe.timestamp)
        )

    def _job(self, log: Log) -> Job | None:
        try:
            return self.contracts.job_of(log)
        except CodecError as error:
            self.log.error("request_unreadable", block=log.block_number, tx=log.transaction_hash, reason=str(error))
            return None


def _deadline(log: Log) -> int:
    return calldata.deadline_in(log.data)


def _slack_s(log: Log) -> int:
    """How long after its deadline a request may be open again: one that names nobody is, when a result is refuted."""
    return 0 if calldata.names_operator(log.topics) else MAX_EXTENSION_S


def _is_over(log: Log, state: RequestState | ChainError, now: int) -> bool:
    if isinstance(state, ChainError) or state.status in _ALIVE:
        return False
    return state.status is not Status.REQUESTED or now > _deadline(log) + state.extension_s
