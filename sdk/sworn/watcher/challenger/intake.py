"""From logs to claims, in step with the cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.abi import interface
from sworn.chain.follower import Follower
from sworn.chain.gateway import Log, Topic
from sworn.codec.hashing import recover_signer
from sworn.errors import CodecError
from sworn.types import Address, RequestId, ResultId
from sworn.watcher.challenger.claims import Claim
from sworn.watcher.challenger.store import Asked, ClaimStore
from sworn.watcher.contracts import Contracts
from sworn.watcher.telemetry import NO_TELEMETRY, Telemetry

_REQUESTED: Final = "InferenceRequested"
_PROPOSED: Final = "ResultProposed"


def proposal_topics() -> tuple[Topic, ...]:
    """Topics of requests and of the results that are proposed for them."""
    oracle = interface("InferenceOracle")
    return ((oracle.topic(_REQUESTED), oracle.topic(_PROPOSED)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimIntake:
    """Follows requests and proposals, and makes each proposal a claim."""

    follower: Follower
    contracts: Contracts
    store: ClaimStore
    #: Of one log query.
    max_log_range: int
    log: FilteringBoundLogger
    checkpoint: Callable[[str], None]
    telemetry: Telemetry = NO_TELEMETRY

    def follow(self) -> bool:
        """One step; whether it brought the cursor forward or back. Raises `ChainError` and `StoreError`."""
        history = self.store.history()
        step = self.follower.step(history)
        if step.history == history and step.rewound_to is None:
            return not step.caught_up
        self.checkpoint("claims_fetched")
        asked: dict[RequestId, Asked] = {}
        seen: list[Claim] = []
        for log in step.logs:
            self._read(log, asked, seen)
        seen = self._timed(seen)
        # INVARIANT: the cursor never passes a proposal that is not stored as a claim: both move in one transaction.
        self.store.advance(history=step.history, asked=list(asked.values()), seen=seen, rewound_to=step.rewound_to)
        self.checkpoint("claims_stored")
        if step.rewound_to is not None:
            self.log.warning("chain_reorganised", block=step.rewound_to, depth=step.reorg_depth)
            self.telemetry.reorg(step.reorg_depth)
        for claim in seen:
            self.log.info("claim_seen", result_id=claim.result_id, operator=claim.operator, block=claim.block_number)
        return True

    def _read(self, log: Log, asked: dict[RequestId, Asked], seen: list[Claim]) -> None:
        try:
            if log.topics[0] == interface("InferenceOracle").topic(_REQUESTED):
                request = self._asked(log)
                asked[request.request_id] = request
            else:
                seen.append(self._claim(log, asked))
        except CodecError as error:
            self.log.error("proposal_unreadable", block=log.block_number, tx=log.transaction_hash, reason=str(error))

    def _timed(self, seen: list[Claim]) -> list[Claim]:
        """The same, with the times when their windows close: two headers tell the time of every block in between."""
        if not seen:
            return []
        ends = {claim.block_number for claim in (seen[0], seen[-1])}
        first, last = (self.contracts.gateway.block(number) for number in (min(ends), max(ends)))
        pace = (last.timestamp - first.timestamp) / max(last.number - first.number, 1)
        times = (first.timestamp + round(pace * (claim.block_number - first.number)) for claim in seen)
        return [replace(claim, closes_at=at + claim.request.window_s) for claim, at in zip(seen, times, strict=True)]

    def _asked(self, log: Log) -> Asked:
        job = self.contracts.job_of(log)
        return Asked(request_id=job.request_id, request=job.request, input=job.input, block_number=job.block_number)

    def _claim(self, log: Log, asked: dict[RequestId, Asked]) -> Claim:
        """Raises `CodecError` for a proposal that is not what its id says, or that nobody signed."""
        event = interface("InferenceOracle").decode_log(log.topics, log.data).arguments
        request_id = RequestId(event["requestId"])
        request = asked.get(request_id) or self.store.asked(request_id) or self._earlier(request_id, log.block_number)
        asked[request_id] = request
        claim = Claim(
            result_id=ResultId(event["resultId"]),
            request_id=request_id,
            request=request.request,
            input=request.input,
            operator=Address(event["operator"]),
            trace_root=event["traceRoot"],
            output=event["output"],
            signature=event["signature"],
            block_number=log.block_number,
            block_hash=log.block_hash,
            transaction_hash=log.transaction_hash,
        )
        # INVARIANT: nobody is challenged for what a node made up: the id is recomputed from the content.
        if claim.case(self.contracts.domain).result_id != claim.result_id:
            raise CodecError(f"the log of result 0x{claim.result_id.hex()} states a content with another id")
        recover_signer(claim.result_id, claim.signature)
        return claim

    def _earlier(self, request_id: RequestId, block: int) -> Asked:
        """A request that was made before the first block that is followed."""
        deployment = self.contracts.deployment
        topics = (interface("InferenceOracle").topic(_REQUESTED), request_id)
        for last in range(block, deployment.block - 1, -self.max_log_range):
            logs = self.contracts.gateway.logs(
                addresses=(deployment.oracle,),
                topics=topics,
                from_block=max(last - self.max_log_range + 1, deployment.block),
                to_block=last,
            )
            if logs:
                return self._asked(logs[0])
        raise CodecError(f"the node has no log of the request 0x{request_id.hex()}")
