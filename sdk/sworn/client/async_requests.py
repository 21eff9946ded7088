"""Making requests and following them to their end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from sworn import abi
from sworn.chain.gateway import Receipt
from sworn.chain.pacing import AsyncSleep, Pacing
from sworn.client.async_checks import AsyncChecks
from sworn.client.async_contracts import AsyncContracts
from sworn.client.async_market import AsyncMarket
from sworn.client.async_reports import AsyncReports
from sworn.client.async_signing import AsyncSigning
from sworn.client.diagnosis import failure_code_of
from sworn.client.identities import address_of, operator_of
from sworn.client.recomputing import Materials, TraceLike
from sworn.client.records import InferenceResult, ModelLike, OperatorOffer, Quote, RequestReport, ResolvedModel
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


class AsyncRequestHandle:
    """One request: its preimage, its id, and what can be done with it."""

    def __init__(self, *, requested: Requested, desk: AsyncRequests, checks: AsyncChecks) -> None:
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

    async def wait(
        self,
        *,
        timeout: float = 300.0,  # noqa: ASYNC109 (it ends the waiting with a reason, it does not cancel)
        until: Until = "final",
    ) -> InferenceResult:
        """Waits ``timeout`` seconds for a result: a proposed one, which can still be refuted, or the final one.

        A dispute over the result is waited through; of a proposed one, ``status`` says whether it is under challenge.
        Raises `RequestTimeout` (the request goes on), `RequestExpired`, `RequestFailed`, `RequestRefuted`,
        `RequestUnknown` when a reorg has removed the request, and `ChainError` when the node's data does not verify.
        """
        return await self._desk.wait(self._requested, timeout_s=timeout, until=until)

    async def status(self) -> RequestReport:
        """Where the request stands, why, and what to do about it."""
        return await self._desk.status(self._requested)

    async def verify(
        self,
        *,
        model: ModelLike | None = None,
        inputs: Tensors | None = None,
        input_shapes: InputShapes | None = None,
        trace: TraceLike | None = None,
    ) -> Verification:
        """Runs the answered request again and compares, as `AsyncClient.verify`."""
        return await self._checks.verify(
            self.request_id,
            requested=self._requested,
            materials=Materials(model=model, inputs=inputs, input_shapes=input_shapes, trace=trace),
        )

    async def expire(self) -> Receipt:
        """Ends the request after its deadline and credits the fee to ``refund_to``."""
        return await self._desk.expire(self._requested)

    async def finalize(self) -> Receipt:
        """Makes the proposed result final after its window."""
        return await self._desk.finalize(self._requested)

    async def retry_callback(self) -> Receipt:
        """Repeats the failed callback. Raises the contract's `CallbackStillFailing` when it fails again."""
        return await self._desk.retry_callback(self._requested)


