"""From logs to results that nobody has to be believed for: roots, digests and signatures are recomputed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from numpy.typing import NDArray

from sworn import abi
from sworn.chain.gateway import Log
from sworn.client.records import InferenceResult
from sworn.codec.hashing import Domain, recover_signer, request_id, result_digest, result_of
from sworn.codec.structs import request_from_abi
from sworn.codec.tensors import decode_payload, decode_tensors
from sworn.dispute.case import Case
from sworn.errors import ChainError, CodecError
from sworn.types import (
    Address,
    Answer,
    CallbackKind,
    Deployment,
    Profile,
    Request,
    RequestId,
    RequestState,
    ResultId,
    Schema,
    Status,
)

#: What a transaction costs before calldata and execution.
CALL_GAS: Final = 21_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A request and the transaction that made it."""

    request_id: RequestId
    request: Request
    #: Payload of the input tensors, or a reference to it.
    payload: bytes
    transaction_hash: bytes
    block_number: int


@runtime_checkable
class Remembering(Protocol):
    """What remembers a request that it made or found, such as its handle."""

    @property
    def requested(self) -> Requested:
        """The request and the transaction that made it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A proposed result whose digest has been recomputed and whose signer has been recovered."""

    answer: Answer
    result_id: ResultId
    round: int
    signer: Address
    signature: bytes
    transaction_hash: bytes
    block_number: int


def domain_of(deployment: Deployment) -> Domain:
    """The EIP-712 domain of a deployment."""
    return Domain(chain_id=deployment.chain_id, oracle=deployment.oracle)


def requested_from(log: Log, deployment: Deployment) -> Requested:
    """A request from its log. Raises `ChainError` when the log's id is not the id of its content."""
    event = abi.interface("IInferenceOracle").decode_log(log.topics, log.data).arguments
    request = request_from_abi(event["request"])
    own_id = request_id(request, chain_id=deployment.chain_id, oracle=deployment.oracle)
    if own_id != event["requestId"]:
        raise ChainError(f"the node's log of request 0x{event['requestId'].hex()} has another content")
    return Requested(
        request_id=own_id,
        request=request,
        payload=event["input"],
        transaction_hash=log.transaction_hash,
        block_number=log.block_number,
    )


def proposal_from(log: Log, request: Request, deployment: Deployment) -> Proposal:
    """A proposal from its log.

    Raises `ChainError` when the digest in the log is not that of the request with the log's output, or when no key has
    signed it: the node does not tell what the contract has checked.
    """
    event = abi.interface("IInferenceOracle").decode_log(log.topics, log.data).arguments
    answer = Answer(operator=event["operator"], trace_root=event["traceRoot"], output=event["output"])
    try:
        result = result_of(request, answer, chain_id=deployment.chain_id, oracle=deployment.oracle)
        digest = result_digest(result, domain_of(deployment))
        signer = recover_signer(digest, event["signature"])
    except CodecError as error:
        raise ChainError(f"the node's log of a result does not verify: {error}") from error
    if digest != event["resultId"]:
        raise ChainError(f"the node's log of result 0x{event['resultId'].hex()} has another content")
    return Proposal(
        answer=answer,
        result_id=digest,
        round=event["round"],
        signer=signer,
        signature=event["signature"],
        transaction_hash=log.transaction_hash,
        block_number=log.block_number,
    )


def is_current(proposal: Proposal, state: RequestState) -> bool:
    """Whether a proposal is the one that the request's slot holds."""
    return proposal.result_id[: len(state.result_tag)] == state.result_tag


def case_of(requested: Requested, proposal: Proposal, deployment: Deployment) -> Case:
    """A proposed result as the moves of a dispute state it."""
    where = domain_of(deployment)
    result = result_of(requested.request, proposal.answer, chain_id=where.chain_id, oracle=where.oracle)
    return Case.of(result, where, request=requested.request, signature=proposal.signature)


def outputs_of(payload: bytes, schema: Schema | None) -> Mapping[str, NDArray[Any]]:
    """Output arrays by name. Raises `CodecError` when the payload is malformed or does not fit the schema."""
    if schema is not None:
        return decode_tensors(payload, schema.outputs)
    return {f"output_{index}": array for index, array in enumerate(decode_payload(payload))}


def inference_result(
    requested: Requested,
    proposal: Proposal,
    *,
    status: Status,
    profile: Profile,
    schema: Schema | None,
    final_transaction: bytes | None,
) -> InferenceResult:
    """The record that `wait` returns."""
    return InferenceResult(
        outputs=outputs_of(proposal.answer.output, schema),
        status=status,
        final=status is Status.FINALIZED,
        request_id=requested.request_id,
        result_id=proposal.result_id,
        model_id=requested.request.model_id,
        profile=profile,
        operator=proposal.answer.operator,
        signer=proposal.signer,
        signature=proposal.signature,
        round=proposal.round,
        request_transaction=requested.transaction_hash,
        proposal_transaction=proposal.transaction_hash,
        final_transaction=final_transaction,
    )


def callback_call_gas(data: bytes, *, callback_gas: int) -> int:
    """Gas for a simulated callback: what the callee was promised, on top of what a transaction costs before it starts.

    Calldata costs 4 gas per zero byte and 16 per other byte, and the whole transaction at least 10 and 40 (EIP-7623).
    """
    zeros = data.count(0)
    others = len(data) - zeros
    return CALL_GAS + max(callback_gas + 4 * zeros + 16 * others, 10 * zeros + 40 * others)


def callback_data(requested: Requested, state: RequestState, proposal: Proposal | None) -> bytes | None:
    """Calldata of the pending callback, as the oracle makes it; None when it needs a proposal that is not there."""
    consumer, salt = abi.interface("IInferenceConsumer"), requested.request.salt
    if state.pending is CallbackKind.FAILED:
        return consumer.encode("onInferenceFailed", requested.request_id, salt, state.result_tag[-1])
    if state.pending is CallbackKind.REFUTED:
        reopened = state.status is Status.REQUESTED
        return consumer.encode("onInferenceRefuted", requested.request_id, salt, state.round, reopened)
    if proposal is None:
        return None
    is_final = state.pending is CallbackKind.FINAL
    output = proposal.answer.output
    return consumer.encode(
        "onInferenceResult", requested.request_id, salt, proposal.result_id, state.round, is_final, output
    )
