"""Which result of ours a dispute is about: from the journal, or from the chain where the journal does not know it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.abi import DecodedEvent, interface
from sworn.chain.gateway import Log, Topic
from sworn.codec.hashing import result_of
from sworn.codec.statements import Statement, result_statement
from sworn.codec.trees import payload_root
from sworn.dispute.case import Case
from sworn.errors import CodecError
from sworn.types import Address, Answer, RequestId, Result
from sworn.watcher.contracts import Contracts
from sworn.watcher.defence.records import Defence
from sworn.watcher.jobs import Job, Oath
from sworn.watcher.store.jobs import JobStore

_ORACLE: Final = "InferenceOracle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contested:
    """A result under challenge, with the request that it answers."""

    case: Case
    job: Job

    @property
    def result(self) -> Result:
        """What was sworn."""
        return self.case.result


@dataclass(frozen=True, slots=True, kw_only=True)
class Docket:
    """Finds what disputes are about."""

    contracts: Contracts
    store: JobStore
    operator: Address
    max_log_range: int
    log: FilteringBoundLogger

    def find(self, defence: Defence) -> Contested | None:
        """The result of a dispute; None for one that neither journal nor chain tell of: it answers no request on chain.

        Raises `ChainError`, `StoreError`.
        """
        oath = self.store.sworn(defence.result_id, self.operator)
        job = None if oath is None else self.store.job(oath.request_id)
        if oath is None or job is None:
            return self._rebuild(defence)
        return self._contested(job, Answer(operator=self.operator, trace_root=oath.trace_root, output=oath.output))

    def _contested(self, job: Job, answer: Answer) -> Contested:
        domain = self.contracts.domain
        result = result_of(job.request, answer, chain_id=domain.chain_id, oracle=domain.oracle)
        return Contested(case=Case.of(result, domain, request=job.request), job=job)

    def _rebuild(self, defence: Defence) -> Contested | None:
        request_id = self._request_of(defence)
        if request_id is None:
            return None
        job = self.store.job(request_id) or self._job(request_id, defence.block_number)
        proposal = self._proposal(request_id, defence)
        if job is None or proposal is None:
            return None
        stated = proposal.arguments
        answer = Answer(operator=self.operator, trace_root=stated["traceRoot"], output=stated["output"])
        found = self._contested(job, answer)
        if found.case.result_id != defence.result_id:
            return None
        oath = Oath(
            request_id=request_id,
            operator=self.operator,
            digest=defence.result_id,
            output_root=payload_root(answer.output),
            trace_root=answer.trace_root,
            output=answer.output,
            signature=stated["signature"],
        )
        # INVARIANT: what stands on chain under our signature is in the journal before anything else is sworn.
        if self.store.restore(job, oath):
            self.log.warning("journal_restored", request_id=request_id, result_id=defence.result_id)
        else:
            self.log.critical("journal_differs", request_id=request_id, result_id=defence.result_id)
        return found

    def _request_of(self, defence: Defence) -> RequestId | None:
        """The request whose result was challenged in that block."""
        topics: tuple[Topic, ...] = (interface(_ORACLE).topic("ResultDisputed"),)
        for event in self._read(self._logs(topics, defence.block_number, defence.block_number)):
            if event.arguments["resultId"] == defence.result_id:
                return RequestId(event.arguments["requestId"])
        return None

    def _job(self, request_id: RequestId, upto: int) -> Job | None:
        topics: tuple[Topic, ...] = (interface(_ORACLE).topic("InferenceRequested"), request_id)
        for log in self._backwards(topics, upto):
            try:
                return self.contracts.job_of(log)
            except CodecError as error:
                self.log.error("request_unreadable", block=log.block_number, reason=str(error))
        return None

    def _proposal(self, request_id: RequestId, defence: Defence) -> DecodedEvent | None:
        topics: tuple[Topic, ...] = (interface(_ORACLE).topic("ResultProposed"), request_id)
        for event in self._read(self._backwards(topics, defence.block_number)):
            if event.arguments["resultId"] == defence.result_id:
                return event
        return None

    def _read(self, logs: Iterator[Log]) -> Iterator[DecodedEvent]:
        oracle = interface(_ORACLE)
        return (oracle.decode_log(log.topics, log.data) for log in logs)

    def _backwards(self, topics: tuple[Topic, ...], upto: int) -> Iterator[Log]:
        """Logs of the oracle from a block back to the deployment, newest range first."""
        last = upto
        while last >= self.contracts.deployment.block:
            first = max(last - self.max_log_range + 1, self.contracts.deployment.block)
            yield from self._logs(topics, first, last)
            last = first - 1

    def _logs(self, topics: tuple[Topic, ...], first: int, last: int) -> Iterator[Log]:
        oracle = self.contracts.deployment.oracle
        found = self.contracts.gateway.logs(addresses=(oracle,), topics=topics, from_block=first, to_block=last)
        return reversed(found)


def sworn_statement(contested: Contested, trace_root: bytes, contracts: Contracts) -> Statement:
    """What the operator signs to commit to a trace: the same result with that trace."""
    return result_statement(replace(contested.result, trace_root=trace_root), contracts.domain)
