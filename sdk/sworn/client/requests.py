# Generated from client/async_requests.py by scripts/generate_sync.py; do not edit.
"""Making requests and following them to their end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from sworn import abi
from sworn.chain.gateway import Receipt
from sworn.chain.pacing import Pacing, Sleep
from sworn.client.checks import Checks
from sworn.client.contracts import Contracts
from sworn.client.diagnosis import failure_code_of
from sworn.client.identities import address_of, operator_of
from sworn.client.market import Market
from sworn.client.recomputing import Materials, TraceLike
from sworn.client.records import InferenceResult, ModelLike, OperatorOffer, Quote, RequestReport, ResolvedModel
from sworn.client.reports import Reports
from sworn.client.signing import Signing
from sworn.client.terms import (
    RequestOptions,
    Terms,
    callback_gas_of,
    deadline_of,
    requested_operator,
    window_of,
)
from sworn.client.verdicts import Verification
from sworn.client.verification import Proposal, Requested, inference_result, requested_from
from sworn.codec.payload import encode_reference
from sworn.codec.structs import answer_to_abi, request_params_to_abi, request_to_abi
from sworn.codec.tensors import encode_tensors
from sworn.codec.trees import payload_root
from sworn.errors import (
    ChainError,
    RequestExpired,
    RequestFailed,
    RequestRefuted,
    RequestTimeout,
    RequestUnknown,
    TransientChainError,
)
from sworn.types import (
    ZERO_HASH,
    Address,
    Answer,
    InputShapes,
    ModelId,
    Request,
    RequestId,
    RequestState,
    Status,
    Tensors,
)

Until = Literal["proposed", "final"]


class RequestHandle:
    """One request: its preimage, its id, and what can be done with it."""

    def __init__(self, *, requested: Requested, desk: Requests, checks: Checks) -> None:
        self._requested = requested
        self._desk = desk
        self._checks = checks

    def __repr__(self) -> str:
        return f"{type(self).__name__}(0x{self.request_id.hex()})"

    @property
    def request_id(self) -> RequestId:
        """The request's id."""
        return self._requested.request_id

    @property
    def requested(self) -> Requested:
        """All that is remembered of it, so that it need not be looked up again."""
        return self._requested

    @property
    def request(self) -> Request:
        """The preimage of the id: keep it to address the request without a node that has its log."""
        return self._requested.request

    @property
    def transaction_hash(self) -> bytes:
        """The transaction that made the request."""
        return self._requested.transaction_hash

    @property
    def block_number(self) -> int:
        """The block in which the request was made."""
        return self._requested.block_number

    def wait(
        self,
        *,
        timeout: float = 300.0,
        until: Until = "final",
    ) -> InferenceResult:
        """Waits ``timeout`` seconds for a result: a proposed one, which can still be refuted, or the final one.

        A dispute over the result is waited through; of a proposed one, ``status`` says whether it is under challenge.
        Raises `RequestTimeout` (the request goes on), `RequestExpired`, `RequestFailed`, `RequestRefuted`,
        `RequestUnknown` when a reorg has removed the request, and `ChainError` when the node's data does not verify.
        """
        return self._desk.wait(self._requested, timeout_s=timeout, until=until)

    def status(self) -> RequestReport:
        """Where the request stands, why, and what to do about it."""
        return self._desk.status(self._requested)

    def verify(
        self,
        *,
        model: ModelLike | None = None,
        inputs: Tensors | None = None,
        input_shapes: InputShapes | None = None,
        trace: TraceLike | None = None,
    ) -> Verification:
        """Runs the answered request again and compares, as `Client.verify`."""
        return self._checks.verify(
            self.request_id,
            requested=self._requested,
            materials=Materials(model=model, inputs=inputs, input_shapes=input_shapes, trace=trace),
        )

    def expire(self) -> Receipt:
        """Ends the request after its deadline and credits the fee to ``refund_to``."""
        return self._desk.expire(self._requested)

    def finalize(self) -> Receipt:
        """Makes the proposed result final after its window."""
        return self._desk.finalize(self._requested)

    def retry_callback(self) -> Receipt:
        """Repeats the failed callback. Raises the contract's `CallbackStillFailing` when it fails again."""
        return self._desk.retry_callback(self._requested)


