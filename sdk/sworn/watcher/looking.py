"""What the chain says about many jobs at once, and what follows for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sworn.chain.gateway import Block
from sworn.errors import ChainError
from sworn.types import Address, RequestId, RequestState
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import Action, Decision, Job, Oath, decide
from sworn.watcher.store.jobs import JobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the chain says about a job, and what follows."""

    head: Block
    state: RequestState
    oath: Oath | None
    decision: Decision


#: A job with what was seen of it.
Sight = tuple[Job, View]
#: A job with what went wrong with it.
Mishap = tuple[Job, Exception]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sights:
    """What a look at many jobs brought."""

    seen: list[Sight] = field(default_factory=list)
    #: Those whose state could not be read.
    failed: list[Mishap] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looker:
    """Reads the states of requests, in as few round trips as the node allows."""

    contracts: Contracts
    store: JobStore
    operator: Address
    confirmations: int

    def look(self, jobs: Sequence[Job], head: Block) -> Sights:
        """Reads every job's request at ``head`` and decides. Raises `ChainError`, `StoreError`."""
        sights = Sights()
        if not jobs:
            return sights
        ids = [job.request_id for job in jobs]
        oaths = self.store.oaths(ids, self.operator)
        for job, state in zip(jobs, self.contracts.states_of(ids, block=head.number), strict=True):
            if isinstance(state, ChainError):
                sights.failed.append((job, state))
                continue
            oath = oaths.get(job.request_id)
            decision = decide(job, state=state, oath=oath, now=head.timestamp)
            sights.seen.append((job, View(head=head, state=state, oath=oath, decision=decision)))
        return sights

    def deep(self, ends: Sequence[Sight], head: Block) -> frozenset[RequestId]:
        """Jobs whose end also shows at the block that has enough confirmations. Raises `ChainError`."""
        if self.confirmations == 0:
            return frozenset(job.request_id for job, _ in ends)
        by_block: dict[int, list[Sight]] = defaultdict(list)
        for job, view in ends:
            by_block[max(head.number - self.confirmations, job.block_number)].append((job, view))
        return frozenset(job for number, some in by_block.items() for job in self._ended(some, number))

    def _ended(self, ends: Sequence[Sight], number: int) -> list[RequestId]:
        safe = self.contracts.gateway.block(number)
        states = self.contracts.states_of([job.request_id for job, _ in ends], block=safe.number)
        return [
            job.request_id
            for (job, view), state in zip(ends, states, strict=True)
            if isinstance(state, RequestState)
            and decide(job, state=state, oath=view.oath, now=safe.timestamp).action is Action.SETTLE
        ]
