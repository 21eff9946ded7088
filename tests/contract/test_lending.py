from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, assert_silent, reverts
from tests.support.chain import Chain, Contract
from tests.support.ieee754 import WAD
from tests.support.loans import (
    FEATURES,
    MAX_RISK_WAD,
    POOL_WEI,
    PRINCIPAL_WEI,
    WINDOW_S,
    Bank,
    LoanStatus,
    open_bank,
    risk_wad,
)
from tests.support.scene import FEE_WEI, Scene

from sworn.codec.tensors import encode_payload
from sworn.types import ZERO_HASH, CallbackKind, FailureCode, Status

BASE_RATE_WAD = WAD // 50


@pytest.fixture
def bank(scene: Scene, deployer: Account) -> Bank:
    """A lending pool with 50 ether in it."""
    return open_bank(scene, deployer=deployer)


def due_wei(risk: float, principal_wei: int = PRINCIPAL_WEI) -> int:
    """Principal and interest at that risk."""
    return principal_wei + principal_wei * (BASE_RATE_WAD + 2 * risk_wad(risk)) // WAD


def test_application_reserves_principal_and_asks(bank: Bank, scene: Scene) -> None:
    """An application sets its principal aside and asks the model, at the borrower's expense and for its refund."""
    loan_id, request = bank.apply()

    assert scene.state_of(request).status is Status.REQUESTED
    assert bank.loan(loan_id) == (
        bank.borrower.address,
        LoanStatus.APPLIED,
        PRINCIPAL_WEI,
        0,
        request.deadline + WINDOW_S + 1,
    )
    assert bank.ledger() == (POOL_WEI - PRINCIPAL_WEI, PRINCIPAL_WEI)
    assert bank.pool.call("openLoanOf", bank.borrower) == loan_id


