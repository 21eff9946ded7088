"""`RiskPricedLending` with its lender and borrower, and answers of a risk model that tests choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from tests.support.accounts import Account
from tests.support.chain import Contract, TransactionReceipt
from tests.support.ieee754 import WAD
from tests.support.scene import FEE_WEI, Scene
from tests.support.system import ETHER

from sworn.codec.tensors import encode_payload
from sworn.codec.trees import payload_root
from sworn.types import Address, Answer, Profile, Request

WINDOW_S = 600
PATIENCE_S = 3600
MAX_RISK_WAD = WAD // 5
POOL_WEI = 50 * ETHER
PRINCIPAL_WEI = ETHER
FEATURES = (WAD // 2, -3 * WAD, 7 * WAD)


class LoanStatus(IntEnum):
    """Twin of `RiskPricedLending.LoanStatus`."""

    NONE = 0
    APPLIED = 1
    GRANTED = 2
    DECLINED = 3
    REPAID = 4


class Loan(NamedTuple):
    """What `RiskPricedLending.loans` returns."""

    borrower: Address
    status: LoanStatus
    principal_wei: int
    rate_wad: int
    cancellable_from: int


def risk_output(risk: float) -> bytes:
    """Outputs of a risk model: the label, and the probabilities of paying and of defaulting."""
    probabilities = np.array([[1 - risk, risk]], dtype=np.float32)
    return encode_payload([np.array([risk > 0.5], dtype=np.int64), probabilities])


def risk_wad(risk: float) -> int:
    """The wad that the pool reads from `risk_output`."""
    numerator, denominator = float(np.float32(risk)).as_integer_ratio()
    return numerator * WAD // denominator


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """A lending pool, and the usual moves."""

    scene: Scene
    pool: Contract
    lender: Account
    borrower: Account

    def deposit(self, amount_wei: int, *, by: Account | None = None) -> None:
        """Adds ether; the lender does unless somebody else does."""
        self.pool.send("deposit", by=by or self.lender, value_wei=amount_wei)

    def apply(
        self, principal_wei: int = PRINCIPAL_WEI, *, by: Account | None = None, features: Sequence[int] = FEATURES
    ) -> tuple[int, Request]:
        """Applies for a loan: its number and the request behind it."""
        borrower = by or self.borrower
        arguments = (principal_wei, list(features))
        receipt = self.pool.send("applyForLoan", *arguments, by=borrower, value_wei=FEE_WEI)
        # Not what a call returned: a number depends on the block.
        loan_id = next(int(event.arguments["loanId"]) for event in receipt.events if event.name == "LoanApplied")
        request = self.request_behind(
            loan_id,
            borrower=borrower.address,
            made_at=receipt.timestamp,
            principal_wei=principal_wei,
            features=features,
        )
        return loan_id, request

    def answer(self, risk: float) -> Answer:
        """An answer with that probability of default."""
        return replace(self.scene.make_answer(), output=risk_output(risk))

    def decide(self, request: Request, risk: float) -> TransactionReceipt:
        """Lets the operator's answer become final."""
        return self.scene.complete(request, self.answer(risk))

    def grant(self, *, risk: float = 0.05, by: Account | None = None) -> int:
        """Applies and is granted: the loan's number."""
        loan_id, request = self.apply(by=by)
        self.decide(request, risk)
        return loan_id

    def loan(self, loan_id: int) -> Loan:
        """A loan by its number."""
        borrower, status, *amounts = self.pool.call("loans", loan_id)
        return Loan(borrower, LoanStatus(status), *amounts)

    def ledger(self) -> tuple[int, int]:
        """Available and lent wei."""
        return int(self.pool.call("availableWei")), int(self.pool.call("lentWei"))

    def request_behind(
        self,
        loan_id: int,
        *,
        borrower: Address,
        made_at: int,
        principal_wei: int = PRINCIPAL_WEI,
        features: Sequence[int] = FEATURES,
        fee_wei: int = FEE_WEI,
    ) -> Request:
        """The request that an application made at that time must have sent."""
        floats = np.array([[feature / WAD for feature in features]], dtype=np.float32)
        return self.scene.make_request(
            profile=Profile.SIGNED,
            input_root=payload_root(encode_payload([floats])),
            requester=self.pool.address,
            refund_to=borrower,
            fee_wei=fee_wei,
            value_at_risk_wei=principal_wei,
            callback_gas=300_000,
            window_s=WINDOW_S,
            deadline=made_at + PATIENCE_S,
            salt=loan_id.to_bytes(32),
        )


def open_bank(scene: Scene, *, deployer: Account) -> Bank:
    """A pool with 50 ether of one lender."""
    cast = scene.cast
    policy = (cast.models[Profile.SIGNED], cast.operator.address, 300_000, WINDOW_S, PATIENCE_S, MAX_RISK_WAD)
    pool = scene.chain.deploy("RiskPricedLending", scene.system.oracle, policy, by=deployer)
    bank = Bank(scene=scene, pool=pool, lender=cast.challenger, borrower=cast.requester)
    bank.deposit(POOL_WEI)
    return bank
