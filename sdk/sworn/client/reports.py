# Generated from client/async_reports.py by scripts/generate_sync.py; do not edit.
"""Gathers what `sworn.client.diagnosis` draws its reports from."""

from __future__ import annotations

from sworn import abi
from sworn.chain.gateway import Call
from sworn.client.contracts import Contracts
from sworn.client.diagnosis import RequestFacts, report_of, unknown_report
from sworn.client.dispute_records import DisputeReport
from sworn.client.docket import Docket
from sworn.client.market import Market
from sworn.client.records import OperatorOffer, RequestReport
from sworn.client.terms import terms_of
from sworn.client.verification import (
    Proposal,
    Requested,
    callback_call_gas,
    callback_data,
    case_of,
    is_current,
    proposal_from,
)
from sworn.errors import ContractRevert, RequestUnknown
from sworn.types import ZERO_ADDRESS, Address, CallbackKind, FailureCode, RequestId, RequestState, Status


class Reports:
    """Looks a request up from every side."""

    def __init__(self, *, contracts: Contracts, market: Market, docket: Docket) -> None:
        self._contracts = contracts
        self._market = market
        self._docket = docket

    def report(self, request_id: RequestId, *, requested: Requested | None = None) -> RequestReport:
        """The report on a request; ``requested`` is what a handle remembers of it."""
        head = self._contracts.head()
        state = self._contracts.state(request_id)
        if state.status is not Status.NONE and requested is None:
            requested = self._found(request_id)
        if state.status is Status.NONE or requested is None:
            in_pool = requested is not None and self._contracts.gateway.is_pending(requested.transaction_hash)
            request = None if requested is None else requested.request
            return unknown_report(request_id, now=head.timestamp, request=request, in_pool=in_pool)
        return report_of(self._facts(requested, state, now=head.timestamp))

    def proposal(self, requested: Requested, state: RequestState) -> Proposal | None:
        """The proposal that the request's slot holds, verified; None while there is none."""
        proposals = self.proposals(requested)
        return next((proposal for proposal in proposals if is_current(proposal, state)), None)

    def proposals(self, requested: Requested) -> tuple[Proposal, ...]:
        """Every proposal that a request has had, the newest first, each verified; refuted ones too."""
        logs = self._contracts.logs("oracle", "ResultProposed", requested.request_id, from_block=requested.block_number)
        return tuple(proposal_from(log, requested.request, self._contracts.deployment) for log in reversed(logs))

    def _found(self, request_id: RequestId) -> Requested | None:
        try:
            return self._contracts.requested(request_id)
        except RequestUnknown:
            return None

    def _facts(self, requested: Requested, state: RequestState, *, now: int) -> RequestFacts:
        waiting = state.status is Status.REQUESTED
        request = requested.request
        made = self._contracts.gateway.block(requested.block_number)
        return RequestFacts(
            request_id=requested.request_id,
            request=request,
            state=state,
            now=now,
            requested_at=made.timestamp,
            profile=self._market.profile(request.model_id),
            offers=self._offers(requested) if waiting else (),
            failure_reports=self._failure_reports(requested) if waiting else (),
            callback_error=self._callback_error(requested, state),
            credit_wei=self._contracts.credit(request.refund_to),
            reward_wei=self._contracts.reward(request.refund_to) if state.status is Status.REFUTED else 0,
            dispute=self._dispute(requested, state) if state.status is Status.DISPUTED else None,
        )

    def _dispute(self, requested: Requested, state: RequestState) -> DisputeReport | None:
        proposal = self.proposal(requested, state)
        if proposal is None:
            return None
        case = case_of(requested, proposal, self._contracts.deployment)
        return self._docket.report(case, state=state, from_block=proposal.block_number)

    def _offers(self, requested: Requested) -> tuple[OperatorOffer, ...]:
        request = requested.request
        terms = terms_of(request, bond_wei=self._contracts.bond_for(request.value_at_risk_wei))
        if request.operator == ZERO_ADDRESS:
            return self._market.offers(terms, request_id=requested.request_id)
        return (self._market.offer(request.operator, terms, request_id=requested.request_id),)

    def _failure_reports(self, requested: Requested) -> tuple[tuple[Address, FailureCode], ...]:
        logs = self._contracts.logs(
            "oracle", "FailureReported", requested.request_id, from_block=requested.block_number
        )
        events = [abi.interface("IInferenceOracle").decode_log(log.topics, log.data).arguments for log in logs]
        return tuple((event["operator"], FailureCode(event["code"])) for event in events)

    def _callback_error(self, requested: Requested, state: RequestState) -> ContractRevert | None:
        """What the pending callback runs into when it is made now with the gas that was asked for."""
        if state.pending is CallbackKind.NONE:
            return None
        data = callback_data(requested, state, self.proposal(requested, state))
        if data is None:
            return None
        request = requested.request
        gas = callback_call_gas(data, callback_gas=request.callback_gas)
        oracle = self._contracts.deployment.oracle
        try:
            self._contracts.gateway.call(Call(to=request.requester, data=data, sender=oracle, gas=gas))
        except ContractRevert as error:
            return abi.contract_error(error.data) if error.data else error
        return None