class AsyncRequests:
    """Makes requests with the client's account."""

    def __init__(
        self,
        *,
        contracts: AsyncContracts,
        signing: AsyncSigning,
        market: AsyncMarket,
        reports: AsyncReports,
        checks: AsyncChecks,
        pacing: Pacing,
        sleep: AsyncSleep,
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

    async def offers(self, model: ModelLike, options: RequestOptions) -> tuple[OperatorOffer, ...]:
        """Every offer, assessed on these terms."""
        resolved = await self._resolved(model, options)
        return await self._market.offers(await self._terms(resolved.model_id, options))

    async def quote(self, model: ModelLike, options: RequestOptions, *, input_bytes: int = 0) -> Quote:
        """What a request on these terms costs. Raises `QuoteError`."""
        resolved = await self._resolved(model, options)
        terms = await self._terms(resolved.model_id, options)
        return await self._market.quote(terms, operator=operator_of(options.operator), input_bytes=input_bytes)

    async def make(self, model: ModelLike, inputs: Tensors, options: RequestOptions) -> AsyncRequestHandle:
        """Sends a request and waits for its inclusion."""
        resolved = await self._market.resolve(
            model, profile=options.profile, input_shapes=options.input_shapes, inputs=inputs
        )
        schema = await self._market.schema(resolved, input_shapes=options.input_shapes, inputs=inputs)
        payload = encode_tensors(inputs, schema.inputs)
        operator, fee_wei = await self._terms_of_payment(resolved.model_id, options, input_bytes=len(payload))
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
            deadline=await self._deadline(options.deadline),
            assurance=options.assurance,
            salt=self._random_bytes(len(ZERO_HASH)) if options.salt is None else options.salt,
        )
        sent = payload if options.input_uri is None else encode_reference(options.input_uri)
        receipt = await self._signing.send("oracle", "request", request_params_to_abi(request), sent, value_wei=fee_wei)
        made = self.handles_in(receipt)
        if not made or made[0].request != request:
            raise ChainError(f"transaction 0x{receipt.transaction_hash.hex()} did not make the request")
        return made[0]

    def handles_in(self, receipt: Receipt) -> tuple[AsyncRequestHandle, ...]:
        """Handles of every request that a transaction made, whoever sent it."""
        topic, oracle = abi.interface("IInferenceOracle").topic("InferenceRequested"), self._contracts.deployment.oracle
        logs = [log for log in receipt.logs if log.address == oracle and log.topics[:1] == (topic,)]
        return tuple(self._handle(requested_from(log, self._contracts.deployment)) for log in logs)

    async def handle(self, request_id: RequestId) -> AsyncRequestHandle:
        """The handle of a request, rebuilt from its log. Raises `RequestUnknown`."""
        return self._handle(await self._contracts.requested(request_id))

    async def status(self, requested: Requested) -> RequestReport:
        """The report on a request."""
        return await self._reports.report(requested.request_id, requested=requested)

    async def wait(self, requested: Requested, *, timeout_s: float, until: Until) -> InferenceResult:
        """The result, once it has come as far as is asked for."""
        deadline = self._pacing.clock() + timeout_s
        while True:
            try:
                result = await self._progress(requested, until=until)
            except TransientChainError:
                if self._pacing.clock() >= deadline:
                    raise
                result = None
            if result is not None:
                return result
            if self._pacing.clock() >= deadline:
                report = await self.status(requested)
                raise RequestTimeout(f"request 0x{requested.request_id.hex()} after {timeout_s:g} s: {report.reason}")
            await self._sleep(self._pacing.poll_s)

    async def expire(self, requested: Requested) -> Receipt:
        """Ends a request after its deadline."""
        return await self._signing.send("oracle", "expire", request_to_abi(requested.request))

    async def finalize(self, requested: Requested) -> Receipt:
        """Makes a proposed result final."""
        proposal = await self._proposal(requested, await self._contracts.state(requested.request_id))
        if proposal is None:
            raise RequestTimeout(f"request 0x{requested.request_id.hex()} has no proposed result yet")
        answer = answer_to_abi(proposal.answer)
        return await self._signing.send("oracle", "finalize", request_to_abi(requested.request), answer)

    async def retry_callback(self, requested: Requested) -> Receipt:
        """Repeats a failed callback."""
        state = await self._contracts.state(requested.request_id)
        proposal = await self._proposal(requested, state)
        # Failure and refutation notices have no answer, and the oracle ignores what is passed for it.
        nothing = Answer(operator=requested.request.operator, trace_root=ZERO_HASH, output=b"")
        answer = answer_to_abi(nothing if proposal is None else proposal.answer)
        return await self._signing.send("oracle", "retryCallback", request_to_abi(requested.request), answer)

    async def _resolved(self, model: ModelLike, options: RequestOptions) -> ResolvedModel:
        return await self._market.resolve(model, profile=options.profile, input_shapes=options.input_shapes)

    def _handle(self, requested: Requested) -> AsyncRequestHandle:
        return AsyncRequestHandle(requested=requested, desk=self, checks=self._checks)

    async def _deadline(self, value: float | datetime | None) -> int:
        return deadline_of(value, now=(await self._contracts.head()).timestamp)

    async def _terms(self, model_id: ModelId, options: RequestOptions) -> Terms:
        return Terms(
            model_id=model_id,
            value_at_risk_wei=options.value_at_risk_wei,
            window_s=window_of(options.window_s, self._contracts.deployment.parameters),
            callback_gas=callback_gas_of(options.callback),
            deadline=await self._deadline(options.deadline),
            max_fee_wei=options.max_fee_wei,
            bond_wei=await self._contracts.bond_for(options.value_at_risk_wei),
        )

    async def _terms_of_payment(
        self, model_id: ModelId, options: RequestOptions, *, input_bytes: int
    ) -> tuple[Address, int]:
        operator = operator_of(options.operator)
        if options.fee_wei is not None and operator is not None:
            # An exact fee to a named operator is the caller's own decision; nothing is compared with offers.
            return requested_operator(operator, Address(operator)), options.fee_wei
        quote = await self.quote(model_id, options, input_bytes=input_bytes)
        fee_wei = quote.fee_wei if options.fee_wei is None else options.fee_wei
        return requested_operator(operator, quote.operator), fee_wei

    async def _progress(self, requested: Requested, *, until: Until) -> InferenceResult | None:
        state = await self._contracts.state(requested.request_id)
        _raise_if_ended(requested, state)
        # INVARIANT: a result under challenge is never final: the waiting goes on until the dispute is over.
        wanted = (Status.FINALIZED,) if until == "final" else (Status.PROPOSED, Status.DISPUTED, Status.FINALIZED)
        if state.status not in wanted:
            await self._raise_if_gone(requested, state)
            return None
        proposal = await self._proposal(requested, state)
        if proposal is None:
            # The node's logs lag behind its state.
            return None
        return inference_result(
            requested,
            proposal,
            status=state.status,
            profile=await self._market.profile(requested.request.model_id),
            schema=self._market.known_schema(requested.request.model_id),
            final_transaction=await self._final_transaction(requested) if state.status is Status.FINALIZED else None,
        )

    async def _proposal(self, requested: Requested, state: RequestState) -> Proposal | None:
        return await self._reports.proposal(requested, state)

    async def _final_transaction(self, requested: Requested) -> bytes | None:
        log = await self._contracts.newest_log(
            "oracle", "ResultFinalized", requested.request_id, from_block=requested.block_number
        )
        return None if log is None else log.transaction_hash

    async def _raise_if_gone(self, requested: Requested, state: RequestState) -> None:
        if state.status is Status.NONE and not await self._contracts.gateway.is_pending(requested.transaction_hash):
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