class Requests:
    """Makes requests with the client's account."""

    def __init__(
        self,
        *,
        contracts: Contracts,
        signing: Signing,
        market: Market,
        reports: Reports,
        checks: Checks,
        pacing: Pacing,
        sleep: Sleep,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._contracts = contracts
        self._signing = signing
        self._market = market
        self._reports = reports
        self._checks = checks
        self._pacing = pacing
        self._sleep = sleep
        self._random_bytes = random_bytes

    def offers(self, model: ModelLike, options: RequestOptions) -> tuple[OperatorOffer, ...]:
        """Every offer, assessed on these terms."""
        resolved = self._resolved(model, options)
        return self._market.offers(self._terms(resolved.model_id, options))

    def quote(self, model: ModelLike, options: RequestOptions, *, input_bytes: int = 0) -> Quote:
        """What a request on these terms costs. Raises `QuoteError`."""
        resolved = self._resolved(model, options)
        terms = self._terms(resolved.model_id, options)
        return self._market.quote(terms, operator=operator_of(options.operator), input_bytes=input_bytes)

    def make(self, model: ModelLike, inputs: Tensors, options: RequestOptions) -> RequestHandle:
        """Sends a request and waits for its inclusion."""
        resolved = self._market.resolve(
            model, profile=options.profile, input_shapes=options.input_shapes, inputs=inputs
        )
        schema = self._market.schema(resolved, input_shapes=options.input_shapes, inputs=inputs)
        payload = encode_tensors(inputs, schema.inputs)
        operator, fee_wei = self._terms_of_payment(resolved.model_id, options, input_bytes=len(payload))
        own = self._signing.address
        request = Request(
            model_id=resolved.model_id,
            input_root=payload_root(payload),
            requester=own,
            operator=operator,
            refund_to=own if options.refund_to is None else address_of(options.refund_to),
            fee_wei=fee_wei,
            value_at_risk_wei=options.value_at_risk_wei,
            callback_gas=callback_gas_of(options.callback),
            window_s=window_of(options.window_s, self._contracts.deployment.parameters),
            deadline=self._deadline(options.deadline),
            assurance=options.assurance,
            salt=self._random_bytes(len(ZERO_HASH)) if options.salt is None else options.salt,
        )
        sent = payload if options.input_uri is None else encode_reference(options.input_uri)
        receipt = self._signing.send("oracle", "request", request_params_to_abi(request), sent, value_wei=fee_wei)
        made = self.handles_in(receipt)
        if not made or made[0].request != request:
            raise ChainError(f"transaction 0x{receipt.transaction_hash.hex()} did not make the request")
        return made[0]

    def handles_in(self, receipt: Receipt) -> tuple[RequestHandle, ...]:
        """Handles of every request that a transaction made, whoever sent it."""
        topic, oracle = abi.interface("IInferenceOracle").topic("InferenceRequested"), self._contracts.deployment.oracle
        logs = [log for log in receipt.logs if log.address == oracle and log.topics[:1] == (topic,)]
        return tuple(self._handle(requested_from(log, self._contracts.deployment)) for log in logs)

    def handle(self, request_id: RequestId) -> RequestHandle:
        """The handle of a request, rebuilt from its log. Raises `RequestUnknown`."""
        return self._handle(self._contracts.requested(request_id))

    def status(self, requested: Requested) -> RequestReport:
        """The report on a request."""
        return self._reports.report(requested.request_id, requested=requested)

    def wait(self, requested: Requested, *, timeout_s: float, until: Until) -> InferenceResult:
        """The result, once it has come as far as is asked for."""
        deadline = self._pacing.clock() + timeout_s
        while True:
            try:
                result = self._progress(requested, until=until)
            except TransientChainError:
                if self._pacing.clock() >= deadline:
                    raise
                result = None
            if result is not None:
                return result
            if self._pacing.clock() >= deadline:
                report = self.status(requested)
                raise RequestTimeout(f"request 0x{requested.request_id.hex()} after {timeout_s:g} s: {report.reason}")
            self._sleep(self._pacing.poll_s)

    def expire(self, requested: Requested) -> Receipt:
        """Ends a request after its deadline."""
        return self._signing.send("oracle", "expire", request_to_abi(requested.request))

    def finalize(self, requested: Requested) -> Receipt:
        """Makes a proposed result final."""
        proposal = self._proposal(requested, self._contracts.state(requested.request_id))
        if proposal is None:
            raise RequestTimeout(f"request 0x{requested.request_id.hex()} has no proposed result yet")
        answer = answer_to_abi(proposal.answer)
        return self._signing.send("oracle", "finalize", request_to_abi(requested.request), answer)

    def retry_callback(self, requested: Requested) -> Receipt:
        """Repeats a failed callback."""
        state = self._contracts.state(requested.request_id)
        proposal = self._proposal(requested, state)
        # Failure and refutation notices have no answer, and the oracle ignores what is passed for it.
        nothing = Answer(operator=requested.request.operator, trace_root=ZERO_HASH, output=b"")
        answer = answer_to_abi(nothing if proposal is None else proposal.answer)
        return self._signing.send("oracle", "retryCallback", request_to_abi(requested.request), answer)

    def _resolved(self, model: ModelLike, options: RequestOptions) -> ResolvedModel:
        return self._market.resolve(model, profile=options.profile, input_shapes=options.input_shapes)

    def _handle(self, requested: Requested) -> RequestHandle:
        return RequestHandle(requested=requested, desk=self, checks=self._checks)

    def _deadline(self, value: float | datetime | None) -> int:
        return deadline_of(value, now=(self._contracts.head()).timestamp)

    def _terms(self, model_id: ModelId, options: RequestOptions) -> Terms:
        return Terms(
            model_id=model_id,
            value_at_risk_wei=options.value_at_risk_wei,
            window_s=window_of(options.window_s, self._contracts.deployment.parameters),
            callback_gas=callback_gas_of(options.callback),
            deadline=self._deadline(options.deadline),
            max_fee_wei=options.max_fee_wei,
            bond_wei=self._contracts.bond_for(options.value_at_risk_wei),
        )

    def _terms_of_payment(self, model_id: ModelId, options: RequestOptions, *, input_bytes: int) -> tuple[Address, int]:
        operator = operator_of(options.operator)
        if options.fee_wei is not None and operator is not None:
            # An exact fee to a named operator is the caller's own decision; nothing is compared with offers.
            return requested_operator(operator, Address(operator)), options.fee_wei
        quote = self.quote(model_id, options, input_bytes=input_bytes)
        fee_wei = quote.fee_wei if options.fee_wei is None else options.fee_wei
        return requested_operator(operator, quote.operator), fee_wei

    def _progress(self, requested: Requested, *, until: Until) -> InferenceResult | None:
        state = self._contracts.state(requested.request_id)
        _raise_if_ended(requested, state)
        # INVARIANT: a result under challenge is never final: the waiting goes on until the dispute is over.
        wanted = (Status.FINALIZED,) if until == "final" else (Status.PROPOSED, Status.DISPUTED, Status.FINALIZED)
        if state.status not in wanted:
            self._raise_if_gone(requested, state)
            return None
        proposal = self._proposal(requested, state)
        if proposal is None:
            # The node's logs lag behind its state.
            return None
        return inference_result(
            requested,
            proposal,
            status=state.status,
            profile=self._market.profile(requested.request.model_id),
            schema=self._market.known_schema(requested.request.model_id),
            final_transaction=self._final_transaction(requested) if state.status is Status.FINALIZED else None,
        )

    def _proposal(self, requested: Requested, state: RequestState) -> Proposal | None:
        return self._reports.proposal(requested, state)

    def _final_transaction(self, requested: Requested) -> bytes | None:
        log = self._contracts.newest_log(
            "oracle", "ResultFinalized", requested.request_id, from_block=requested.block_number
        )
        return None if log is None else log.transaction_hash

    def _raise_if_gone(self, requested: Requested, state: RequestState) -> None:
        if state.status is Status.NONE and not self._contracts.gateway.is_pending(requested.transaction_hash):
            raise RequestUnknown(f"a reorg has removed request 0x{requested.request_id.hex()}; make it again")


def _raise_if_ended(requested: Requested, state: RequestState) -> None:
    name = f"request 0x{requested.request_id.hex()}"
    if state.status is Status.EXPIRED:
        raise RequestExpired(f"{name} expired; withdraw the fee with {requested.request.refund_to}")
    if state.status is Status.FAILED:
        code = failure_code_of(state)
        raise RequestFailed(f"{name} failed: {code.name if code is not None else 'unknown'}")
    if state.status is Status.REFUTED:
        raise RequestRefuted(f"{name} was refuted; withdraw fee and compensation with {requested.request.refund_to}")
