from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sworn.codec.tensors import encode_payload
from sworn.types import ZERO_HASH, CallbackKind, FailureCode, Status

from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, assert_silent, reverts
from tests.support.chain import Chain, Contract
from tests.support.ieee754 import WAD
from tests.support.loans import (
    FEATURES,
    MAX_RISK_WAD,
    PATIENCE_S,
    POOL_WEI,
    PRINCIPAL_WEI,
    WINDOW_S,
    Bank,
    LoanStatus,
    open_bank,
    risk_wad,
)
from tests.support.scene import FEE_WEI, Scene

BASE_RATE_WAD = WAD // 50
DIVISION_BY_ZERO = 0x12


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


def test_draw_by_unwilling_receiver_reverts(bank: Bank, scene: Scene, puppet: Contract) -> None:
    """A borrower that refuses ether keeps its claim."""
    arguments = (bank.pool, bank.pool.encode("applyForLoan", PRINCIPAL_WEI, list(FEATURES)))
    receipt = puppet.send("execute", *arguments, by=bank.borrower)
    request = _request_of(bank, puppet, receipt.timestamp)
    bank.decide(request, 0.05)
    puppet.send("refuseEther", True, by=bank.borrower)

    with reverts("DeliveryFailed", to=puppet):
        puppet.send("execute", bank.pool, bank.pool.encode("draw"), by=bank.borrower)

    assert bank.pool.call("drawable", puppet) == PRINCIPAL_WEI


def _request_of(bank: Bank, borrower: Contract, made_at: int) -> object:
    raise NotImplementedError
