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


class _Latest:
    """States of requests at one block."""

    def __init__(self) -> None:
        self._block = b""
        self._states: dict[RequestId, RequestState] = {}

    def at(self, head: Block) -> dict[RequestId, RequestState]:
        """What is known of this block; what was known of another one is forgotten."""
        if head.hash != self._block:
            self._block, self._states = head.hash, {}
        return self._states


@dataclass(frozen=True, slots=True, kw_only=True)
class Looker:
    """Reads the states of requests, in as few round trips as the node allows."""

    contracts: Contracts
    store: JobStore
    operator: Address
    confirmations: int
    #: What was read at the newest block: a job is looked at before its run and after it, often at the same one.
    _latest: _Latest = field(default_factory=_Latest, repr=False, init=False)

    def look(self, jobs: Sequence[Job], head: Block) -> Sights:
        """Reads every job's request at ``head`` and decides. Raises `ChainError`, `StoreError`."""
        sights = Sights()
        if not jobs:
            return sights
        ids = [job.request_id for job in jobs]
        oaths = self.store.oaths(ids, self.operator)
        for job, state in zip(jobs, self._states(ids, head), strict=True):
            if isinstance(state, ChainError):
                sights.failed.append((job, state))
                continue
            oath = oaths.get(job.request_id)
            decision = decide(job, state=state, oath=oath, now=head.timestamp)
            sights.seen.append((job, View(head=head, state=state, oath=oath, decision=decision)))
        return sights

    def _states(self, ids: Sequence[RequestId], head: Block) -> list[RequestState | ChainError]:
        known = self._latest.at(head)
        unknown = [request_id for request_id in ids if request_id not in known]
        read = dict(zip(unknown, self.contracts.states_of(unknown, block=head.number), strict=True))
        known |= {request_id: state for request_id, state in read.items() if isinstance(state, RequestState)}
        return [known[request_id] if request_id in known else read[request_id] for request_id in ids]

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