def test_application_emits_features_as_floats(bank: Bank) -> None:
    """The request carries the features as float32 [1, n], rounded to nearest."""
    features = [WAD // 3, -(10**30), 0]

    receipt = bank.pool.send("applyForLoan", PRINCIPAL_WEI, features, by=bank.borrower)

    payload = encode_payload([np.array([[1 / 3, -1e12, 0]], dtype=np.float32)])
    assert_emitted(receipt, "InferenceRequested", input=payload)
    assert_emitted(receipt, "LoanApplied", borrower=bank.borrower, principal_wei=PRINCIPAL_WEI)


@pytest.mark.parametrize("risk", [0.0, 0.05, 0.19])
def test_low_risk_grants_at_its_price(bank: Bank, risk: float) -> None:
    """A loan within the limit of risk is granted at 2 % plus twice its risk."""
    loan_id, request = bank.apply()

    receipt = bank.decide(request, risk)

    rate_wad = BASE_RATE_WAD + 2 * risk_wad(risk)
    assert_emitted(receipt, "LoanGranted", loan_id=loan_id, risk_wad=risk_wad(risk), rate_wad=rate_wad)
    assert bank.loan(loan_id).status is LoanStatus.GRANTED
    assert bank.pool.call("dueFor", loan_id) == due_wei(risk)
    assert bank.pool.call("drawable", bank.borrower) == PRINCIPAL_WEI


@pytest.mark.parametrize("risk", [0.2001, 0.9, 1.0])
def test_high_risk_declines_and_frees_principal(bank: Bank, risk: float) -> None:
    """A loan beyond the limit of risk is declined, and the borrower may apply anew."""
    loan_id, request = bank.apply()

    receipt = bank.decide(request, risk)

    assert_emitted(receipt, "LoanDeclined", loan_id=loan_id, risk_wad=risk_wad(risk))
    assert bank.loan(loan_id).status is LoanStatus.DECLINED
    assert bank.ledger() == (POOL_WEI, 0)
    assert bank.apply()[0] != loan_id


def test_risk_at_limit_grants(bank: Bank) -> None:
    """The limit itself is still acceptable, and one step of float32 above it is not."""
    limit = np.float32(MAX_RISK_WAD / WAD)
    below, above = np.nextafter(limit, np.float32(0)), limit
    assert risk_wad(float(below)) <= MAX_RISK_WAD < risk_wad(float(above))

    accepted, request = bank.apply()
    bank.decide(request, float(below))
    refused, request = bank.apply(by=bank.lender)
    bank.decide(request, float(above))

    assert bank.loan(accepted).status is LoanStatus.GRANTED
    assert bank.loan(refused).status is LoanStatus.DECLINED


def test_negative_risk_counts_as_none(bank: Bank) -> None:
    """A probability below zero gives the base rate, not a discount."""
    loan_id, request = bank.apply()

    bank.decide(request, -0.5)

    assert bank.loan(loan_id).rate_wad == BASE_RATE_WAD


def test_granted_loan_is_drawn_once(bank: Bank, chain: Chain) -> None:
    """The borrower gets the principal, and not a second time."""
    loan_id = bank.grant()
    before = chain.balance(bank.pool)

    receipt = bank.pool.send("draw", by=bank.borrower)

    assert_emitted(receipt, "LoanDrawn", loan_id=loan_id, borrower=bank.borrower, amount_wei=PRINCIPAL_WEI)
    assert chain.balance(bank.pool) == before - PRINCIPAL_WEI
    with reverts("PrincipalOutOfRange", principal_wei=0):
        bank.pool.send("draw", by=bank.borrower)


def test_draw_by_unwilling_receiver_reverts(bank: Bank, puppet: Contract) -> None:
    """A borrower that refuses ether keeps its claim."""
    application = bank.pool.encode("applyForLoan", PRINCIPAL_WEI, list(FEATURES))
    receipt = puppet.send("execute", bank.pool, application, by=bank.borrower)
    loan_id = bank.pool.call("openLoanOf", puppet)
    request = bank.request_behind(loan_id, borrower=puppet.address, made_at=receipt.timestamp, fee_wei=0)
    bank.decide(request, 0.05)
    puppet.send("refuseEther", True, by=bank.borrower)

    with reverts("DeliveryFailed", to=puppet):
        puppet.send("execute", bank.pool, bank.pool.encode("draw"), by=bank.borrower)

    assert bank.pool.call("drawable", puppet) == PRINCIPAL_WEI


def test_repayment_with_interest_enriches_lender(bank: Bank, chain: Chain) -> None:
    """A repaid loan closes, and the lender redeems the interest with its deposit."""
    loan_id = bank.grant(risk=0.05)
    bank.pool.send("draw", by=bank.borrower)

    receipt = bank.pool.send("repay", by=bank.borrower, value_wei=due_wei(0.05))
    bank.pool.send("redeem", bank.pool.call("sharesOf", bank.lender), by=bank.lender)

    assert_emitted(receipt, "LoanRepaid", loan_id=loan_id, amount_wei=due_wei(0.05))
    assert bank.loan(loan_id).status is LoanStatus.REPAID
    assert bank.pool.call("openLoanOf", bank.borrower) == 0
    assert chain.balance(bank.pool) == 0
    assert bank.ledger() == (0, 0)


@pytest.mark.parametrize("step_wei", [-1, 1])
def test_repayment_of_other_amount_reverts(bank: Bank, step_wei: int) -> None:
    """Exactly what is due is taken, no less and no more."""
    bank.grant(risk=0.05)
    sent_wei = due_wei(0.05) + step_wei

    with reverts("RepaymentMismatch", sent_wei=sent_wei, due_wei=due_wei(0.05)):
        bank.pool.call("repay", by=bank.borrower, value_wei=sent_wei)


def test_repayment_without_granted_loan_reverts(bank: Bank, scene: Scene) -> None:
    """Nothing can be repaid before a loan is granted, after it is repaid, or by others."""
    loan_id, request = bank.apply()
    with reverts("LoanStatusUnexpected", loan_id=loan_id, actual=LoanStatus.APPLIED):
        bank.pool.call("repay", by=bank.borrower, value_wei=PRINCIPAL_WEI)
    bank.decide(request, 0.05)
    with reverts("LoanStatusUnexpected", loan_id=0, actual=LoanStatus.NONE):
        bank.pool.call("repay", by=scene.cast.stranger, value_wei=due_wei(0.05))
    bank.pool.send("repay", by=bank.borrower, value_wei=due_wei(0.05))
    with reverts("LoanStatusUnexpected", loan_id=0, actual=LoanStatus.NONE):
        bank.pool.call("repay", by=bank.borrower, value_wei=due_wei(0.05))


def test_loan_repaid_before_draw_stays_drawable(bank: Bank, chain: Chain) -> None:
    """Who repays first may still draw: the pool keeps exactly the interest."""
    bank.grant(risk=0.05)

    bank.pool.send("repay", by=bank.borrower, value_wei=due_wei(0.05))
    bank.pool.send("draw", by=bank.borrower)

    assert chain.balance(bank.pool) == POOL_WEI + due_wei(0.05) - PRINCIPAL_WEI == sum(bank.ledger())


def test_second_application_with_loan_open_reverts(bank: Bank) -> None:
    """One loan per borrower, from the application to the repayment."""
    loan_id, request = bank.apply()
    with reverts("LoanOpen", loan_id=loan_id):
        bank.apply()
    bank.decide(request, 0.05)
    with reverts("LoanOpen", loan_id=loan_id):
        bank.apply()


@pytest.mark.parametrize("principal_wei", [0, POOL_WEI + 1, 2**88, 2**256 - 1])
def test_application_for_impossible_principal_reverts(bank: Bank, principal_wei: int) -> None:
    """Nothing, or more than the pool has, cannot be lent."""
    with reverts("PrincipalOutOfRange", principal_wei=principal_wei, available_wei=POOL_WEI):
        bank.pool.call("applyForLoan", principal_wei, list(FEATURES), by=bank.borrower)


def test_application_without_features_fails_only_later(bank: Bank, scene: Scene) -> None:
    """An empty input is a legal payload; the operator's failure declines the loan."""
    loan_id, request = bank.apply(features=())

    scene.fail(request, FailureCode.BAD_INPUT)

    assert bank.loan(loan_id).status is LoanStatus.DECLINED


def test_operator_failure_declines_and_refunds(bank: Bank, scene: Scene) -> None:
    """When the operator cannot judge, the principal is free again and the borrower gets its fee back."""
    loan_id, request = bank.apply()

    receipt = scene.fail(request)

    assert_emitted(receipt, "LoanDeclined", loan_id=loan_id, risk_wad=0)
    assert bank.ledger() == (POOL_WEI, 0)
    assert scene.credit_of(bank.borrower) == FEE_WEI


def test_operator_conviction_declines_and_compensates(bank: Bank, scene: Scene) -> None:
    """When the operator is convicted over a proposed risk, the loan is declined and the borrower compensated."""
    loan_id, request = bank.apply()
    scene.propose(request, bank.answer(0.9))

    receipt = scene.convict_over(request, bank.answer(0.9), bank.answer(0.1))

    assert_emitted(receipt, "LoanDeclined", loan_id=loan_id, risk_wad=0)
    assert bank.loan(loan_id).status is LoanStatus.DECLINED
    assert scene.credit_of(bank.borrower) == FEE_WEI
    assert scene.reward_of(bank.borrower) == PRINCIPAL_WEI


def test_cancellation_waits_for_the_oracle(bank: Bank, chain: Chain, scene: Scene) -> None:
    """An application can be taken back once no answer can come in time any more, and its fee is refunded."""
    loan_id, request = bank.apply()
    free_from = request.deadline + WINDOW_S + 1
    chain.travel(to=free_from - 1)
    with reverts("LoanUndecided", loan_id=loan_id, cancellable_from=free_from):
        bank.pool.call("cancel", by=bank.borrower)
    chain.travel(to=free_from)

    receipt = bank.pool.send("cancel", by=bank.borrower)
    scene.expire(request)

    assert_emitted(receipt, "LoanDeclined", loan_id=loan_id)
    assert bank.ledger() == (POOL_WEI, 0)
    assert scene.credit_of(bank.borrower) == FEE_WEI
    with reverts("LoanStatusUnexpected", loan_id=0, actual=LoanStatus.NONE):
        bank.pool.call("cancel", by=bank.borrower)


def test_cancellation_of_decided_loan_reverts(bank: Bank) -> None:
    """A granted loan is not an application any more."""
    loan_id = bank.grant()

    with reverts("LoanStatusUnexpected", loan_id=loan_id, actual=LoanStatus.GRANTED):
        bank.pool.call("cancel", by=bank.borrower)


def test_answer_after_cancellation_changes_nothing(bank: Bank, chain: Chain, scene: Scene) -> None:
    """A late answer neither grants the cancelled loan nor touches the next one, and the operator is still paid."""
    loan_id, request = bank.apply()
    chain.travel(to=request.deadline)
    scene.propose(request, bank.answer(0.05))
    chain.travel(to=request.deadline + WINDOW_S + 1)
    bank.pool.send("cancel", by=bank.borrower)
    successor, _ = bank.apply(2 * PRINCIPAL_WEI)

    receipt = scene.finalize(request, bank.answer(0.05))

    assert_silent(receipt, "LoanGranted", "LoanDeclined", "CallbackFailed")
    assert bank.loan(loan_id).status is LoanStatus.DECLINED
    assert bank.loan(successor).status is LoanStatus.APPLIED
    assert bank.pool.call("drawable", bank.borrower) == 0
    assert scene.account_of(scene.cast.operator).earned_wei == FEE_WEI


@pytest.mark.parametrize(
    "output",
    [
        encode_payload([np.zeros(1, dtype=np.int64)]),
        encode_payload([np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32)]),
        encode_payload([np.zeros(1, dtype=np.int64), np.zeros((1, 2), dtype=np.float32)])[:-4] + b"\x7f\xc0\x00\x00",
    ],
    ids=["one tensor", "one element", "not a number"],
)
def test_unreadable_answer_leaves_loan_undecided(bank: Bank, scene: Scene, output: bytes) -> None:
    """An output that is no risk fails in the callback; the borrower can take the application back."""
    loan_id, request = bank.apply()

    receipt = scene.complete(request, replace(scene.make_answer(), output=output))
    assert_emitted(receipt, "CallbackFailed", kind=CallbackKind.FINAL)
    scene.chain.travel(to=bank.loan(loan_id).cancellable_from)
    bank.pool.send("cancel", by=bank.borrower)

    assert bank.loan(loan_id).status is LoanStatus.DECLINED


