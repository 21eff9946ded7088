"""Why nothing happens: a request's facts into one report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sworn.client.dispute_records import DisputeReport
from sworn.client.records import Cause, OperatorOffer, RequestReport
from sworn.errors import ContractRevert
from sworn.types import (
    ZERO_ADDRESS,
    Address,
    CallbackKind,
    FailureCode,
    Profile,
    Request,
    RequestId,
    RequestState,
    Status,
)

#: A result is proposed, and has a window.
_ANSWERED: Final = (Status.PROPOSED, Status.DISPUTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """Everything that a report is drawn from; amounts in wei, times in unix seconds."""

    request_id: RequestId
    request: Request
    state: RequestState
    #: Timestamp of the latest block.
    now: int
    #: When the request was made.
    requested_at: int
    #: The model's; NONE when it is not registered.
    profile: Profile = Profile.EXACT
    #: Assessed against the request; the named operator's only, when one is named.
    offers: tuple[OperatorOffer, ...] = ()
    failure_reports: tuple[tuple[Address, FailureCode], ...] = ()
    callback_error: ContractRevert | None = None
    #: What `refund_to` can withdraw from the oracle, and as compensation from the dispute game.
    credit_wei: int = 0
    reward_wei: int = 0
    #: The dispute over the result; None while it is not under challenge.
    dispute: DisputeReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    cause: Cause
    reason: str
    next_step: str


def report_of(facts: RequestFacts) -> RequestReport:
    """The report on a request that the chain knows."""
    state, request = facts.state, facts.request
    finding = _callback_finding(facts) if state.pending is not CallbackKind.NONE else _finding(facts)
    return RequestReport(
        request_id=facts.request_id,
        status=state.status,
        cause=finding.cause,
        reason=finding.reason,
        next_step=finding.next_step,
        request=request,
        profile=facts.profile,
        now=facts.now,
        deadline=request.deadline + state.extension_s,
        window_closes_at=state.proposed_at + request.window_s if state.status in _ANSWERED else None,
        dispute=facts.dispute,
        callback_error=facts.callback_error,
        failure_code=failure_code_of(state),
        offers=facts.offers,
        failure_reports=facts.failure_reports,
    )


def unknown_report(request_id: RequestId, *, now: int, request: Request | None, in_pool: bool) -> RequestReport:
    """The report on a request that the chain does not know (any more)."""
    if in_pool:
        cause, reason = Cause.PENDING, "The transaction that makes the request is not mined yet."
        step = "Wait; if it stays so, the transaction's fees are too low."
    elif request is not None:
        cause, reason = (
            Cause.REORGED,
            "A reorganisation has removed the transaction that made the request.",
        )
        step = "Make the request again; the fee was not spent."
    else:
        cause, reason = Cause.UNKNOWN, "This deployment has no such request."
        step = "Check the id, the chain and the deployment."
    return RequestReport(
        request_id=request_id,
        status=Status.NONE,
        cause=cause,
        reason=reason,
        next_step=step,
        request=request,
        now=now,
        deadline=request.deadline if request else None,
    )


def failure_code_of(state: RequestState) -> FailureCode | None:
    """The code in a failed request's slot."""
    return FailureCode(state.result_tag[-1]) if state.status is Status.FAILED else None


def _finding(facts: RequestFacts) -> _Finding:
    match facts.state.status:
        case Status.REQUESTED:
            return _waiting(facts)
        case Status.PROPOSED:
            return _proposed(facts)
        case Status.DISPUTED:
            return _disputed(facts)
        case Status.FINALIZED:
            return _Finding(cause=Cause.FINAL, reason="The result is final.", next_step="Nothing to do.")
        case Status.EXPIRED:
            reason = "Nobody answered before the deadline; the fee was credited."
            return _Finding(cause=Cause.EXPIRED, reason=reason, next_step=_refund_step(facts))
        case Status.FAILED:
            code = failure_code_of(facts.state)
            name = code.name if code is not None else "unknown"
            reason = f"The named operator signed the failure {name}; the fee was credited."
            return _Finding(cause=Cause.FAILED, reason=reason, next_step=_refund_step(facts))
        case _:
            reason = "The named operator was convicted; the fee was credited."
            step = _refund_step(facts)
            if facts.reward_wei:
                step = f"{step} Withdraw its compensation: {facts.reward_wei} wei."
            return _Finding(cause=Cause.REFUTED, reason=reason, next_step=step)


