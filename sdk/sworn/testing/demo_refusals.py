"""The demo's two requests without a result: one that cannot be answered, one that nobody answers."""

from __future__ import annotations

from sworn.client import Cause
from sworn.errors import RequestExpired, RequestFailed
from sworn.testing.demo_lending import CONTRACT, DECLINED, FEE_WEI, apply_for_loan
from sworn.testing.demo_opening import WINDOW_S
from sworn.testing.demo_stage import Stage, StoryBroken
from sworn.testing.models import example_rows, load_model
from sworn.types import FailureCode, Status

DEADLINE_S = 900


def bad_input(stage: Stage) -> None:
    """The operator signs why it cannot answer; the fee comes back at once."""
    summary = "A borrower leaves one of thirty features out. The operator signs why it cannot answer; nothing is stuck."
    with stage.chapter("Bad input: a signed refusal", summary):
        pool = stage.required_pool()
        features = example_rows("breast_cancer_risk")[0].inputs["features"][:, :-1]
        loan_id, handle = apply_for_loan(stage, "borrower 3", pool, features)
        stage.fact("request_id", handle.request_id)
        stage.fact("features_given", int(features.size))
        stage.oracle.answer()
        stage.tell()
        report = handle.status()
        stage.check(report.status is Status.FAILED, "the request has failed")
        stage.check(report.failure_code is FailureCode.BAD_INPUT, "the operator signed BAD_INPUT")
        stage.fact("failure", FailureCode.BAD_INPUT)
        stage.fact("status_says", report.reason)
        try:
            handle.wait(timeout=5)
        except RequestFailed as error:
            stage.fact("client_raises", type(error).__name__)
        else:
            raise StoryBroken("a failed request gave a result")
        status = stage.view(CONTRACT, pool, "loans", loan_id)[1]
        stage.check(status == DECLINED, "the pool's callback has closed the application")
        _refund(stage, "borrower 3", FEE_WEI)


def silence(stage: Stage) -> None:
    """Nobody answers: anyone may end the request, and the fee comes back."""
    summary = "The operator's machine is off. After the deadline anyone may end the request; the fee comes back."
    with stage.chapter("Silence: the request expires", summary):
        row = example_rows("diabetes_progression")[1]
        client = stage.client("requester")
        handle = client.request(
            model=load_model("diabetes_progression"), inputs=dict(row.inputs), window=WINDOW_S, deadline=DEADLINE_S
        )
        stage.fact("request_id", handle.request_id)
        report = handle.status()
        stage.check(report.cause is Cause.WAITING, "the request waits for an operator that serves it")
        stage.fact("status_says", report.reason)
        stage.say(f"{DEADLINE_S} s pass, and nobody has answered:")
        stage.chain.advance(DEADLINE_S + 2)
        report = handle.status()
        stage.check(report.cause is Cause.EXPIRABLE, "the request can be expired")
        stage.fact("then_it_says", f"{report.reason} {report.next_step}")
        stage.client("stranger").expire(handle.request_id)
        try:
            handle.wait(timeout=5)
        except RequestExpired as error:
            stage.fact("client_raises", type(error).__name__)
        else:
            raise StoryBroken("an expired request gave a result")
        _refund(stage, "requester", handle.request.fee_wei)
        # The watcher is back, and must leave the request alone.
        stage.oracle.answer()
        stage.check(handle.status().status is Status.EXPIRED, "a watcher that comes back late changes nothing")


def _refund(stage: Stage, role: str, fee_wei: int) -> None:
    client = stage.client(role)
    credit = client.credit()
    stage.check(credit == fee_wei, "the whole fee has been credited")
    before = stage.balance(role)
    receipt = client.withdraw()
    cost = receipt.gas_used * receipt.effective_gas_price
    stage.check(stage.balance(role) - before + cost == fee_wei, "the whole fee is back in the account")
    stage.fact("refunded_wei", credit)