def test_callback_by_borrower_reverts(bank: Bank) -> None:
    """Nobody grants itself a loan."""
    loan_id, _ = bank.apply()
    arguments = (ZERO_HASH, loan_id.to_bytes(32), ZERO_HASH, 0, True, bank.answer(0.0).output)

    with reverts("CallerNotOracle", caller=bank.borrower):
        bank.pool.call("onInferenceResult", *arguments, by=bank.borrower)


def test_refutation_with_reopening_leaves_application(bank: Bank, scene: Scene) -> None:
    """As long as another answer may come, nothing is decided."""
    loan_id, _ = bank.apply()

    bank.pool.call("onInferenceRefuted", ZERO_HASH, loan_id.to_bytes(32), 1, True, by=scene.system.oracle)

    assert bank.loan(loan_id).status is LoanStatus.APPLIED


def test_shares_of_late_lender_exclude_earlier_interest(bank: Bank, scene: Scene, chain: Chain) -> None:
    """Shares are bought at the pool's value, loans included, so that interest goes to who bore the risk."""
    bank.grant(risk=0.05)
    bank.pool.send("draw", by=bank.borrower)
    bank.pool.send("repay", by=bank.borrower, value_wei=due_wei(0.05))
    late = scene.cast.stranger
    bank.deposit(POOL_WEI, by=late)

    bank.pool.send("redeem", bank.pool.call("sharesOf", late), by=late)

    # Shares are rounded down, so the pool may keep a wei or two.
    kept_wei = chain.balance(bank.pool) - (POOL_WEI + due_wei(0.05) - PRINCIPAL_WEI)
    assert 0 <= kept_wei <= 2


def test_redemption_beyond_shares_or_liquidity_reverts(bank: Bank, scene: Scene) -> None:
    """Nobody redeems what is not its own, nor what is lent out."""
    with reverts("RedemptionOutOfRange", amount_wei=1, available_wei=0):
        bank.pool.call("redeem", 1, by=scene.cast.stranger)
    with reverts("RedemptionOutOfRange", amount_wei=POOL_WEI + 1, available_wei=POOL_WEI):
        bank.pool.call("redeem", POOL_WEI + 1, by=bank.lender)
    bank.apply()
    available_wei = POOL_WEI - PRINCIPAL_WEI
    with reverts("RedemptionOutOfRange", amount_wei=POOL_WEI, available_wei=available_wei):
        bank.pool.call("redeem", POOL_WEI, by=bank.lender)
    bank.pool.send("redeem", available_wei, by=bank.lender)

    assert bank.ledger() == (0, PRINCIPAL_WEI)