def _refund_step(facts: RequestFacts) -> str:
    if not facts.credit_wei:
        return "Nothing to do: the refund has been withdrawn."
    return f"Withdraw the credit of {facts.request.refund_to}: {facts.credit_wei} wei."


def _disputed(facts: RequestFacts) -> _Finding:
    dispute = facts.dispute
    if dispute is None or dispute.ends_at is None:
        # The node's answers come from different blocks: the next look sees one.
        reason = "The result is under challenge."
        return _Finding(cause=Cause.DISPUTED, reason=reason, next_step="Look again.")
    since, left = facts.now - dispute.dispute.opened_at, dispute.ends_at - facts.now
    reason = f"The result is under challenge since {since} s. {dispute.reason}"
    if left < 0:
        return _Finding(cause=Cause.DISPUTED, reason=reason, next_step=dispute.next_step)
    otherwise = (
        "fee and compensation are credited"
        if facts.request.operator != ZERO_ADDRESS
        else "others may answer, and the compensation is credited"
    )
    step = f"Wait: the dispute ends within {left} s. If the result is refuted, {otherwise}."
    return _Finding(cause=Cause.DISPUTED, reason=reason, next_step=step)


def _waiting(facts: RequestFacts) -> _Finding:
    deadline = facts.request.deadline + facts.state.extension_s
    if facts.now > deadline:
        late = facts.now - deadline
        reason = f"Nobody answered; the deadline passed {late} s ago."
        return _Finding(cause=Cause.EXPIRABLE, reason=reason, next_step="Call expire: it refunds the fee.")
    wait = f"Wait until the deadline in {deadline - facts.now} s, then call expire for a refund"
    if facts.profile is Profile.NONE:
        reason = "The model is not registered, so no result can be proposed."
        return _Finding(cause=Cause.MODEL_UNREGISTERED, reason=reason, next_step=f"Register the model, or: {wait}.")
    if not facts.offers:
        named = facts.request.operator
        who = "No operator offers" if named == ZERO_ADDRESS else f"The named operator {named} has never offered"
        return _Finding(cause=Cause.NO_OPERATOR, reason=f"{who} this model.", next_step=f"{wait}.")
    best = facts.offers[0]
    waited = max(facts.now - facts.requested_at, 0)
    if best.viable:
        reason = f"Operator {best.operator} serves this request; waiting since {waited} s.{_reports(facts)}"
        return _Finding(cause=Cause.WAITING, reason=reason, next_step=f"{wait}.")
    first = best.obstacles[0]
    others = len(facts.offers) - 1
    more = f", and {others} more operators do not serve it either" if others else ""
    reason = f"Operator {best.operator} does not serve this request: {first.text}{more}.{_reports(facts)}"
    return _Finding(cause=first.cause, reason=reason, next_step=f"{wait}, and ask again on other terms.")


def _reports(facts: RequestFacts) -> str:
    return "".join(f" Operator {operator} reported {code.name}." for operator, code in facts.failure_reports)


def _proposed(facts: RequestFacts) -> _Finding:
    left = facts.state.proposed_at + facts.request.window_s - facts.now
    if left >= 0:
        reason = f"A result is proposed; its challenge window runs for another {left} s."
        return _Finding(cause=Cause.WINDOW_RUNNING, reason=reason, next_step="Wait for the window to close.")
    reason = f"The challenge window closed {-left} s ago, but nobody has finalized the result."
    return _Finding(cause=Cause.FINALIZABLE, reason=reason, next_step="Call finalize; anyone may.")


def _callback_finding(facts: RequestFacts) -> _Finding:
    kind = facts.state.pending.name.lower()
    if facts.callback_error is None:
        reason = f"The {kind} callback of {facts.request.requester} failed; it would succeed now."
        return _Finding(cause=Cause.CALLBACK_FAILED, reason=reason, next_step="Call retry_callback; anyone may.")
    reason = f"The {kind} callback of {facts.request.requester} failed: {facts.callback_error}"
    step = "Remove the cause in the consumer, then call retry_callback; anyone may, with more gas."
    return _Finding(cause=Cause.CALLBACK_FAILED, reason=reason, next_step=step)
