"""The demo's loan: a contract asks, and acts on the answer in its callback."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.client import RequestHandle
from sworn.codec.tensors import decode_payload
from sworn.testing.demo_opening import MODELS, WINDOW_S
from sworn.testing.demo_stage import ETHER, Stage
from sworn.testing.models import ExampleRow, example_rows, load_model
from sworn.types import Address

CONTRACT: Final = "RiskPricedLending"
DEPOSIT_WEI: Final = 10 * ETHER
PRINCIPAL_WEI: Final = 2 * ETHER
FEE_WEI: Final = MODELS["breast_cancer_risk"]
CALLBACK_GAS: Final = 200_000
PATIENCE_S: Final = 3600
WAD: Final = 10**18
#: A fifth: riskier loans are refused.
MAX_RISK_WAD: Final = WAD // 5
GRANTED, DECLINED = 2, 3


def lending(stage: Stage) -> None:
    """One loan granted at a rate, one declined, by the model's word."""
    summary = "A lending pool asks a risk model about every borrower; its callback grants or declines the loan."
    with stage.chapter("A contract that asks: a loan priced by a model", summary):
        pool = _open_pool(stage)
        rows = sorted(example_rows("breast_cancer_risk"), key=_expected_risk)
        stage.say(
            "The classifier, trained on a medical data set, stands in for a credit model: its class 1 plays 'default'. "
            "A borrower applies with a real row; the contract encodes the input and commits to it:"
        )
        _granted(stage, pool, rows[0])
        stage.say("Another borrower applies, with a row at the other end:")
        _declined(stage, pool, rows[-1])


def apply_for_loan(stage: Stage, role: str, pool: Address, features: NDArray[Any]) -> tuple[int, RequestHandle]:
    """A borrower's application: number of the loan, and the request that the pool made."""
    wads = [int(Decimal(float(value)) * WAD) for value in features.ravel()]
    receipt = stage.send(role, CONTRACT, pool, "applyForLoan", PRINCIPAL_WEI, wads, value_wei=FEE_WEI)
    applied = stage.event(receipt, CONTRACT, "LoanApplied")
    (handle,) = stage.client(role).handles_in(receipt.transaction_hash)
    stage.check(handle.request_id == applied["requestId"], "the pool's request is the oracle's")
    stage.check(handle.request.requester == pool, "the pool is the requester")
    return applied["loanId"], handle


def _open_pool(stage: Stage) -> Address:
    artifact = load_model("breast_cancer_risk")
    risk_model = stage.client("lender").register_model(artifact)
    policy = (
        risk_model,
        stage.signer("operator").address,
        CALLBACK_GAS,
        WINDOW_S,
        PATIENCE_S,
        MAX_RISK_WAD,
    )
    pool = stage.deploy("lender", CONTRACT, stage.oracle.deployment.oracle, policy)
    stage.send("lender", CONTRACT, pool, "deposit", value_wei=DEPOSIT_WEI)
    available = stage.view(CONTRACT, pool, "availableWei")
    stage.check(available == DEPOSIT_WEI, "the pool holds the lender's deposit")
    stage.fact("pool", pool)
    stage.fact("pool_available_wei", available)
    stage.pool = pool
    return pool


def _granted(stage: Stage, pool: Address, row: ExampleRow) -> None:
    loan_id, handle = apply_for_loan(stage, "borrower", pool, row.inputs["features"])
    stage.check(_same_row(stage, handle, row), "the input that the contract encoded is the row, bit for bit")
    stage.fact("granted_request_id", handle.request_id, told_as="request_id")
    stage.oracle.fulfil()
    result = handle.wait(timeout=5)
    decided = stage.event(stage.receipt(result.final_transaction), CONTRACT, "LoanGranted")
    status, rate_wad = _loan(stage, pool, loan_id)
    stage.check(status == GRANTED and rate_wad == decided["rateWad"], "the callback has granted the loan")
    _check_risk(stage, decided["riskWad"], row)
    stage.fact("granted_risk", decided["riskWad"] / WAD, told_as="risk", text=_percent(decided["riskWad"]))
    stage.fact("granted_rate", rate_wad / WAD, told_as="granted, at a rate of", text=_percent(rate_wad))
    stage.fact("due_wei", stage.view(CONTRACT, pool, "dueFor", loan_id), told_as="to_be_repaid_wei")
    before = stage.balance("borrower")
    receipt = stage.send("borrower", CONTRACT, pool, "draw")
    cost = receipt.gas_used * receipt.effective_gas_price
    stage.check(stage.balance("borrower") - before + cost == PRINCIPAL_WEI, "the borrower has the principal")
    stage.fact("drawn_wei", PRINCIPAL_WEI)


def _declined(stage: Stage, pool: Address, row: ExampleRow) -> None:
    available = stage.view(CONTRACT, pool, "availableWei")
    loan_id, handle = apply_for_loan(stage, "borrower 2", pool, row.inputs["features"])
    stage.fact("declined_request_id", handle.request_id, told_as="request_id")
    stage.oracle.fulfil()
    result = handle.wait(timeout=5)
    decided = stage.event(stage.receipt(result.final_transaction), CONTRACT, "LoanDeclined")
    status, _ = _loan(stage, pool, loan_id)
    stage.check(status == DECLINED, "the callback has declined the loan")
    _check_risk(stage, decided["riskWad"], row)
    stage.fact("declined_risk", decided["riskWad"] / WAD, told_as="risk", text=_percent(decided["riskWad"]))
    stage.fact("risk_limit", MAX_RISK_WAD / WAD, told_as="declined, as over", text=_percent(MAX_RISK_WAD))
    left = stage.view(CONTRACT, pool, "availableWei")
    stage.check(left == available, "the pool's money is back")
    stage.fact("pool_available_wei", left)


def _loan(stage: Stage, pool: Address, loan_id: int) -> tuple[int, int]:
    _, status, _, rate_wad, _ = stage.view(CONTRACT, pool, "loans", loan_id)
    return status, rate_wad


def _same_row(stage: Stage, handle: RequestHandle, row: ExampleRow) -> bool:
    emitted = stage.event(stage.receipt(handle.transaction_hash), "InferenceOracle", "InferenceRequested")["input"]
    return bool(np.array_equal(decode_payload(emitted)[0], row.inputs["features"]))


def _check_risk(stage: Stage, risk_wad: int, row: ExampleRow) -> None:
    same = math.isclose(risk_wad / WAD, _expected_risk(row), abs_tol=1e-6)
    stage.check(same, "the risk that the contract read is the one that scikit-learn computes")


def _expected_risk(row: ExampleRow) -> float:
    return float(row.outputs["probabilities"][0, 1])


def _percent(wad: int) -> str:
    return f"{100 * wad / WAD:.3f} %"
